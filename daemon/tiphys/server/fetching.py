"""An artifact in a folder of its own, for as long as somebody looks at it."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import structs

from tiphys.artifacts import trees
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.engine.house import House
from tiphys.server.problems import Problem
from tiphys.spec.artifacts import ArchiveStrategy, Artifact, NoneStrategy

AS_IT_IS = ArchiveStrategy(none=NoneStrategy())
PIECE_BYTES = 256 * 1024


@asynccontextmanager
async def fetched(house: House, artifact: Artifact, namespace: str, path: Sequence[str] = ()) -> AsyncIterator[Path]:
    """The artifact's bytes as they are stored, or (`path`) those of a file or folder in it. Raises Problem."""
    if house.artifacts is None:
        raise Problem(404, "this daemon keeps no artifacts")
    if artifact.deleted:
        raise Problem(404, f'artifact "{artifact.name}" was deleted')
    folder = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="tiphys-artifact-")))
    try:
        below = "/".join([*filter(None, [artifact.sub_path]), *path])
        try:
            await house.artifacts.load(
                structs.replace(artifact, archive=AS_IT_IS, mode=None, sub_path=below), folder / "fetched", namespace
            )
        except ArtifactMissing as error:
            raise Problem(404, f'artifact "{artifact.name}": {error}') from error
        except ArtifactError as error:
            raise Problem(503 if error.transient else 400, f'artifact "{artifact.name}": {error}') from error
        yield folder / "fetched"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


async def pieces(path: Path) -> AsyncGenerator[bytes, None]:
    """A file's bytes, some at a time."""
    opened = await anyio.to_thread.run_sync(trees.open_file, path)
    try:
        while piece := await anyio.to_thread.run_sync(opened.read, PIECE_BYTES):
            yield piece
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(opened.close)


async def logs(house: House, artifacts: Sequence[Artifact], namespace: str) -> AsyncIterator[bytes]:
    """What a node printed, as its artifacts kept it (archiveLogs); nothing where there is nothing (any more)."""
    for artifact in artifacts:
        if artifact.name.endswith("-logs") and not artifact.deleted:
            with contextlib.suppress(Problem):
                async with fetched(house, artifact, namespace) as path, contextlib.aclosing(pieces(path)) as read:
                    async for piece in read:
                        yield piece
