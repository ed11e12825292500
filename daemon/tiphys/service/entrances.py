"""The ways in over TCP: where it is listened, and what must hold before anybody may come from elsewhere.

Everything here blocks for a moment (names are looked up): call it before the loop runs, or in a thread.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.errors import InvalidSettings
from tiphys.service.sockets import BACKLOG, ServiceRefused
from tiphys.settings import ServerSettings

ALL = {"", "*"}
ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:_-]+")


@dataclass(frozen=True, kw_only=True)
class Address:
    """One HOST:PORT as it was written; `host` "" or "*": all addresses of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(listen: str) -> list[Address]:
    """The addresses of the setting server.listen. Raises InvalidSettings."""
    return [_address(part) for part in re.split(r"[\s,]+", listen) if part]


def _address(text: str) -> Address:
    host, sign, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not sign or not (port.isascii() and port.isdecimal()) or int(port) > 65535 or (":" in bare and bare == host):
        raise InvalidSettings(f"server.listen: {text!r} is no address; it is written HOST:PORT, as 127.0.0.1:2746, [::1]:2746 or *:2746")
    return Address(host=bare, port=int(port))


def check(settings: ServerSettings) -> None:
    """Whether the settings make sense by themselves. Raises InvalidSettings."""
    addresses(settings.listen)
    for origin in settings.origins:
        if not ORIGIN.fullmatch(origin):
            raise InvalidSettings(
                f"server.origins: {origin!r} is no origin; it is written as https://example.org, or with a port, in small letters"
            )
    if settings.tls_key and not settings.tls_certificate:
        raise InvalidSettings("server.tls_key is set, and server.tls_certificate is not")


def listeners(listen: str) -> list[socket.socket]:
    """Listen at every address. Raises InvalidSettings for what is no address, ServiceRefused for one that cannot be had."""
    made: list[socket.socket] = []
    try:
        for address in addresses(listen):
            for family, place in _resolved(address):
                made.append(_listener(address, family, place))
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def _resolved(address: Address) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    host = None if address.host in ALL else address.host
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise InvalidSettings(f"server.listen: {address}: there is no such host ({error})") from error
    places = dict.fromkeys((family, (str(place[0]), address.port)) for family, _, _, _, place in found)
    usable = [(family, place) for family, place in places if family is not socket.AF_INET6 or socket.has_ipv6]
    return sorted(usable, key=lambda one: one[0] is socket.AF_INET6)


def _listener(address: Address, family: socket.AddressFamily, place: tuple[str, int]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(place)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise ServiceRefused(f"cannot listen at {address} ({place[0]}): {error.strerror}; see the setting server.listen") from error
    return made


def networked(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that are no Unix sockets."""
    return [one for one in sockets if one.family != socket.AF_UNIX]


def shown(one: socket.socket) -> str:
    """Where a socket listens."""
    name = one.getsockname()
    return str(Address(host=name[0], port=name[1])) if isinstance(name, tuple) else str(name)


def is_loopback(host: str) -> bool:
    """Whether an address (not a name) is this machine's own."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def judge(sockets: Sequence[socket.socket], settings: ServerSettings, tokens: int) -> None:
    """Refuse what would let strangers in, or passwords be read on the way; `tokens`: how many there are. Raises InvalidSettings."""
    public = [shown(one) for one in networked(sockets) if not is_loopback(one.getsockname()[0])]
    if not public:
        return
    missing = []
    if not settings.tls_certificate:
        missing.append("a certificate (server.tls_certificate, server.tls_key)")
    if not tokens:
        missing.append("a token (`tiphysd token create --scope read|submit|admin`)")
    if missing:
        raise InvalidSettings(f"server.listen: {', '.join(public)} can be reached from elsewhere, and there is not {' nor '.join(missing)}")
