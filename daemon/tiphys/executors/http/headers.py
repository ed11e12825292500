"""Request headers as Go's HTTP client sends them: canonical names, refused characters, what a redirect may carry on."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from yarl import URL

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
WRITTEN_BY_CLIENT = frozenset({"Content-Length", "Transfer-Encoding", "Trailer"})
CREDENTIALS = frozenset({"Authorization", "Www-Authenticate", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate"})
OF_THE_BODY = frozenset({"Content-Type", "Content-Encoding", "Content-Language", "Content-Location"})

Pairs = tuple[tuple[str, str], ...]


@lru_cache(1024)
def canonical(name: str) -> str:
    """`content-type` as `Content-Type`; a name with characters that no header has stays as it is."""
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


def complaint(name: str, value: str) -> str:
    """Why this header cannot be sent, in Go's words, or `""`; the value itself is not shown, as it may be a secret."""
    if not _TOKEN.fullmatch(name):
        return f'net/http: invalid header field name "{name}"'
    if _CONTROL.search(value):
        hint = " (it ends with a line break)" if value.endswith("\n") else ""
        return f'net/http: invalid header field value for "{canonical(name)}"{hint}'
    return ""


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Canonical name to all its values, in order."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(canonical(name), []).append(value)
    return found


def carried_on(pairs: Pairs, origin: URL, previous: URL, target: URL, *, body: bool) -> Pairs:
    """The headers of a redirected request: credentials stay with the first host and its subdomains, body headers with a body."""
    dropped = set(() if body else OF_THE_BODY)
    if not _same_or_below(target.raw_host or "", origin.raw_host or ""):
        dropped |= CREDENTIALS
    kept = tuple(pair for pair in pairs if pair[0] not in dropped and pair[0] != "Referer")
    referer = _given(pairs).get("Referer") or _referer(previous, target)
    return (*kept, ("Referer", referer)) if referer else kept


def _given(pairs: Pairs) -> Mapping[str, str]:
    return dict(pairs)


def _same_or_below(host: str, origin: str) -> bool:
    return host == origin or host.endswith(f".{origin}")


def _referer(previous: URL, target: URL) -> str:
    """The page a redirect came from; never from https to http, and never with its credentials."""
    if previous.scheme == "https" and target.scheme == "http":
        return ""
    return str(previous.with_user(None).with_fragment(None))
