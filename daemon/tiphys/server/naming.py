"""Names that Kubernetes takes, since rows, paths and labels are made of them: anything else is refused at the door."""

import re

from tiphys.server.problems import Problem

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KEY = re.compile(r"[-._a-zA-Z0-9]+")
RULE = (
    "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'example.com')"
)


def namespace(text: str) -> str:
    """A namespace. Raises Problem."""
    if len(text) > 63 or LABEL.fullmatch(text) is None:
        raise Problem(
            400,
            f'metadata.namespace: Invalid value: "{text}": a lowercase RFC 1123 label must consist of lower case alphanumeric characters '
            "or '-', and must start and end with an alphanumeric character (e.g. 'my-name')",
        )
    return text


def name(text: str, what: str = "metadata.name") -> str:
    """An object's name. Raises Problem."""
    if len(text) > 253 or SUBDOMAIN.fullmatch(text) is None:
        raise Problem(400, f'{what}: Invalid value: "{text}": a lowercase RFC 1123 subdomain {RULE}')
    return text


def prefix(text: str) -> str:
    """What a name is generated from. Raises Problem."""
    name(f"{text}x", "metadata.generateName")
    return text


def key(text: str) -> str:
    """A key of a ConfigMap. Raises Problem."""
    if len(text) > 253 or KEY.fullmatch(text) is None:
        raise Problem(400, f"key: Invalid value: \"{text}\": a valid config key must consist of alphanumeric characters, '-', '_' or '.'")
    return text
