"""The way in: load an artifact to a path, save a path as an artifact, list and delete. Argo's packing rules are kept here."""

import importlib
import secrets as chance
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, assert_never

import anyio
import anyio.from_thread
import anyio.to_thread

from tiphys import settings
from tiphys.artifacts import git, local, locations, trees
from tiphys.artifacts.credentials import Credentials
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.locations import InRepository, Place
from tiphys.artifacts.remote import Remote
from tiphys.artifacts.retrying import Backoff
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import S3, ArchiveStrategy, Artifact, Git, HTTPArtifact, NoneStrategy, Raw

if TYPE_CHECKING:
    import aiohttp

    from tiphys.artifacts import s3_clients

THREADS = 8
AS_IT_IS = ArchiveStrategy(none=NoneStrategy())

T = TypeVar("T")


class Artifacts:
    """The artifact store. Leave it with `aclose` (or `async with`): it keeps connections open.

    An artifact that names no place (`s3: {key: x}`) is in the configured repository: `settings.s3`, else the local folder.
    A `subPath` that is still set is appended to the key. `durable`: what was saved to the local folder survives a power loss.
    """

    def __init__(
        self,
        configured: settings.ArtifactSettings,
        directory: Path,
        secrets: Secrets,
        *,
        backoff: Backoff | None = None,
        durable: bool = True,
        unpack_limit_bytes: int = trees.UNPACK_BYTES,
    ) -> None:
        folder = Path(configured.directory) if configured.directory else directory
        self._repository = configured.s3
        self._local = local.LocalRepository(folder, durable=durable)
        self._secrets = secrets
        self._backoff = backoff or Backoff()
        self._unpack_limit_bytes = unpack_limit_bytes
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None
        self._clients: s3_clients.Clients | None = None
        self._buckets: set[tuple[str, str]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what was opened."""
        self._session = self._clients = None
        await self._stack.aclose()

    async def load(self, artifact: Artifact, dest: Path, namespace: str) -> None:
        """Bring the artifact to `dest`, unpacked and with its mode; parent folders are made.

        ArtifactMissing: there is none. ArtifactError: anything else; `dest` is then as it was, or whole.
        """
        place = locations.place(artifact, artifact.sub_path)
        async with self._beside(dest) as halfway:
            fetched = halfway / "fetched"
            match place:
                case Raw():
                    await self._blocking(fetched.write_text, place.data)
                case InRepository() if self._repository is None:
                    fetched = await self._blocking(self._local.find, place.key)
                case _:
                    await self._away(place, namespace, lambda remote: remote.fetch(fetched))
            await self._blocking(self._settle, artifact, fetched, halfway, dest)

    async def save(self, artifact: Artifact, source: Path, namespace: str) -> Artifact:
        """Keep the file or folder `source` at the artifact's place, packed; gives the artifact as status shows it.

        ArtifactMissing: there is no `source`. ArtifactError: anything else. On local disk and S3 a file appears whole or not at all.
        """
        place = locations.place(artifact)
        await self._blocking(_look, source)
        match place:
            case Raw() | Git():
                raise ArtifactError(f"an artifact cannot be saved to {locations.kind(artifact)}: it is for inputs only")
            case InRepository() if self._repository is None:
                await self._blocking(self._local.save, place.key, source, artifact.archive, anyio.from_thread.check_cancelled)
            case _:
                await self._away(place, namespace, lambda remote: self._upload(remote, source, artifact.archive))
        return locations.relocatable(artifact)

    async def list_keys(self, artifact: Artifact, namespace: str) -> list[str]:
        """The keys of all files at or below the artifact's key, in order."""
        place = locations.place(artifact)
        match place:
            case Raw() | Git():
                raise ArtifactError(f"{locations.kind(artifact)} artifacts cannot be listed")
            case InRepository() if self._repository is None:
                return await self._blocking(self._local.keys, place.key)
            case _:
                return await self._away(place, namespace, lambda remote: remote.keys())

    async def delete(self, artifact: Artifact, namespace: str) -> None:
        """Delete the artifact's bytes; missing is fine."""
        place = locations.place(artifact)
        match place:
            case Raw() | Git():
                raise ArtifactError(f"{locations.kind(artifact)} artifacts cannot be deleted")
            case InRepository() if self._repository is None:
                await self._blocking(self._local.delete, place.key)
            case _:
                await self._away(place, namespace, lambda remote: remote.delete())

    async def _away(self, place: Place, namespace: str, work: Callable[[Remote], Awaitable[T]]) -> T:
        """Do something at a place that is not this machine's disk."""
        try:
            return await work(await self._remote(place, namespace))
        except OSError as error:
            raise _on_disk(error) from error

    async def _remote(self, place: Place, namespace: str) -> Remote:
        credentials = Credentials(self._secrets, namespace)
        match place:
            case HTTPArtifact():
                await self._blocking(importlib.import_module, "tiphys.artifacts.http")
                from tiphys.artifacts import http  # noqa: PLC0415  aiohttp takes long to import: done above, in a thread

                if self._session is None:
                    self._session = await self._stack.enter_async_context(http.open_session())
                return http.HTTPPlace(place, credentials, self._session, self._backoff)
            case S3():
                return await self._s3(place, credentials)
            case InRepository():
                assert self._repository is not None, "a local repository is not remote"
                return await self._s3(locations.repository_s3(self._repository, place.key), credentials)
            case Git():
                return git.GitPlace(place, credentials, self._backoff)
            case Raw():
                raise ArtifactError("raw artifacts have no place")
            case _:
                assert_never(place)

    async def _s3(self, location: S3, credentials: Credentials) -> Remote:
        """A place in S3; what an explicit location leaves out comes from the configured repository."""
        await self._blocking(importlib.import_module, "tiphys.artifacts.s3")
        from tiphys.artifacts import s3, s3_clients  # noqa: PLC0415  aiobotocore takes long to import: done above, in a thread

        if self._clients is None:
            self._clients = s3_clients.Clients()
            self._stack.push_async_callback(self._clients.aclose)
        if self._repository is not None and not location.endpoint:
            location = locations.completed(location, self._repository)
        return s3.S3Place(location, credentials, self._clients, self._backoff, self._buckets)

    async def _upload(self, remote: Remote, source: Path, archive: ArchiveStrategy | None) -> None:
        if archive is not None and archive.none is not None:
            if await self._blocking(source.is_dir):
                await self._blocking(trees.refuse_escapes, source)
                await remote.store_folder(source)
            else:
                await remote.store_file(source)
            return
        packed = await self._blocking(self._local.reserve)
        try:
            await self._blocking(_pack_into, source, packed, archive)
            await remote.store_file(packed)
        finally:
            with anyio.CancelScope(shield=True):
                await self._blocking(self._local.discard, packed)

    def _settle(self, artifact: Artifact, fetched: Path, halfway: Path, dest: Path) -> None:
        from tiphys.artifacts import unpacking  # noqa: PLC0415 - tarfile and zipfile are large, and many daemons never pack anything

        check = anyio.from_thread.check_cancelled
        archive = AS_IT_IS if artifact.git is not None else artifact.archive or ArchiveStrategy()
        unpacked = halfway / "unpacked"
        if archive.none is None and archive.zip is not None:
            ready = unpacking.unpack_zip(fetched, unpacked, self._unpack_limit_bytes, check)
        elif archive.none is None and (archive.tar is not None or unpacking.looks_like_tgz(fetched)):
            ready = unpacking.unpack_tar(fetched, unpacked, self._unpack_limit_bytes, check)
        elif fetched.parent == halfway:
            ready = fetched
        else:
            ready = halfway / "copied"
            trees.copy(fetched, ready, check)
        if ready == fetched and stat.S_ISREG(ready.lstat().st_mode):
            ready.chmod(trees.FILE_MODE)
        trees.place(ready, dest)
        if artifact.mode is not None:
            trees.change_mode(dest, artifact.mode, recurse=artifact.recurse_mode)

    @asynccontextmanager
    async def _beside(self, dest: Path) -> AsyncIterator[Path]:
        """A new folder next to `dest`, deleted at the end: what is made in it reaches `dest` with one rename."""
        halfway = dest.parent / f".tiphys-{chance.token_hex(8)}"
        await self._blocking(_make_aside, halfway)
        try:
            yield halfway
        finally:
            with anyio.CancelScope(shield=True):
                await self._blocking(trees.remove, halfway)

    async def _blocking(self, work: Callable[..., T], *given: object) -> T:
        try:
            return await anyio.to_thread.run_sync(work, *given, limiter=self._limiter)
        except OSError as error:
            raise _on_disk(error) from error


def _on_disk(error: OSError) -> ArtifactError:
    return ArtifactError(f"{error.filename}: {error.strerror or error}" if error.filename else str(error))


def _look(source: Path) -> None:
    try:
        kind = source.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactMissing(f"{source} no such file or directory") from error
    if stat.S_ISLNK(kind):
        raise ArtifactError(f"{source} is a symbolic link that cannot be followed (to {source.readlink()})")


def _make_aside(halfway: Path) -> None:
    trees.make_directory(halfway.parent)
    halfway.mkdir(mode=0o700)


def _pack_into(source: Path, dest: Path, archive: ArchiveStrategy | None) -> None:
    from tiphys.artifacts import packing  # noqa: PLC0415 - tarfile and zipfile are large, and many daemons never pack anything

    with dest.open("xb") as file:
        packing.pack(source, file, archive, anyio.from_thread.check_cancelled)
