"""Secret values are masked in what steps printed, on the way out: whoever reads a log need not be one who may read its secrets.

What a workflow's manifests name as a Secret is looked up and replaced by asterisks, wherever it comes in the output, lines of a value of
several lines each by itself. Very short values stay: they would be found everywhere.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

import msgspec

from tiphys.errors import TiphysError
from tiphys.scheduler.records import Manifest
from tiphys.secrets import Secrets

LEAST = 4
MASK = b"***"
NAMED = "Secret"
"""Fields such as accessKeySecret, usernameSecret, sshPrivateKeySecret."""


def references(manifest: Manifest) -> set[tuple[str, str]]:
    """The Secrets that a run's manifests name: name, and key ("": all of its keys)."""
    specs = [manifest.workflow.spec, *(one.spec for one in manifest.templates), *(one.spec for one in manifest.cluster_templates)]
    return {found for spec in specs for found in _named(msgspec.to_builtins(spec)) if "{{" not in "".join(found)}


def _named(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                name = str(inner.get("name") or inner.get("secretName") or "")
                if name and (key == "secretKeyRef" or key.endswith(NAMED)):
                    yield name, str(inner.get("key") or "")
                elif name and key in {"secretRef", "secret"}:
                    yield name, ""
            yield from _named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner)


async def values(secrets: Secrets, namespace: str, named: Iterable[tuple[str, str]]) -> list[bytes]:
    """The values to be masked, the longest first. What cannot be read now cannot be masked, nor was it printed lately."""
    found: set[bytes] = set()
    for name, key in named:
        try:
            one = {key: await secrets.secret(namespace, name, key)} if key else await secrets.secret_keys(namespace, name) or {}
        except TiphysError:
            continue
        for value in one.values():
            for line in (value or "").splitlines():
                found.add(line.strip().encode(errors="surrogateescape"))
    return sorted((value for value in found if len(value) >= LEAST), key=len, reverse=True)


async def masked(pieces: AsyncIterator[bytes], hidden: list[bytes]) -> AsyncIterator[bytes]:
    """The pieces with every value masked, also one that is cut by the border of two pieces."""
    rest = b""
    async for piece in pieces:
        data = rest + piece
        for value in hidden:
            data = data.replace(value, MASK)
        kept = _beginning(data, hidden)
        rest = data[len(data) - kept :]
        if len(data) > kept:
            yield data[: len(data) - kept]
    if rest:
        yield rest


def _beginning(data: bytes, hidden: list[bytes]) -> int:
    """How much of the end of `data` may be the beginning of a value."""
    longest = 0
    for value in hidden:
        for length in range(min(len(value) - 1, len(data)), longest, -1):
            if data.endswith(value[:length]):
                longest = length
                break
    return longest
