"""Asks a daemon, with the standard library alone: whoever types a command should not wait for imports."""

import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from tiphys.cli.errors import BadInput
from tiphys.cli.reaching import Way
from tiphys.errors import TiphysError

ANSWER_SECONDS = 120.0
API = "/api/v1"
HUNG_UP = "hung up: it may be restarting; try again"
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


class Client:
    """One daemon. Every method raises Unreachable and Said."""

    def __init__(self, way: Way) -> None:
        self.way = way

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer; `path` is below /api/v1, or begins at the root where it begins with two slashes."""
        return self._asked("GET", path, query)

    def value(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The decoded JSON of an answer."""
        return msgspec.json.decode(self.get(path, query))

    def put(self, path: str, body: object, query: Mapping[str, str] | None = None) -> bytes:
        """The answer to a wish."""
        return self._asked("PUT", path, query, msgspec.json.encode(body))

    def post(self, path: str, body: bytes, query: Mapping[str, str] | None = None, kind: str = "application/json") -> bytes:
        """The answer to something new."""
        return self._asked("POST", path, query, body, kind)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The answer to a deletion."""
        return self._asked("DELETE", path, query)

    def stream(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The lines of an answer that goes on: each the JSON of `{"result": …}`. It ends when the daemon ends it."""
        connection = self.way.connection(None)
        try:
            answer = self._sent(connection, "GET", path, query)
            while line := self._reading(answer.readline):
                if not line.endswith(b"\n"):
                    raise Unreachable(f"the daemon at {self.way} {HUNG_UP}")
                if line.strip():
                    yield line
        finally:
            connection.close()

    @contextmanager
    def saving(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """An answer whose bytes are read piece by piece, with `piece`."""
        connection = self.way.connection(ANSWER_SECONDS)
        try:
            yield self._sent(connection, "GET", path, None)
        finally:
            connection.close()

    def piece(self, answer: http.client.HTTPResponse, size: int) -> bytes:
        """The next bytes of an answer; none at its end."""
        return self._reading(lambda: answer.read(size))

    def _asked(
        self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None = None, kind: str = "application/json"
    ) -> bytes:
        connection = self.way.connection(ANSWER_SECONDS)
        try:
            answer = self._sent(connection, method, path, query, body, kind)
            return self._reading(answer.read)
        finally:
            connection.close()

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None = None,
        kind: str = "application/json",
    ) -> http.client.HTTPResponse:
        target = self.way.base + (path[1:] if path.startswith("//") else API + path)
        if query:
            target += "?" + urlencode(query)
        headers = {**self.way.headers, **({"Content-Type": kind} if body is not None else {})}

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
        except TimeoutError as error:
            raise Unreachable(f"the daemon at {self.way} has not answered for {ANSWER_SECONDS:.0f} seconds") from error
        except ConnectionRefusedError as error:
            raise Unreachable(self.way.trouble(error)) from error
        except (ConnectionError, http.client.HTTPException) as error:
            raise Unreachable(f"the daemon at {self.way} {HUNG_UP}") from error
        except OSError as error:
            raise Unreachable(self.way.trouble(error)) from error


def quoted(*parts: str) -> str:
    """Names as a part of a path. Raises BadInput."""
    if "" in parts:
        raise BadInput("a name is empty")
    return "".join(f"/{quote(part, safe='@')}" for part in parts)


def _message(status: int, body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("message"), str):
        return str(found["message"])
    return body.decode("utf-8", "replace").strip() or f"the daemon answered with status {status}"
