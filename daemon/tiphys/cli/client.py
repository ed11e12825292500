"""Asks a daemon over its Unix socket, with the standard library alone: whoever types a command should not wait for imports."""

import grp
import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from tiphys.errors import TiphysError

ANSWER_SECONDS = 120.0
API = "/api/v1"
T = TypeVar("T")


class Unreachable(TiphysError):
    """No daemon answers."""


class Said(TiphysError):
    """The daemon says no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == http.HTTPStatus.NOT_FOUND


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


class Client:
    """One daemon. Every method raises Unreachable and Said."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer; `path` is below /api/v1, or begins at the root where it begins with two slashes."""
        return self._asked("GET", path, query)

    def value(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The decoded JSON of an answer."""
        return msgspec.json.decode(self.get(path, query))

    def put(self, path: str, body: object) -> bytes:
        """The answer to a wish."""
        return self._asked("PUT", path, None, msgspec.json.encode(body))

    def post(self, path: str, body: bytes, query: Mapping[str, str] | None = None, kind: str = "application/json") -> bytes:
        """The answer to something new."""
        return self._asked("POST", path, query, body, kind)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The answer to a deletion."""
        return self._asked("DELETE", path, query)

    def stream(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The lines of an answer that goes on: each the JSON of `{"result": …}`. It ends when the daemon ends it."""
        connection = _Connection(self.path, None)
        try:
            answer = self._sent(connection, "GET", path, query)
            while line := self._reading(answer.readline):
                if line.strip():
                    yield line
        finally:
            connection.close()

    def _asked(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None = None, kind: str = "application/json"
    ) -> bytes:
        connection = _Connection(self.path, ANSWER_SECONDS)
        try:
            answer = self._sent(connection, method, path, query, body, kind)
            return self._reading(answer.read)
        finally:
            connection.close()

    def _sent(
        self,
        connection: _Connection,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None = None,
        kind: str = "application/json",
    ) -> http.client.HTTPResponse:
        target = path[1:] if path.startswith("//") else API + path
        if query:
            target += "?" + urlencode(query)
        headers = {"Content-Type": kind} if body is not None else {}

        def send() -> http.client.HTTPResponse:
            connection.request(method, target, body, headers)
            return connection.getresponse()

        answer = self._reading(send)
        if answer.status >= 400:
            raise Said(answer.status, _message(answer.status, self._reading(answer.read)))
        return answer

    def _reading(self, work: Callable[[], T]) -> T:
        """Do something on the wire; what goes wrong there is said so that somebody can put it right."""
        try:
            return work()
        except PermissionError as error:
            raise Unreachable(self._not_allowed()) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unreachable(f"no daemon answers at {self.path}: is tiphysd running?") from error
        except TimeoutError as error:
            raise Unreachable(f"the daemon at {self.path} has not answered for {ANSWER_SECONDS:.0f} seconds") from error
        except (ConnectionError, http.client.HTTPException) as error:
            raise Unreachable(f"the daemon at {self.path} hung up: it may be restarting; try again") from error
        except OSError as error:
            raise Unreachable(f"{self.path}: {error.strerror or error}") from error

    def _not_allowed(self) -> str:
        try:
            found = self.path.stat()
        except OSError:
            return f"you may not use {self.path}: its folder is closed to you; ask whoever runs the daemon"
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        way = f"usermod -aG {group} USER, then log in again"
        return f"you may not use {self.path}: only its owner and members of the group {group} may ({way})"


def quoted(*parts: str) -> str:
    """Names as a part of a path."""
    return "".join(f"/{quote(part, safe='@')}" for part in parts)


def _message(status: int, body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("message"), str):
        return str(found["message"])
    return body.decode("utf-8", "replace").strip() or f"the daemon answered with status {status}"
