"""Bearer tokens: who comes over the network shows one. The file holds their hashes, names and scopes, never a token itself.

Everything here blocks for a moment: call it before the loop runs, or in a thread.
"""

import enum
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tiphys.errors import TiphysError
from tiphys.settings import ServerSettings

NAME = "tokens.json"
MARK = "tiphys_"
"""What a token begins with, so that it is known for one where it does not belong."""

BYTES = 32
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VERSION = 1


class Scope(enum.StrEnum):
    """What the bearer of a token may do; each scope includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def allows(self, needed: "Scope") -> bool:
        """Whether this is enough where `needed` is asked for."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is kept of a token. Times are seconds since 1970; `expires` 0: never."""

    name: str
    scope: Scope
    sha256: str
    created: float
    expires: float = 0.0

    def valid(self, at: float) -> bool:
        """Whether it has not expired."""
        return not self.expires or at < self.expires


def place(settings: ServerSettings, state: Path) -> Path:
    """Where the tokens are: the setting, else in the state directory."""
    return Path(settings.tokens_file).expanduser() if settings.tokens_file else state / NAME


class TokensRefused(TiphysError):
    """The tokens cannot be read, or cannot be changed in this way."""


def digest(text: str) -> str:
    """The hash of a token. It is as random as 256 bits are, so nobody guesses it from a plain hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> tuple[Token, ...]:
    """The tokens of a file; none where it is missing. Raises TokensRefused."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokensRefused(f"the tokens in {path} cannot be read: {error.strerror}") from error
    try:
        found = json.loads(data)
        if found["version"] != VERSION:
            raise TokensRefused(f"{path} is of another release (version {found['version']})")
        return tuple(_token(entry) for entry in found["tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise TokensRefused(f"{path} does not hold tokens; move it away and create them anew") from error


def _token(entry: dict[str, Any]) -> Token:
    made = Token(
        name=str(entry["name"]),
        scope=Scope(entry["scope"]),
        sha256=str(entry["sha256"]),
        created=float(entry["created"]),
        expires=float(entry["expires"]),
    )
    if not re.fullmatch(r"[0-9a-f]{64}", made.sha256):
        raise ValueError(made.name)
    return made


def create(path: Path, scope: Scope, *, name: str = "", seconds: float = 0.0) -> tuple[str, Token]:
    """A new token and what is kept of it; `seconds`: how long it is valid, 0: for ever. Raises TokensRefused."""
    text = MARK + secrets.token_urlsafe(BYTES)
    at = time.time()
    with _changing(path) as kept:
        name = name or f"{scope}-{secrets.token_hex(3)}"
        if not WORD.fullmatch(name):
            raise TokensRefused(f"{name!r} is no name for a token: letters, digits, '-', '_' and '.', 63 at most")
        if any(one.name == name for one in kept):
            raise TokensRefused(f"there is a token {name!r} already; revoke it first, or name this one otherwise")
        made = Token(name=name, scope=scope, sha256=digest(text), created=at, expires=at + seconds if seconds else 0.0)
        kept.append(made)
    return text, made


def revoke(path: Path, name: str) -> None:
    """Take a token back; a daemon that runs goes by it at once. Raises TokensRefused."""
    with _changing(path) as kept:
        found = [one for one in kept if one.name == name]
        if not found:
            raise TokensRefused(f"there is no token {name!r}")
        kept.remove(found[0])


@contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The tokens, to be changed; written whole at the end, by one process at a time."""
    try:
        with _locked(path):
            kept = list(read(path))
            yield kept
            _write(path, kept)
    except OSError as error:
        raise TokensRefused(f"the tokens in {path} cannot be changed: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, kept: list[Token]) -> None:
    """Replace the file. It belongs to whom its folder belongs to: root makes tokens for a daemon that is not root."""
    entries = [asdict(one) for one in kept]
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        owner = path.parent.stat()
        if os.geteuid() == 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        json.dump({"version": VERSION, "tokens": entries}, file, indent=1)
        file.flush()
        os.fsync(fd)
    fresh.replace(path)


class Tokens:
    """The tokens that a daemon goes by: the file's, as it is now."""

    def __init__(self, path: Path, trouble: Callable[[str], None] = lambda _: None) -> None:
        """`trouble` is told why a file cannot be read; nobody's token is valid then."""
        self.path = path
        self._trouble = trouble
        self._seen: tuple[int, ...] | None = None
        self._kept: tuple[Token, ...] = ()

    def find(self, text: str) -> Token | None:
        """The token that `text` is, if it is valid now. All are compared, so the time taken tells nothing."""
        self._refresh()
        wanted = digest(text)
        found = None
        for one in self._kept:
            if hmac.compare_digest(one.sha256, wanted):
                found = one
        return found if found is not None and found.valid(time.time()) else None

    def stands(self, token: Token) -> bool:
        """Whether a token that was found is still valid."""
        self._refresh()
        return token in self._kept and token.valid(time.time())

    def _refresh(self) -> None:
        seen = _look(self.path)
        if seen == self._seen:
            return
        try:
            self._kept = read(self.path)
        except TokensRefused as error:
            self._kept = ()
            self._trouble(str(error))
        self._seen = seen  # last: until then another thread reads for itself


def _look(path: Path) -> tuple[int, ...]:
    """What differs when a file was written or replaced."""
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns
