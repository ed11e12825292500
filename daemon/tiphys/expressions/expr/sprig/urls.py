"""URLs taken apart and put together, as Go's net/url does for Sprig's urlParse and urlJoin."""

import re
from collections.abc import Mapping

from tiphys.expressions.expr.faults import Fault

PARTS = ("scheme", "userinfo", "host", "hostname", "path", "query", "opaque", "fragment")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"%(.{0,2})", re.DOTALL)
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~$&+,/:;=@!'()*")


def parse(source: str) -> dict[str, str]:
    """The parts of an absolute or relative URL; raises Fault for what is none."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in source):
        raise Fault(f"unable to parse url: parse {source[:200]!r}: net/url: invalid control character in URL")
    rest, _, fragment = source.partition("#")
    found = dict.fromkeys(PARTS, "")
    match = _SCHEME.fullmatch(rest)
    if match is not None:
        found["scheme"], rest = match[1].lower(), match[2]
    rest, _, found["query"] = rest.partition("?")
    found["fragment"] = _decoded(fragment)
    if found["scheme"] and not rest.startswith("/"):
        found["opaque"] = rest
        return found
    if rest.startswith("//") and not rest.startswith("///"):
        authority, slash, path = rest[2:].partition("/")
        found["userinfo"], _, found["host"] = authority.rpartition("@")
        found["hostname"] = _hostname(found["host"])
        rest = slash + path
    elif rest.startswith("//"):
        rest = rest[2:]
    found["path"] = _decoded(rest)
    return found


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    if not colon:
        return host
    if port and not (port.isascii() and port.isdigit()):
        raise Fault(f'unable to parse url: invalid port ":{port}" after host')
    return name


def _decoded(source: str) -> str:
    if "%" not in source:
        return source

    def byte(match: re.Match[str]) -> str:
        if re.fullmatch(r"[0-9a-fA-F]{2}", match[1]) is None:
            raise Fault(f'unable to parse url: invalid URL escape "%{match[1]}"')
        return chr(int(match[1], 16))

    plain = source.encode().decode("latin-1")
    return _ESCAPE.sub(byte, plain).encode("latin-1").decode("utf-8", "replace")


def join(parts: Mapping[str, str]) -> str:
    """The URL that the parts make (`hostname` is not looked at); `userinfo` comes before the host."""
    scheme, host, path, opaque = (parts.get(name, "") for name in ("scheme", "host", "path", "opaque"))
    userinfo = parts.get("userinfo", "")
    made = f"{scheme}:" if scheme else ""
    if opaque:
        made += opaque
    else:
        if host or userinfo or (scheme and path.startswith("//")):
            made += "//" + (f"{userinfo}@" if userinfo else "") + host
        written = _encoded(path)
        if written and host and not written.startswith("/"):
            made += "/"
        made += written
    query, fragment = parts.get("query", ""), parts.get("fragment", "")
    return made + (f"?{query}" if query else "") + (f"#{_encoded(fragment)}" if fragment else "")


def _encoded(source: str) -> str:
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in source.encode())
