"""What is packed comes out the same, and hostile archives do no harm."""

import gzip
import io
import os
import stat
import sys
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.artifacts import trees_made
from tiphys.artifacts import packing, trees, unpacking
from tiphys.artifacts.errors import ArtifactError
from tiphys.spec.artifacts import ArchiveStrategy, TarStrategy, ZipStrategy

ZIP = ArchiveStrategy(zip=ZipStrategy())


def packed(source: Path, dest: Path, archive: ArchiveStrategy | None = None) -> Path:
    with dest.open("wb") as file:
        packing.pack(source, file, archive)
    return dest


def tar_of(path: Path, *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tuple):
                member[0].size = len(member[1])
                tar.addfile(member[0], io.BytesIO(member[1]))
            else:
                tar.addfile(member)
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = target
    made.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return made


@settings(max_examples=60, deadline=None)
@given(trees_made.folders, trees_made.names, st.sampled_from(["tar", "zip"]))
def test_every_tree_survives_packing(tree, name, kind):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "s")
        source.mkdir()
        trees_made.make(source / name, tree)
        archive = packed(source / name, Path(folder, "a"), ZIP if kind == "zip" else None)
        unpack = unpacking.unpack_zip if kind == "zip" else unpacking.unpack_tar
        out = unpack(archive, Path(folder, "out"))
        assert trees_made.seen(out) == tree
        assert out == Path(folder, "out", name)


@pytest.mark.parametrize("archive", [None, ZIP])
def test_the_same_tree_gives_the_same_bytes(tmp_path, archive):
    tree = ("folder", {"b": ("file", b"1", 0o644), "a": ("folder", {"x": ("file", b"2" * 5000, 0o600)}, 0o755)}, 0o755)
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        trees_made.make(tmp_path / place / "t", tree)
        for path in [*(tmp_path / place).rglob("*")]:
            os.utime(path, (1_700_000_000, 1_700_000_000))
    assert (
        packed(tmp_path / "one" / "t", tmp_path / "1", archive).read_bytes()
        == packed(tmp_path / "two" / "t", tmp_path / "2", archive).read_bytes()
    )


def test_times_survive(tmp_path):
    (tmp_path / "f").write_text("x")
    os.utime(tmp_path / "f", (1_600_000_000, 1_600_000_000))
    assert unpacking.unpack_tar(packed(tmp_path / "f", tmp_path / "a"), tmp_path / "o").stat().st_mtime == 1_600_000_000
    assert unpacking.unpack_zip(packed(tmp_path / "f", tmp_path / "b", ZIP), tmp_path / "p").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("archive", [None, ZIP])
def test_links_inside_are_kept_and_not_followed(tmp_path, archive):
    tree = (
        "folder",
        {"real": ("file", b"1", 0o644), "d": ("folder", {"up": ("link", "../real", 0)}, 0o755), "l": ("link", "d/up", 0)},
        0o755,
    )
    trees_made.make(tmp_path / "t", tree)
    unpack = unpacking.unpack_zip if archive else unpacking.unpack_tar
    assert trees_made.seen(unpack(packed(tmp_path / "t", tmp_path / "a", archive), tmp_path / "o")) == tree


@pytest.mark.parametrize("level", range(-1, 10))
def test_every_compression_level_works(tmp_path, level):
    (tmp_path / "f").write_bytes(b"x" * 10_000)
    archive = packed(tmp_path / "f", tmp_path / "a", ArchiveStrategy(tar=TarStrategy(compression_level=level)))
    assert unpacking.looks_like_tgz(archive)
    assert unpacking.unpack_tar(archive, tmp_path / "o").read_bytes() == b"x" * 10_000
    assert (archive.stat().st_size > 10_000) == (level == 0)


def test_an_unknown_compression_level_is_refused(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(ArtifactError, match="compressionLevel 12"):
        packed(tmp_path / "f", tmp_path / "a", ArchiveStrategy(tar=TarStrategy(compression_level=12)))


def test_a_socket_is_refused_by_name(tmp_path):
    (tmp_path / "t").mkdir()
    os.mkfifo(tmp_path / "t" / "pipe")
    with pytest.raises(ArtifactError, match="pipe is a socket, pipe or device"):
        packed(tmp_path / "t", tmp_path / "a")


@pytest.fixture
def shallow_stack():
    """Deep for Python is 300 calls instead of 1,000, so that the tree can be smaller."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    yield
    sys.setrecursionlimit(before)


def test_a_very_deep_tree_is_packed_and_unpacked(tmp_path, shallow_stack):
    deep = tmp_path / "t"
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    out = unpacking.unpack_tar(packed(deep, tmp_path / "a"), tmp_path / "o")
    assert sum(1 for _ in trees.walk(out)) == 401
    for tree in (deep, tmp_path / "o"):
        trees.remove(tree)
        assert not tree.exists()


def test_one_top_level_entry_stands_for_the_whole_and_several_are_a_folder(tmp_path):
    one = tar_of(tmp_path / "1", (entry("./only/file"), b"x"))
    assert unpacking.unpack_tar(one, tmp_path / "o1") == tmp_path / "o1" / "only"
    two = tar_of(tmp_path / "2", (entry("a"), b"x"), (entry("b"), b"y"))
    assert unpacking.unpack_tar(two, tmp_path / "o2") == tmp_path / "o2"
    assert stat.S_IMODE((tmp_path / "o2").stat().st_mode) == 0o755


def test_only_tar_in_gzip_looks_like_tgz(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "gz").write_bytes(gzip.compress(b"hello" * 1000))
    (tmp_path / "cut").write_bytes(gzip.compress(b"hello" * 1000)[:20])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("text", "gz", "cut", "empty", "folder", "missing"):
        assert not unpacking.looks_like_tgz(tmp_path / name)
    assert unpacking.looks_like_tgz(tar_of(tmp_path / "tgz", (entry("a"), b"x")))


HOSTILE = {
    "climbs": [(entry("../evil"), b"x")],
    "climbs inside": [(entry("a/../../evil"), b"x")],
    "absolute": [(entry("/evil"), b"x")],
    "absolute link": [entry("d", tarfile.DIRTYPE), entry("d/l", tarfile.SYMTYPE, "/etc/passwd")],
    "link out": [(entry("a"), b"1"), entry("l", tarfile.SYMTYPE, "../evil")],
    "link out of the only folder": [entry("d", tarfile.DIRTYPE), entry("d/l", tarfile.SYMTYPE, "../evil")],
    "link out through a link": [(entry("a/b"), b"1"), entry("here", tarfile.SYMTYPE, "."), entry("l", tarfile.SYMTYPE, "here/../evil")],
    "link alone": [entry("l", tarfile.SYMTYPE, "l2")],
    "write through a link": [(entry("x"), b"1"), entry("l", tarfile.SYMTYPE, "/"), (entry("l/evil"), b"x")],
    "hard link out": [(entry("x"), b"1"), entry("l", tarfile.LNKTYPE, "../../secret")],
    "hard link to the host": [(entry("x"), b"1"), entry("l", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to a link": [(entry("x"), b"1"), entry("s", tarfile.SYMTYPE, "x"), entry("l", tarfile.LNKTYPE, "s")],
    "device": [entry("null", tarfile.CHRTYPE)],
    "pipe": [entry("p", tarfile.FIFOTYPE)],
    "file and folder": [(entry("a/b"), b"1"), (entry("a"), b"2")],
}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "write through a link"])
def test_hostile_tars_are_refused_and_leave_nothing(tmp_path, name):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in").mkdir()
    archive = tar_of(tmp_path / "a.tgz", *HOSTILE[name])
    with pytest.raises(ArtifactError):
        unpacking.unpack_tar(archive, tmp_path / "in" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tgz", "in", "secret"]


def test_a_folder_in_place_of_a_link_never_writes_through_it(tmp_path):
    out = unpacking.unpack_tar(tar_of(tmp_path / "a.tgz", *HOSTILE["write through a link"]), tmp_path / "out")
    assert trees_made.seen(out)[1].keys() == {"x", "l"}
    assert (out / "l" / "evil").read_bytes() == b"x"
    assert not Path("/evil").exists()


def test_set_user_id_does_not_survive(tmp_path):
    member = entry("f")
    member.mode = 0o4755
    assert stat.S_IMODE(unpacking.unpack_tar(tar_of(tmp_path / "a", (member, b"x")), tmp_path / "o").stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_hostile_zips_are_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x")
    with pytest.raises(ArtifactError, match="illegal file path"):
        unpacking.unpack_zip(tmp_path / "z", tmp_path / "in" / "out")
    assert not (tmp_path / "evil").exists()


def test_a_zipped_link_out_is_refused(tmp_path):
    link = zipfile.ZipInfo("d/l")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArtifactError, match="illegal symlink target: d/l"):
        unpacking.unpack_zip(tmp_path / "z", tmp_path / "out")


def test_bombs_stop_at_the_limit(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(3_000_000))
    for archive, unpack in (
        (packed(tmp_path / "zeros", tmp_path / "a"), unpacking.unpack_tar),
        (packed(tmp_path / "zeros", tmp_path / "b", ZIP), unpacking.unpack_zip),
    ):
        assert archive.stat().st_size < 20_000
        with pytest.raises(ArtifactError, match="more than 1000000 bytes"):
            unpack(archive, tmp_path / "out", 1_000_000)
        assert not (tmp_path / "out").exists()


def test_a_header_as_large_as_memory_is_refused_unread(tmp_path):
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    header.size = 200 * 1024 * 1024
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(200):
            file.write(bytes(1024 * 1024))
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="header larger"):
        unpacking.unpack_tar(tmp_path / "a", tmp_path / "o")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 1024 * 1024


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(["tar", "raw tar", "zip"]))
def test_a_spoilt_archive_is_an_artifact_error_or_unpacks(data, kind):
    with tempfile.TemporaryDirectory() as folder:
        trees_made.make(
            Path(folder, "t"), ("folder", {"a": ("file", b"1" * 300, 0o644), "l": ("link", "a", 0), "d": ("folder", {}, 0o755)}, 0o755)
        )
        for path in Path(folder).rglob("*"):
            os.utime(path, (0, 0), follow_symlinks=False)
        content = bytearray(packed(Path(folder, "t"), Path(folder, "a"), ZIP if kind == "zip" else None).read_bytes())
        if kind == "raw tar":
            content = bytearray(gzip.decompress(content))
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
        Path(folder, "a").write_bytes(gzip.compress(content) if kind == "raw tar" else content)
        Path(folder, "in").mkdir()
        try:
            (unpacking.unpack_zip if kind == "zip" else unpacking.unpack_tar)(Path(folder, "a"), Path(folder, "in", "o"))
        except ArtifactError:
            assert not list(Path(folder, "in").iterdir())
