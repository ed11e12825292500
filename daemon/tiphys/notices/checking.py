"""What is wrong with the setting `notifications`, told before the first notification is lost by it."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from tiphys.settings import NotificationEntry
from tiphys.spec import selectors

RECEIVERS = ("url", "topic", "queue", "function", "command")
AMAZONS = frozenset({"topic", "queue", "function"})
PHASES = ("Pending", "Running", "Succeeded", "Failed", "Error")
TOPIC = re.compile(r"arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
FUNCTION = re.compile(
    r"(?:(?:arn:[a-z0-9-]+:lambda:)?(?:[a-z0-9-]+:)?[0-9]{12}:function:)?[A-Za-z0-9_-]{1,140}(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)


def findings(entries: Mapping[str, NotificationEntry]) -> list[str]:
    """What is wrong with each entry, a line each that begins with `notifications.NAME.FIELD`; nothing: all is well."""
    return [f"notifications.{name}{found}" for name, entry in entries.items() for found in _entry(entry)]


def _entry(entry: NotificationEntry) -> Iterator[str]:
    given = [field for field in RECEIVERS if getattr(entry, field)]
    if not given:
        yield f": gives none of {', '.join(RECEIVERS)}; nobody would be told"
    for field in given[1:]:
        yield f".{field}: is given beside {given[0]}; exactly one of {', '.join(RECEIVERS)} may be: make it a notification of its own"
    yield from _receiver(entry)
    yield from _choice(entry)
    yield from _access(entry, given)
    for field in ("timeout_seconds", "give_up_seconds"):
        if getattr(entry, field) <= 0:
            yield f".{field}: must be more than 0"


def _receiver(entry: NotificationEntry) -> Iterator[str]:
    for field in ("url", "queue", "endpoint"):
        if (text := getattr(entry, field)) and not _is_url(text):
            yield f".{field}: must be a URL that begins with http:// or https:// and a host"
    if entry.topic and not TOPIC.fullmatch(entry.topic):
        yield f".topic: must be a topic's ARN, arn:aws:sns:REGION:ACCOUNT:NAME, not {entry.topic!r}"
    if entry.function and not FUNCTION.fullmatch(entry.function):
        yield f".function: must be a function's name or ARN, not {entry.function!r}"
    if entry.command and not entry.command[0]:
        yield ".command: its first item, the program, is empty"
    if any("\0" in part for part in entry.command):
        yield ".command: must not hold a NUL character"


def _choice(entry: NotificationEntry) -> Iterator[str]:
    """Which workflows and phases it is about."""
    if not entry.phases:
        yield f".phases: is empty, so nobody would be told; known phases: {', '.join(PHASES)}"
    for phase in entry.phases:
        if phase not in PHASES:
            yield f'.phases: there is no phase "{phase}"; known phases: {", ".join(PHASES)}'
    if any(not namespace for namespace in entry.namespaces):
        yield ".namespaces: holds an empty name"
    try:
        selectors.parse_selector(entry.selector)
    except selectors.SelectorError as error:
        yield f".selector: {error}"


def _access(entry: NotificationEntry, given: list[str]) -> Iterator[str]:
    if (entry.access_key_secret is None) != (entry.secret_key_secret is None):
        missing = "access_key_secret" if entry.access_key_secret is None else "secret_key_secret"
        yield f".{missing}: access_key_secret and secret_key_secret must both be given, or neither"
    if entry.token_secret is not None and given and "url" not in given:
        yield ".token_secret: is for a url only"
    for field in ("endpoint", "region", "access_key_secret", "secret_key_secret"):
        if getattr(entry, field) and given and not AMAZONS.intersection(given):
            yield f".{field}: is for topic, queue and function only"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
