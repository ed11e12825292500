"""Trees for tests, as plain values: a file's text, a link's target, or a folder of more."""

import stat
from pathlib import Path

from hypothesis import strategies as st

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."} and len(name.encode()) < 200
)
files = st.tuples(st.just("file"), st.binary(max_size=2000), st.sampled_from([0o644, 0o600, 0o755, 0o444]))
folders = st.recursive(
    files,
    lambda inner: st.tuples(st.just("folder"), st.dictionaries(names, inner, max_size=4), st.sampled_from([0o755, 0o700, 0o770])),
    max_leaves=12,
)


def make(path: Path, tree) -> None:
    kind, content, mode = tree
    if kind == "file":
        path.write_bytes(content)
    elif kind == "link":
        path.symlink_to(content)
        return
    else:
        path.mkdir()
        for name, inner in content.items():
            make(path / name, inner)
    path.chmod(mode)


def seen(path: Path):
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", str(path.readlink()), 0)
    if stat.S_ISDIR(status.st_mode):
        return ("folder", {inner.name: seen(inner) for inner in path.iterdir()}, status.st_mode & 0o777)
    return ("file", path.read_bytes(), status.st_mode & 0o777)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
