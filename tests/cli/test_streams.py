"""What the commands say, where it cannot be said as usual: no streams, streams of few letters, full disks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_run import MANIFEST

PROGRAM = """
import sys
from tests.cli import test_run as its
sys.exit(its.run(its.Played(its.fine), its.Path(sys.argv[1]), *sys.argv[2:]))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wf.yaml"
    path.write_text(MANIFEST.replace("{name: wf}", '{name: wf, annotations: {says: "ünï 🙂"}}'), encoding="utf-8")
    return path


def run(tmp_path: Path, *arguments: object, shell: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ}
    argv = [sys.executable, "-c", PROGRAM, tmp_path, *arguments]
    argv = ["sh", "-c", f'"$@" {shell}', "sh", *argv] if shell else argv
    return subprocess.run(list(map(str, argv)), capture_output=True, env=env, check=False, timeout=60)


def test_a_terminal_of_few_letters_gets_all_of_it(file: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, file, "-o", "json", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.decode("ascii"))["metadata"]["annotations"] == {"says": "ünï 🙂"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_not_missed(file: Path, tmp_path: Path, closed: str) -> None:
    ran = run(tmp_path, file, shell=closed)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False), ran.stderr


def test_output_that_cannot_be_written_is_told_and_a_run_goes_on_without(file: Path, tmp_path: Path) -> None:
    assert run(tmp_path, file, shell=">/dev/full").returncode == 0
    ran = run(tmp_path, file, "-o", "json", shell=">/dev/full")
    assert ran.returncode == 1
    assert ran.stderr.endswith(b"tiphys: the output cannot be written: No space left on device\n")
    assert list((tmp_path / "state").glob("runs/wf*")), "what was run is kept"


def test_a_full_disk_is_named_where_a_run_would_keep_its_state(file: Path, tmp_path: Path) -> None:
    argv = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", sys.executable, "-m", "tiphys", "run", "--executor", "scripted", str(file)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "STATE_DIRECTORY": str(tmp_path / "state")}
    ran = subprocess.run(argv, capture_output=True, env=environ, text=True, check=False, timeout=60)
    assert ran.returncode == 78
    assert "the journal cannot be opened (disk I/O error)" in ran.stderr
    assert "on a disk with room" in ran.stderr
    assert "Traceback" not in ran.stderr
