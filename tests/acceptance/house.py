"""Runs the real command as a shell would, with settings, state and a shared folder of its own, and looks at what is left of it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MANIFESTS = Path(__file__).resolve().parent / "manifests"
SHARED = TOP.parent / "shared" / "acceptance"
PATIENCE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a command left: its exit code, what it said on which stream, and how long it took by the wall clock."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def workflow(self) -> dict:
        assert self.out, self.err
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class House:
    """A user's place: `writable` is the one folder that steps may write."""

    top: Path
    isolation: str = "auto"
    environ: dict[str, str] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def writable(self) -> Path:
        return self.top / "writable"

    @property
    def state(self) -> Path:
        return self.top / "run"

    def argv(self, *arguments: str) -> list[str]:
        process = {"isolation": self.isolation, "writable": [str(self.writable)], "grace_seconds": 10.0}
        config = self.top / "tiphys.yaml"
        config.write_text(json.dumps({"process": process, **self.settings}), encoding="utf-8")
        return [sys.executable, "-m", "tiphys", *arguments]

    def environment(self) -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TIPHYS_", "XDG_"))}
        own = {
            "STATE_DIRECTORY": str(self.top / "state"),
            "TIPHYS_CONFIG": str(self.top / "tiphys.yaml"),
            "PYTHONPATH": str(TOP / "daemon"),
            "PYTHONUTF8": "1",
            "TERM": "dumb",
        }
        return {**passed, **own, **self.environ}

    def run(self, *arguments: str, stdin: str = "") -> Ended:
        """`tiphys run …`."""
        return self.tiphys("run", *arguments, stdin=stdin)

    def tiphys(self, *arguments: str, stdin: str = "") -> Ended:
        began = time.monotonic()
        done = subprocess.run(
            self.argv(*arguments),
            env=self.environment(),
            cwd=self.top,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - began)

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`tiphys run …` in the background, to be killed or interrupted; its streams are files, see `said`."""
        with (
            (self.top / "out").open("w") as out,
            (self.top / "err").open("w") as err,
            subprocess.Popen(
                self.argv("run", *arguments),
                env=self.environment(),
                cwd=self.top,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def said(self, stream: str = "err") -> str:
        return (self.top / stream).read_text(encoding="utf-8")

    def counted(self) -> dict[str, int]:
        """How often each step left its line in the shared folder."""
        return {path.name: len(path.read_text().splitlines()) for path in sorted((self.writable / "counted").glob("*"))}

    def launchers(self) -> list[int]:
        """The processes of the launcher, its keeper included, that serve the run in `state`."""
        return [pid for pid, words in command_lines() if b"launcher.py" in words and str(self.state).encode() in words]


def command_lines() -> Iterator[tuple[int, bytes]]:
    """Every process with its command line."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(path.name), (path / "cmdline").read_bytes()


def holding(text: str) -> list[int]:
    """The processes that have a text in their environment, such as the name of the workflow whose step they are."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def shared(name: str) -> Path:
    return SHARED / name


def aws() -> str | None:
    """The `aws` command: that of the project's own environment for it, else the machine's."""
    own = TOP / ".venv-aws" / "bin" / "aws"
    return str(own) if own.exists() else shutil.which("aws")


def nodes(workflow: dict, kind: str = "") -> dict[str, dict]:
    """The nodes by display name, in the order of their starts; `kind` names one type."""
    found = [node for node in workflow["status"]["nodes"].values() if not kind or node["type"] == kind]
    return {node["displayName"]: node for node in sorted(found, key=lambda node: (node["startedAt"], node["id"]))}


def phases(workflow: dict) -> dict[str, str]:
    return {name: node["phase"] for name, node in nodes(workflow).items()}
