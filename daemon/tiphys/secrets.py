"""Values of Secrets and ConfigMaps, read when asked for and kept nowhere: not in a log, a row, an event or a `repr`.

Looked for, in this order: the documents given; files `<directory>/<name>/<key>`; systemd's credentials `<credentials>/<name>.<key>`.
Only documents tell Secrets from ConfigMaps; a file serves as whichever it is asked for.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import anyio.to_thread

from tiphys.errors import TiphysError
from tiphys.spec.parameters import KeySelector
from tiphys.spec.workflows import ConfigMap, Document, Secret

LIMIT_BYTES = 1024 * 1024  # Kubernetes' own limit
NAME = re.compile(r"[a-zA-Z0-9_](?:[-._a-zA-Z0-9]{0,251}[a-zA-Z0-9_])?")
KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
SECRET = "Secret"  # noqa: S105  the name of a kind
CONFIG_MAP = "ConfigMap"

Key = tuple[str, str, str]
"""Kind, namespace ("": any) and name."""


class SecretMissing(TiphysError):
    """A Secret or ConfigMap key is not there, or cannot be read."""


class Secrets:
    """Where Secrets and ConfigMaps are found. Text that is not UTF-8 comes with surrogate escapes: `os.fsencode` gives its bytes.

    The trailing newline of a file of one line is dropped (an editor's or `echo`'s); files of several lines come as they are.
    """

    def __init__(self, documents: Iterable[Document] = (), *, directory: Path | None = None, credentials: Path | None = None) -> None:
        self._documents: dict[Key, Mapping[str, bytes]] = {}
        self._kept: dict[Key, Mapping[str, bytes]] = {}
        self._directory = directory
        self._credentials = credentials
        for document in documents:
            self._add(document, self._documents)

    def keep(self, documents: Iterable[Document]) -> None:
        """Have these ConfigMaps in place of those kept before; they come after the documents given at the beginning."""
        self._kept.clear()
        for document in documents:
            self._add(document, self._kept)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self._documents)} documents, directory {self._directory}, credentials {self._credentials}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("Secrets are not written anywhere")

    def with_documents(self, documents: Iterable[Document]) -> "Secrets":
        """The same sources, with the Secrets and ConfigMaps among `documents` in front."""
        wider = Secrets(documents, directory=self._directory, credentials=self._credentials)
        wider._documents = {**self._documents, **wider._documents}
        wider._kept = self._kept
        return wider

    async def secret(self, namespace: str, name: str, key: str) -> str | None:
        """One value of a Secret; None: there is none. SecretMissing: it is there and cannot be read."""
        return await self._value(SECRET, namespace, name, key)

    async def config_map(self, namespace: str, name: str, key: str) -> str | None:
        """One value of a ConfigMap; as `secret`."""
        return await self._value(CONFIG_MAP, namespace, name, key)

    async def secret_keys(self, namespace: str, name: str) -> dict[str, str] | None:
        """All keys and values of a Secret; None: there is no such Secret."""
        return await self._values(SECRET, namespace, name)

    async def config_map_keys(self, namespace: str, name: str) -> dict[str, str] | None:
        """All keys and values of a ConfigMap; None: there is no such ConfigMap."""
        return await self._values(CONFIG_MAP, namespace, name)

    async def need_secret(self, namespace: str, selector: KeySelector) -> str | None:
        """The selected value. Missing: None if the selector says optional, else SecretMissing."""
        return self._needed(SECRET, namespace, selector, await self.secret(namespace, selector.name, selector.key))

    async def need_config_map(self, namespace: str, selector: KeySelector) -> str | None:
        """As `need_secret`, of a ConfigMap."""
        return self._needed(CONFIG_MAP, namespace, selector, await self.config_map(namespace, selector.name, selector.key))

    def missing(self, kind: str, namespace: str, name: str, key: str = "") -> SecretMissing:
        """The error for a `Secret` or `ConfigMap` (or one key of it) that nobody has, with the places that were looked in."""
        wanted = f'{kind.lower()} "{name}" not found' if not key else f"{kind.lower()} '{name}' does not have the key '{key}'"
        places = [f"the {kind} documents submitted in namespace {namespace}"]
        if self._directory is not None:
            places.append(str(self._directory / name / (key or "…")))
        if self._credentials is not None:
            places.append(str(self._credentials / f"{name}.{key or '…'}"))
        return SecretMissing(f"{wanted}; looked in {', '.join(places)}")

    def _needed(self, kind: str, namespace: str, selector: KeySelector, value: str | None) -> str | None:
        if value is None and not selector.optional:
            raise self.missing(kind, namespace, selector.name, selector.key)
        return value

    def _add(self, document: Document, to: dict[Key, Mapping[str, bytes]]) -> None:
        match document:
            case Secret():
                values = {key: _decoded(SECRET, document.metadata.name, key, text) for key, text in (document.data or {}).items()}
                values |= {key: text.encode() for key, text in (document.string_data or {}).items()}
                to[SECRET, document.metadata.namespace, document.metadata.name] = values
            case ConfigMap():
                binary = document.binary_data or {}
                values = {key: _decoded(CONFIG_MAP, document.metadata.name, key, text) for key, text in binary.items()}
                values |= {key: text.encode() for key, text in (document.data or {}).items()}
                to[CONFIG_MAP, document.metadata.namespace, document.metadata.name] = values
            case _:
                pass

    def _document(self, kind: str, namespace: str, name: str) -> Mapping[str, bytes] | None:
        for documents in (self._documents, self._kept):
            found = documents.get((kind, namespace, name), documents.get((kind, "", name)))
            if found is not None:
                return found
        return None

    async def _value(self, kind: str, namespace: str, name: str, key: str) -> str | None:
        found = (self._document(kind, namespace, name) or {}).get(key)
        if found is None and NAME.fullmatch(name) and KEY.fullmatch(key):
            found = await anyio.to_thread.run_sync(self._file_value, kind, name, key)
        return None if found is None else os.fsdecode(found)

    async def _values(self, kind: str, namespace: str, name: str) -> dict[str, str] | None:
        document = self._document(kind, namespace, name)
        files = await anyio.to_thread.run_sync(self._file_values, kind, name) if NAME.fullmatch(name) else None
        if document is None and files is None:
            return None
        return {key: os.fsdecode(value) for key, value in {**(files or {}), **(document or {})}.items()}

    def _file_value(self, kind: str, name: str, key: str) -> bytes | None:
        read = _reader(kind, name, key)
        found = read(self._directory / name / key) if self._directory is not None else None
        if found is None and self._credentials is not None:
            found = read(self._credentials / f"{name}.{key}")
        return found

    def _file_values(self, kind: str, name: str) -> dict[str, bytes] | None:
        keys = [file for file in _names(self._credentials) if file.startswith(f"{name}.")]
        found = {file.removeprefix(f"{name}.") for file in keys}
        folder = None if self._directory is None else self._directory / name
        found.update(_names(folder))
        values = {key: self._file_value(kind, name, key) for key in sorted(found) if KEY.fullmatch(key)}
        there = {key: value for key, value in values.items() if value is not None}
        return there if there or (folder is not None and folder.is_dir()) else None


def _decoded(kind: str, name: str, key: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        # The cause is dropped: it could quote the value.
        raise SecretMissing(f'{kind.lower()} "{name}": the value of {key!r} is not base64; write plain text in stringData') from None


def _reader(kind: str, name: str, key: str) -> Callable[[Path], bytes | None]:
    def read(path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                value = file.read(LIMIT_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise SecretMissing(f"{kind.lower()} '{name}': the key '{key}' cannot be read from {path}: {error.strerror}") from error
        if len(value) > LIMIT_BYTES:
            raise SecretMissing(f"{kind.lower()} '{name}': the key '{key}' in {path} is larger than {LIMIT_BYTES} bytes")
        return value[:-1] if value.count(b"\n") == 1 and value.endswith(b"\n") else value

    return read


def _names(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SecretMissing(f"{folder} cannot be read: {error.strerror}") from error
