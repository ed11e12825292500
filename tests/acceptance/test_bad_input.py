"""Bad input through the command line: an error with its place, exit code 2, no traceback, no crash, and under 300 MB."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.house import TOP, House

BROKEN = TOP / "tests" / "broken"
STORED = sorted(path for path in BROKEN.iterdir() if path.suffix in {".yaml", ".json"})
HOSTILE = runpy.run_path(str(BROKEN / "hostile.py"))["FILES"]
MAX_BYTES = 300 * 1024 * 1024
MAX_SECONDS = 60.0
MAX_TOLD = 1024 * 1024


def answers(place: Path, lines: list[list[str]]) -> list[tuple[int, str, str, int, float]]:
    """What became of each command line."""
    environment = {**os.environ, "PYTHONPATH": str(TOP / "daemon"), "STATE_DIRECTORY": str(place / "state"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("forked.py"))],
        input="".join(json.dumps(line) + "\n" for line in lines),
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def refuses(verb: str, file: str, answer) -> None:
    """All that is promised of a file that cannot be read or run."""
    code, out, err, peak, seconds = answer
    told = out + err
    assert code == 2, told[-2000:]
    assert "Traceback" not in told
    assert Path(file).name in told
    if verb == "lint":
        assert re.search(r"✖ .*\bat [1-9]\d*:[1-9]\d*: \S", out), told[:2000]
    else:
        assert out == ""
        assert re.search(rf"(?m)^{re.escape(file)}:[1-9]\d*:[1-9]\d*: error: \S", err), told[:2000]
    assert peak < MAX_BYTES
    assert seconds < MAX_SECONDS
    assert len(told) < MAX_TOLD


@pytest.mark.parametrize("verb", ["lint", "run"])
def test_each_broken_manifest_is_refused_with_its_place(tmp_path, verb):
    found = answers(tmp_path, [[verb, str(path)] for path in STORED])
    assert len(found) == len(STORED) >= 60
    for path, answer in zip(STORED, found, strict=True):
        refuses(verb, str(path), answer)
    assert not list((tmp_path / "state").rglob("*.db"))


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_file_is_refused_with_its_place(tmp_path, name):
    file = tmp_path / f"{name}.yaml"
    file.write_bytes(HOSTILE[name]())
    verbs = ("lint", "run")
    for verb, answer in zip(verbs, answers(tmp_path, [[verb, str(file)] for verb in verbs]), strict=True):
        refuses(verb, str(file), answer)
    file.unlink()


def test_all_files_of_a_folder_are_linted_at_once(home: House):
    ended = home.tiphys("lint", str(BROKEN))
    assert ended.code == 2
    assert "Traceback" not in ended.out + ended.err
    assert all(f"{path}:\n" in ended.out for path in STORED)


def test_a_good_file_passes_the_same_way(tmp_path):
    """So that the tests above cannot pass because everything is refused."""
    good = [str(path) for path in sorted((TOP / "examples").glob("*.yaml"))]
    for code, _, err, peak, _ in answers(tmp_path, [["lint", path] for path in good]):
        assert code == 0, err
        assert peak < MAX_BYTES
