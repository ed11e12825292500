"""The three commands beside a real daemon: while it works, after it was killed, and before it goes on from a copy."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: waiting}
spec:
  entrypoint: wait
  templates: [{name: wait, suspend: {}}]
"""
TIPHYSD = [sys.executable, "-m", "tiphys.tiphysd"]


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "tiphys.yaml"
    file.write_text(f"state_directory: {tmp_path / 'state'}\nexecutor: scripted\ndaemon: {{socket: {tmp_path / 'api.sock'}}}\n")
    return file


@contextlib.contextmanager
def daemon(settings: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A daemon that is ready, until it is killed."""
    with subprocess.Popen([*TIPHYSD, "--config", str(settings)], stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if b'"ready"' in line:
                    break
            else:
                pytest.fail("the daemon did not become ready")
            yield process
        finally:
            process.kill()


def typed(settings: Path, *words: object) -> tuple[int, str]:
    done = subprocess.run([*TIPHYSD, "--config", str(settings), *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_check_backup_and_restore_around_a_real_daemon(settings, tmp_path):
    copy, accepted = tmp_path / "copy.db", tmp_path / "state" / "drop" / "accepted"
    with daemon(settings) as process:
        (tmp_path / "state" / "drop" / "waiting.yaml").write_text(WORKFLOW)
        until = time.monotonic() + 30
        while not list(accepted.glob("*waiting.yaml")):
            assert time.monotonic() < until
            time.sleep(0.05)
        code, said = typed(settings, "check")
        assert code == 0, said
        assert f"the daemon (process {process.pid}) listens" in said
        assert "1 workflow, 1 node, " in said
        code, said = typed(settings, "backup", copy)
        assert (code, "a verified copy" in said) == (0, True), said
        code, said = typed(settings, "restore", copy)
        assert (code, f"in use by process {process.pid}" in said) == (78, True), said
        assert process.poll() is None
    code, said = typed(settings, "check", "-q")
    assert (code, "it is stale, nobody listens" in said) == (0, True), said
    (tmp_path / "state" / "journal.db").write_bytes(b"rubbish" * 5000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / "state" / f"journal.db{suffix}").unlink(missing_ok=True)
    code, said = typed(settings, "check", "-q")
    assert (code, "restore FILE" in said) == (78, True), said
    code, said = typed(settings, "restore", copy)
    assert (code, "The one before is kept as" in said) == (0, True), said
    with daemon(settings):
        code, said = typed(settings, "check")
        assert code == 0, said
        assert "1 workflow, 1 node, " in said
