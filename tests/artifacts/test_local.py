"""The local repository: whole or not at all, keys as S3 has them, Argo's rules of packing and unpacking."""

import os
import signal
import stat
import subprocess
import sys
import time
import zipfile

import anyio
import msgspec
import pytest

from tests.artifacts import trees_made
from tests.artifacts.trees_made import listed
from tiphys import settings
from tiphys.artifacts import locations, store
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import (
    GCS,
    HDFS,
    OSS,
    S3,
    ArchiveStrategy,
    Artifact,
    Azure,
    Git,
    NoneStrategy,
    PluginArtifact,
    Raw,
    TarStrategy,
    ZipStrategy,
)

pytestmark = pytest.mark.asyncio

NONE = ArchiveStrategy(none=NoneStrategy())
ZIP = ArchiveStrategy(zip=ZipStrategy())
TREE = ("folder", {"a": ("file", b"1", 0o644), "b": ("folder", {"c": ("file", b"2", 0o755)}, 0o755)}, 0o755)


def keyed(key: str, archive: ArchiveStrategy | None = None, **fields) -> Artifact:
    return Artifact(name="x", s3=S3(key=key), archive=archive, **fields)


@pytest.mark.parametrize("archive", [None, NONE, ZIP, ArchiveStrategy(tar=TarStrategy(compression_level=0))])
@pytest.mark.parametrize("tree", [TREE, ("file", b"hello\n", 0o644), ("folder", {}, 0o755)])
async def test_what_is_saved_is_loaded(tmp_path, local_store, archive, tree):
    trees_made.make(tmp_path / "source", tree)
    await local_store.save(keyed("w/p/x", archive), tmp_path / "source", "default")
    await local_store.load(keyed("w/p/x", archive), tmp_path / "deep" / "dest", "default")
    assert trees_made.seen(tmp_path / "deep" / "dest") == tree
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["dest"]


async def test_the_default_packing_is_tgz_and_is_recognised_by_its_content(tmp_path, local_store, repository):
    (tmp_path / "s").write_text("x")
    await local_store.save(keyed("w/p/x.tgz"), tmp_path / "s", "default")
    assert (repository / "w/p/x.tgz").read_bytes()[:2] == b"\x1f\x8b"
    await local_store.load(keyed("w/p/x.tgz", NONE), tmp_path / "d", "default")
    assert (tmp_path / "d").read_bytes() == (repository / "w/p/x.tgz").read_bytes()
    await local_store.load(keyed("w/p/x.tgz"), tmp_path / "e", "default")
    assert (tmp_path / "e").read_text() == "x"


async def test_a_zip_is_unpacked_only_when_the_artifact_says_zip(tmp_path, local_store, repository):
    repository.mkdir()
    with zipfile.ZipFile(repository / "z", "w") as archive:
        archive.writestr("f", "x")
    await local_store.load(keyed("z"), tmp_path / "kept", "default")
    assert (tmp_path / "kept").read_bytes()[:2] == b"PK"
    await local_store.load(keyed("z", ZIP), tmp_path / "unpacked", "default")
    assert (tmp_path / "unpacked").read_text() == "x"


async def test_an_archive_that_says_tar_and_is_none_is_an_error(tmp_path, local_store):
    (tmp_path / "s").write_text("x")
    await local_store.save(keyed("k", NONE), tmp_path / "s", "default")
    with pytest.raises(ArtifactError, match="cannot be unpacked"):
        await local_store.load(keyed("k", ArchiveStrategy(tar=TarStrategy())), tmp_path / "d", "default")
    assert not (tmp_path / "d").exists()


async def test_raw_is_written_as_it_is(tmp_path, local_store):
    await local_store.load(Artifact(name="x", raw=Raw(data="héllo\n")), tmp_path / "a" / "b", "default")
    assert (tmp_path / "a" / "b").read_text() == "héllo\n"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o644
    with pytest.raises(ArtifactError, match="inputs only"):
        await local_store.save(Artifact(name="x", raw=Raw(data="x")), tmp_path / "a", "default")


async def test_mode_and_recurse_mode(tmp_path, local_store):
    trees_made.make(tmp_path / "source", TREE)
    await local_store.save(keyed("k"), tmp_path / "source", "default")
    await local_store.load(keyed("k", mode=0o700), tmp_path / "one", "default")
    assert trees_made.seen(tmp_path / "one") == ("folder", TREE[1], 0o700)
    await local_store.load(keyed("k", mode=0o750, recurse_mode=True), tmp_path / "all", "default")
    assert {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "all", *(tmp_path / "all").rglob("*")]} == {0o750}


async def test_a_missing_key_is_artifact_missing(tmp_path, local_store):
    with pytest.raises(ArtifactMissing, match="no 'w/x'"):
        await local_store.load(keyed("w/x"), tmp_path / "d", "default")


async def test_a_missing_source_is_artifact_missing(tmp_path, local_store):
    with pytest.raises(ArtifactMissing, match="nowhere no such file or directory"):
        await local_store.save(keyed("k"), tmp_path / "nowhere", "default")


async def test_folders_saved_to_one_key_add_up(tmp_path, local_store):
    for name in ("one", "two"):
        trees_made.make(
            tmp_path / name, ("folder", {name: ("file", name.encode(), 0o644), "d": ("folder", {name: ("file", b"", 0o644)}, 0o755)}, 0o755)
        )
        await local_store.save(keyed("results/", NONE), tmp_path / name, "default")
    assert await local_store.list_keys(keyed("results"), "default") == ["results/d/one", "results/d/two", "results/one", "results/two"]
    await local_store.load(keyed("results", NONE, sub_path="d"), tmp_path / "d", "default")
    assert listed(tmp_path / "d") == ["one", "two"]


async def test_saving_again_replaces_a_file(tmp_path, local_store):
    for text in ("old", "new"):
        (tmp_path / "s").write_text(text)
        await local_store.save(keyed("k", NONE), tmp_path / "s", "default")
    await local_store.load(keyed("k", NONE), tmp_path / "d", "default")
    await local_store.load(keyed("k", NONE), tmp_path / "d", "default")
    assert (tmp_path / "d").read_text() == "new"


async def test_a_key_below_a_file_is_an_error_that_says_so(tmp_path, local_store):
    (tmp_path / "s").write_text("x")
    await local_store.save(keyed("a", NONE), tmp_path / "s", "default")
    with pytest.raises(ArtifactError, match="name of one of its folders"):
        await local_store.save(keyed("a/b", NONE), tmp_path / "s", "default")
    with pytest.raises(ArtifactMissing):
        await local_store.load(keyed("a/b"), tmp_path / "d", "default")
    await local_store.save(keyed("c/d", NONE), tmp_path / "s", "default")
    with pytest.raises(ArtifactError, match="is a folder there already"):
        await local_store.save(keyed("c", NONE), tmp_path / "s", "default")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "", "/", ".incoming/x", "a\0b"])
async def test_no_key_leads_out_of_the_repository(tmp_path, local_store, key):
    (tmp_path / "s").write_text("x")
    with pytest.raises(ArtifactError, match="not valid"):
        await local_store.save(keyed(key), tmp_path / "s", "default")
    with pytest.raises(ArtifactError, match="not valid"):
        await local_store.load(keyed(key), tmp_path / "d", "default")


async def test_delete_takes_a_file_or_all_below_and_empty_folders(tmp_path, local_store, repository):
    trees_made.make(tmp_path / "t", TREE)
    await local_store.save(keyed("w/p/t", NONE), tmp_path / "t", "default")
    await local_store.save(keyed("w/q/t"), tmp_path / "t", "default")
    await local_store.delete(keyed("w/p/t"), "default")
    assert await local_store.list_keys(keyed(""), "default") == ["w/q/t"]
    await local_store.delete(keyed("w/q/t"), "default")
    await local_store.delete(keyed("w/q/t"), "default")
    assert listed(repository) == [".incoming"]
    assert listed(repository / ".incoming") == []


async def test_links_are_not_followed_when_saving(tmp_path, local_store):
    (tmp_path / "secret").write_text("host")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "l").symlink_to("../secret")
    (tmp_path / "top").symlink_to("secret")
    with pytest.raises(ArtifactError, match="symbolic link that cannot be followed"):
        await local_store.save(keyed("k"), tmp_path / "top", "default")
    with pytest.raises(ArtifactError, match=r"l -> \.\./secret leads out"):
        await local_store.save(keyed("k", NONE), tmp_path / "t", "default")
    await local_store.save(keyed("k"), tmp_path / "t", "default")
    with pytest.raises(ArtifactError, match="illegal symlink target: t/l"):
        await local_store.load(keyed("k"), tmp_path / "d", "default")


async def test_a_key_goes_through_links_of_the_repository_but_never_out_of_it(tmp_path, local_store, repository):
    trees_made.make(tmp_path / "t", ("folder", {"d": ("folder", {"f": ("file", b"1", 0o644)}, 0o755), "l": ("link", "d", 0)}, 0o755))
    await local_store.save(keyed("t", NONE), tmp_path / "t", "default")
    for sub_path in ("l/f", "l"):
        await local_store.load(keyed("t", NONE, sub_path=sub_path), tmp_path / sub_path / "in", "default")
    assert (tmp_path / "l" / "in" / "f").read_bytes() == (tmp_path / "l" / "f" / "in").read_bytes() == b"1"
    (repository / "t" / "out").symlink_to(tmp_path)
    for call in (local_store.load, local_store.save):
        for key in ("t/out/t/d/f", "t/out/new"):
            with pytest.raises(ArtifactError, match="leads out of the repository"):
                await call(keyed(key, NONE), tmp_path / "t", "default")
    with pytest.raises(ArtifactError, match="leads out of the repository"):
        await local_store.load(keyed("t/out", NONE), tmp_path / "x", "default")
    with pytest.raises(ArtifactError, match="leads out of the repository"):
        await local_store.delete(keyed("t/out/t"), "default")
    await local_store.delete(keyed("t/out"), "default")
    assert (tmp_path / "t" / "d" / "f").exists()


async def test_an_artifact_whatever_its_kind_with_only_a_key_is_in_the_repository(tmp_path, local_store):
    (tmp_path / "s").write_text("x")
    kinds = {"gcs": GCS(key="k"), "oss": OSS(key="k"), "azure": Azure(blob="k"), "hdfs": HDFS(path="/k"), "plugin": PluginArtifact(key="k")}
    for kind, location in kinds.items():
        saved = await local_store.save(Artifact(name="a", path="/p", **{kind: location}), tmp_path / "s", "default")
        assert msgspec.to_builtins(saved) == {"name": "a", "path": "/p", "s3": {"key": locations.key(Artifact(**{kind: location}))}}
        await local_store.load(saved, tmp_path / "d", "default")


async def test_places_that_are_not_built_are_refused_by_name(tmp_path, local_store):
    for kind, location in {
        "gcs": GCS(bucket="b", key="k"),
        "oss": OSS(bucket="b", key="k"),
        "azure": Azure(container="c", blob="k"),
        "hdfs": HDFS(addresses=("a",), path="/k"),
        "plugin": PluginArtifact(name="p", key="k"),
    }.items():
        artifact = Artifact(name="a", **{kind: location})
        reason = locations.supports(artifact)
        assert reason is not None
        assert f"({kind}) is not supported" in reason
        with pytest.raises(ArtifactError, match="is not supported"):
            await local_store.load(artifact, tmp_path / "d", "default")
    assert locations.supports(keyed("k")) is None


async def test_an_artifact_without_a_place_is_an_error(tmp_path, local_store):
    with pytest.raises(ArtifactError, match="location not set"):
        await local_store.load(Artifact(name="x"), tmp_path / "d", "default")
    assert not locations.has_location(Artifact(name="x", git=Git()))


async def test_a_cancelled_save_leaves_nothing(tmp_path, local_store, repository):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(4 * 1024**3)
    started = time.monotonic()
    with anyio.move_on_after(0.3):
        await local_store.save(keyed("k"), tmp_path / "big", "default")
    assert time.monotonic() - started < 3
    assert await local_store.list_keys(keyed(""), "default") == []
    assert listed(repository / ".incoming") == []


async def test_a_cancelled_load_leaves_nothing(tmp_path, local_store, repository):
    repository.mkdir()
    with (repository / "k").open("wb") as file:
        file.truncate(4 * 1024**3)
    (tmp_path / "d").mkdir()
    with anyio.move_on_after(0.3):
        await local_store.load(keyed("k", NONE), tmp_path / "d" / "x", "default")
    assert listed(tmp_path / "d") == []


SAVER = """
import anyio, pathlib, sys
from tiphys import settings
from tiphys.artifacts import store
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import S3, Artifact, ArchiveStrategy, NoneStrategy

async def main():
    kept = store.Artifacts(settings.ArtifactSettings(), pathlib.Path(sys.argv[1]), Secrets())
    archive = ArchiveStrategy(none=NoneStrategy()) if sys.argv[3] == "none" else None
    print("go", flush=True)
    await kept.save(Artifact(name="a", s3=S3(key="w/k"), archive=archive), pathlib.Path(sys.argv[2]), "default")

anyio.run(main)
"""


@pytest.mark.parametrize("kind", ["none", "tar"])
async def test_a_killed_save_shows_nothing_and_its_rest_is_swept(tmp_path, local_store, repository, kind):
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "0small").write_text("x")
    with (tmp_path / "big" / "large").open("wb") as file:
        file.truncate(4 * 1024**3)
    process = subprocess.Popen([sys.executable, "-c", SAVER, repository, tmp_path / "big", kind], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    while not list(repository.glob(".incoming/*")):
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert await local_store.list_keys(keyed(""), "default") == []
    with pytest.raises(ArtifactMissing):
        await local_store.load(keyed("w/k"), tmp_path / "d", "default")
    (left,) = repository.glob(".incoming/*")
    os.utime(left, (0, 0))
    (tmp_path / "s").write_text("x")
    await store.Artifacts(settings.ArtifactSettings(directory=str(repository)), tmp_path / "unused", Secrets()).save(
        keyed("new"), tmp_path / "s", "default"
    )
    assert listed(repository / ".incoming") == []
    assert not (tmp_path / "unused").exists()


async def test_parallel_saves_and_deletes_in_one_folder_do_not_disturb_each_other(tmp_path, local_store):
    (tmp_path / "s").write_text("x")

    async def one(number: int) -> None:
        for _ in range(10):
            await local_store.save(keyed(f"w/{number}", NONE), tmp_path / "s", "default")
            await local_store.delete(keyed(f"w/{number}"), "default")

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(one, number)
