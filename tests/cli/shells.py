"""Real shells at a terminal of their own, in which somebody types: what they make of the Tab key, the command line that is run tells."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAM = """#!{python}
import json, os, sys
if "_TIPHYS_COMPLETE" not in os.environ and sys.argv[1:2] != ["completion"]:
    with open(os.environ["TYPED"], "a", encoding="utf-8") as file:
        file.write(json.dumps(sys.argv[1:]) + "\\n")
    sys.exit()
from tiphys.__main__ import tiphys
sys.exit(tiphys())
"""
"""`tiphys` for the shell: it completes as it always does, and where it would do something else it writes down what it was told to."""

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(tiphys completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(tiphys completion zsh)"),
    "fish": (["fish", "--private", "--interactive"], "tiphys completion fish | source"),
}
PATIENCE_SECONDS = 20.0
ESCAPES = re.compile(r"\x1b(\[[0-9;?<>=]*[A-Za-z]|[()][A-Z0-9]|\][^\x07]*\x07|[=>78M])|[\x0e\x0f\r]")


class Shell:
    """One shell that somebody types into."""

    def __init__(self, fd: int, told: Path) -> None:
        self._fd = fd
        self._told = told
        self.seen = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def ran(self, keys: str) -> list[str]:
        """What `tiphys` was told by the line that is typed."""
        before = len(self._lines())
        self.type(keys)
        until = time.monotonic() + PATIENCE_SECONDS
        while len(lines := self._lines()) == before and time.monotonic() < until:
            self._read(0.05)
        assert len(lines) == before + 1, f"{keys!r}: {ESCAPES.sub('', self.seen)[-1000:]!r}"
        found: list[str] = json.loads(lines[-1])
        return found

    def _lines(self) -> list[str]:
        return self._told.read_text(encoding="utf-8").splitlines() if self._told.exists() else []

    def _read(self, seconds: float) -> str:
        if not select.select([self._fd], [], [], seconds)[0]:
            return ""
        seen = os.read(self._fd, 65536).decode(errors="replace")
        self.seen += seen
        return seen

    def wait_for(self, pattern: str) -> str:
        """What comes on the screen from now on, until it matches."""
        until, seen = time.monotonic() + PATIENCE_SECONDS, ""
        while (left := until - time.monotonic()) > 0:
            seen += self._read(left)
            if re.search(pattern, ESCAPES.sub("", seen), re.DOTALL):
                return ESCAPES.sub("", seen)
        raise AssertionError(f"{pattern!r} did not come: {ESCAPES.sub('', seen)!r}")


@contextlib.contextmanager
def opened(name: str, place: Path) -> Iterator[Shell]:
    """A shell in a folder, which has read the completion script."""
    program = place / "bin" / "tiphys"
    program.parent.mkdir(exist_ok=True)
    program.write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    argv, prepare = SHELLS[name]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("BASH", "ZSH", "fish"))},
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(place),
        "XDG_CONFIG_HOME": str(place / "config"),
        "XDG_DATA_HOME": str(place / "data"),
        "TERM": "xterm",
        "PS1": "$ ",
        "TYPED": str(place / "typed"),
    }
    pid, fd = pty.fork()
    if not pid:
        os.chdir(place)
        os.execvpe(argv[0], argv, environment)
    try:
        shell = Shell(fd, place / "typed")
        shell.type(f"{prepare}; echo read''y\n")
        shell.wait_for(r"\nready")
        yield shell
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(fd)
        os.waitpid(pid, 0)
