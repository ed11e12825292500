"""The short way to what many finished attempts printed: the journal of their run says where it lies in the pack."""

import json

from tiphys.executors.process import packs
from tiphys.executors.process.places import Directories


def written(folder, records, *, more=b""):
    with (folder / "journal").open("ab") as journal:
        journal.write(b"".join(json.dumps(record).encode() + b"\n" for record in records) + more)


def test_small_logs_are_found_as_their_ends_are_written(tmp_path):
    directories = Directories(root=tmp_path, runtime=tmp_path)
    folder = directories.group("u/a/0")
    folder.mkdir()
    (folder / "output").write_bytes(b"onetwo")
    found = packs.Packs(directories)
    assert found.printed(["u/a/0"]) == {}
    end = {"told": "ended", "id": "u/b/0", "printed": 3, "log": [3, 3]}
    cut = json.dumps(end).encode()
    written(
        folder,
        [{"told": "ended", "id": "u/a/0", "printed": 3, "log": [0, 3]}, {"told": "ended", "id": "u/none/0", "printed": 0}],
        more=cut[:9],
    )
    assert found.printed(["u/a/0", "u/b/0", "u/none/0"]) == {"u/a/0": b"one", "u/none/0": b""}
    written(folder, [], more=cut[9:] + b"\n")
    written(folder, [{"told": "ended", "id": "u/large/0", "printed": 1 << 30}, {"told": "started", "id": "u/c/0"}])
    assert found.printed(["u/b/0", "u/large/0", "u/c/0"]) == {"u/b/0": b"two"}


def test_a_run_that_is_not_there_any_more_has_none(tmp_path):
    directories = Directories(root=tmp_path, runtime=tmp_path)
    assert packs.Packs(directories).printed(["gone/a/0"]) == {}
    folder = directories.group("u/a/0")
    folder.mkdir()
    written(folder, [{"told": "ended", "id": "u/a/0", "printed": 3, "log": [0, 3]}])
    assert packs.Packs(directories).printed(["u/a/0"]) == {}
