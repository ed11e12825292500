"""How a daemon is reached: over its Unix socket, or over the network with Argo's own words for that (`ARGO_SERVER` and its like).

The standard library alone, as in `client`: whoever types a command should not wait for imports.
"""

import grp
import http.client
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tiphys.cli.errors import BadInput

ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:/\[\]@\s]+)):(?P<port>[0-9]{1,5})")
BEARER = "bearer "
YES = frozenset({"1", "t", "true"})
NO = frozenset({"0", "f", "false"})


class Way(Protocol):
    """A way to a daemon."""

    @property
    def base(self) -> str:
        """What every path begins with."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request says of who asks."""
        ...

    def connection(self, timeout: float | None) -> http.client.HTTPConnection:
        """A connection that is made with the first request."""
        ...

    def trouble(self, error: OSError) -> str:
        """Why nobody answers, so that somebody can put it right."""
        ...


@dataclass(frozen=True)
class Socket:
    """A daemon of this machine."""

    path: Path

    base = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.path)

    def connection(self, timeout: float | None) -> http.client.HTTPConnection:
        """A connection that is made with the first request."""
        return _Connection(self.path, timeout)

    def trouble(self, error: OSError) -> str:
        """Why nobody answers."""
        if isinstance(error, PermissionError):
            return self._not_allowed()
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return f"no daemon answers at {self.path}: is tiphysd running?"
        return f"{self.path}: {error.strerror or error}"

    def _not_allowed(self) -> str:
        try:
            found = self.path.stat()
        except OSError:
            return f"you may not use {self.path}: its folder is closed to you; ask whoever runs the daemon"
        if not found.st_mode & stat.S_IWGRP:
            return f"you may not use {self.path}: only its owner may; the daemon's setting daemon.socket_group lets a group in"
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        way = f"usermod -aG {group} USER, then log in again"
        return f"you may not use {self.path}: only its owner and members of the group {group} may ({way})"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A daemon of this or another machine, over TCP. `token` is with or without "Bearer" before it; `base`: what every path begins with."""

    host: str
    port: int
    secure: bool = True
    verify: bool = True
    base: str = ""
    token: str = ""

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def headers(self) -> Mapping[str, str]:
        """Who asks."""
        return {"Authorization": bearer(self.token)} if self.token else {}

    def connection(self, timeout: float | None) -> http.client.HTTPConnection:
        """A connection that is made with the first request."""
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        import ssl

        trust = ssl.create_default_context()  # SSL_CERT_FILE and SSL_CERT_DIR name authorities of one's own
        if not self.verify:
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=trust)

    def trouble(self, error: OSError) -> str:
        """Why nobody answers."""
        import ssl

        if isinstance(error, ssl.SSLCertVerificationError):
            cure = "SSL_CERT_FILE names the authority to trust; --insecure-skip-verify trusts anybody"
            return f"the certificate of {self} is not trusted ({error.verify_message}): {cure}"
        if isinstance(error, ssl.SSLError):
            return f"{self} does not speak TLS ({error.reason or error}): --secure=false, or ARGO_SECURE=false, asks without"
        if isinstance(error, ConnectionRefusedError):
            return f"no daemon answers at {self}: is it tiphysd's setting server.listen?"
        if isinstance(error, socket.gaierror):
            return f"{self}: there is no such machine ({error.strerror})"
        return f"{self}: {error.strerror or error}"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(self.timeout)
        try:
            made.connect(str(self._path))
        except BaseException:
            made.close()
            raise
        self.sock = made


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What the command line says of it; None and "" where it says nothing."""

    socket: Path | None = None
    server: str = ""
    token: str = ""
    base: str = ""
    secure: bool | None = None
    skip_verify: bool | None = None


def named(typed: Typed, environ: Mapping[str, str]) -> Way | None:
    """The way that was typed, else the one of `TIPHYS_SOCKET`, else of `ARGO_SERVER`; None where nobody names one. Raises BadInput."""
    if typed.socket and typed.server:
        raise BadInput("--socket and --server are two ways to a daemon: give one of them")
    if typed.socket:
        return Socket(typed.socket)
    if not typed.server and environ.get("TIPHYS_SOCKET"):
        return Socket(Path(environ["TIPHYS_SOCKET"]))
    server = typed.server or environ.get("ARGO_SERVER", "")
    if not server:
        return None
    found = ADDRESS.fullmatch(server)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise BadInput(f"{'--server' if typed.server else 'ARGO_SERVER'} is {server!r}; it is HOST:PORT, as localhost:2746")
    base = (typed.base or environ.get("ARGO_BASE_HREF", "")).strip("/")
    return Network(
        host=found["six"] or found["host"],
        port=int(found["port"]),
        secure=_flag(environ, "ARGO_SECURE", default=True) if typed.secure is None else typed.secure,
        verify=not (typed.skip_verify or _flag(environ, "ARGO_INSECURE_SKIP_VERIFY", default=False)),
        base=f"/{base}" if base else "",
        token=token(typed.token, environ),
    )


def token(typed: str, environ: Mapping[str, str]) -> str:
    """The token as it was given, "" where there is none. Raises BadInput."""
    found = (typed or environ.get("ARGO_TOKEN", "")).strip()
    if not found.isascii() or not found.isprintable():
        raise BadInput(f"{'--token' if typed else 'ARGO_TOKEN'} holds what no token holds")
    return found


def bearer(token: str) -> str:
    """A token as a request shows it."""
    return f"Bearer {token[len(BEARER) :].strip() if token.lower().startswith(BEARER) else token}"


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").strip().lower()
    if text and text not in YES | NO:
        raise BadInput(f"{name} is {text!r}; it is true or false")
    return text in YES if text else default
