"""Broken manifests each give an error with its place: no crash, no traceback, under 300 MB, in bounded time.

They are judged in processes of their own, so that a crash of the C parser would be seen and memory is that of one file. A
file's first line says what is expected: `# expect LINE:COLUMN MESSAGE`.
"""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BROKEN = HERE.parent / "broken"
STORED = sorted(path for path in BROKEN.iterdir() if path.suffix in {".yaml", ".json"})
HOSTILE = runpy.run_path(str(BROKEN / "hostile.py"))["FILES"]
EXPECTED = re.compile(r"# expect (\d+):(\d+) (.+)\n")
MAX_MEGABYTES = 300
MAX_SECONDS = 30


def judged(kind, *names):
    done = subprocess.run([sys.executable, str(HERE / "judge.py"), kind, *names], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def errors(verdict):
    return [(line, column, message) for severity, line, column, message in verdict["findings"] if severity == "error"]


@pytest.fixture(scope="module")
def verdicts():
    return {Path(verdict["name"]).name: verdict for verdict in judged("file", *map(str, STORED))}


def test_there_are_sixty_of_them():
    assert len(STORED) >= 60


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_broken_manifest_has_the_error_that_its_first_line_expects(verdicts, path):
    verdict = verdicts[path.name]
    assert not verdict["ok"]
    found = errors(verdict)
    assert all(line > 0 and column > 0 for line, column, _ in found)
    expected = EXPECTED.match(path.read_text(encoding="utf-8"))
    if path.suffix == ".yaml":
        assert expected is not None
        assert (int(expected[1]), int(expected[2]), expected[3]) in found


def test_all_of_them_together_stay_small(verdicts):
    assert max(verdict["peak"] for verdict in verdicts.values()) < MAX_MEGABYTES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_has_an_error_with_its_place_and_stays_small(name):
    (verdict,) = judged("hostile", name)
    assert not verdict["ok"]
    assert errors(verdict)
    assert all(line > 0 and column > 0 for line, column, _ in errors(verdict))
    assert verdict["peak"] < MAX_MEGABYTES
    assert verdict["seconds"] < MAX_SECONDS
    assert len(verdict["findings"]) <= 300
