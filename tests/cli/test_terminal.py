"""A real (pseudo) terminal: questions are asked there and the live tree is drawn there."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_run import MANIFEST

PIECE = """
import sys, os, pathlib
import anyio
from tests.cli.played import Played, wired
from tests.cli.samples import node
from tiphys.cli import commands
from tiphys.spec.parameters import Parameter, ValueFrom
from tiphys.spec.templates import Outputs

async def piece(engine, uid):
    outputs = Outputs(parameters=(Parameter(name="decision", value_from=ValueFrom(supplied={})),))
    yield engine.put(uid, node("wf", "Suspend", "Running", took=None, outputs=outputs))
    if "alone" in sys.argv:
        await anyio.sleep(0.5)
    else:
        while len(engine.wishes) < int(sys.argv[3]):
            await engine.asked.wait()
    yield engine.put(uid, node("wf", "Suspend"), "Succeeded")

engine = Played(piece)
wiring = wired(engine, pathlib.Path(sys.argv[1]), TERM="xterm")
code = commands.main(["run", sys.argv[2]], lambda: wiring)
print(engine.wishes)
sys.exit(code)
"""


class Typist:
    """A program on a terminal of its own."""

    def __init__(self, project: Path, tmp_path: Path, *arguments: str) -> None:
        file = tmp_path / "wf.yaml"
        file.write_text(MANIFEST)
        self.seen = ""
        self.end, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PIECE, str(tmp_path), str(file), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=project,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{project}:{project / 'daemon'}", "TERM": "xterm", "PYTHONUTF8": "1", "COLUMNS": "100"},
        )
        os.close(slave)

    def wait_for(self, text: str) -> None:
        """Read until the program wrote `text`."""
        give_up = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < give_up, self.seen
            self._read()

    def _read(self) -> bool:
        if not select.select([self.end], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.end, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def finish(self) -> int:
        while self._read() and self.process.poll() is None:
            pass
        code = self.process.wait(30)
        while self._read() and select.select([self.end], [], [], 0)[0]:
            pass
        os.close(self.end)
        return code


@pytest.mark.parametrize(
    ("typed", "wishes"),
    [
        ("y\n", "[SetNode(nodes=('wf',), phase=<Phase.UNKNOWN: ''>, message='', parameters={'decision': 'blue'}), Resume(nodes=('wf',))]"),
        ("s\n", "[Stop(message='')]"),
    ],
)
def test_a_suspended_node_asks(project: Path, tmp_path: Path, typed: str, wishes: str) -> None:
    typist = Typist(project, tmp_path, "2" if typed == "y\n" else "1")
    typist.wait_for("wf waits for you.")
    typist.wait_for("decision: ")
    typist.type("blue\n")
    typist.wait_for("Go on? [Y = resume, s = stop the workflow]: ")
    typist.type(typed)
    assert typist.finish() == 0
    assert wishes in typist.seen
    assert "✔ wf Succeeded" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", typist.seen)


def test_a_question_is_withdrawn_when_the_node_ends_by_itself(project: Path, tmp_path: Path) -> None:
    typist = Typist(project, tmp_path, "0", "alone")
    typist.wait_for("decision: ")
    assert typist.finish() == 0
    assert "\r\n[]\r\n" in typist.seen


def test_the_cursor_comes_back(project: Path, tmp_path: Path) -> None:
    typist = Typist(project, tmp_path, "0", "alone")
    assert typist.finish() == 0
    assert typist.seen.count("\x1b[?25l") == typist.seen.count("\x1b[?25h") > 0
