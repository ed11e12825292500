"""Orders and executors for these tests: real processes, real launchers."""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tiphys import settings
from tiphys.artifacts.store import Artifacts
from tiphys.executors.process import ProcessExecutor, open_process
from tiphys.secrets import Secrets
from tiphys.settings import ProcessSettings
from tiphys.spec import work
from tiphys.spec.containers import Container, Volume
from tiphys.spec.work import Outcome, WorkOrder

numbers = itertools.count()


def bwrap_works() -> bool:
    """Whether this host can isolate at all."""
    if shutil.which("bwrap") is None:
        return False
    argv = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


in_ci = os.environ.get("CI") == "true"
UID = f"uid-{os.getpid()}"
"""Steps are found by their order's id on the whole host: tests that run side by side have different ones."""
needs_bwrap = pytest.mark.skipif(not in_ci and not bwrap_works(), reason="bubblewrap does not work here")
needs_root = pytest.mark.skipif(not in_ci and os.geteuid() != 0, reason="needs root")
everywhere = pytest.mark.parametrize("isolation", [pytest.param("full", marks=needs_bwrap), "none"])


def order(*command: str, source: str | None = None, id: str = "", wanted: work.Wanted = work.Wanted(), **fields) -> WorkOrder:  # noqa: A002, B008
    """An order to run `command` (further fields: the container's, `volumes`, or the order's)."""
    node = f"wf-{next(numbers)}"
    volumes: tuple[Volume, ...] = fields.pop("volumes", ())
    own = {name: fields.pop(name) for name in list(fields) if name in WorkOrder.__struct_fields__}
    container = Container(**{"image": "alpine:3.20", "command": command, **fields})
    return WorkOrder(
        **{
            "id": id or f"{UID}/{node}/0",
            "workflow": work.WorkflowIdentity(uid=UID, name="wf", namespace="default", labels={"team": "a"}),
            "node_id": node,
            "node_name": "wf.step",
            "pod_name": f"wf-step-{node}",
            "template_name": "step",
            "attempt": 0,
            "executor": "process",
            "work": work.Command(container=container, source=source, volumes=volumes),
            "wanted": wanted,
            **own,
        }
    )


def shell(script: str, **fields) -> WorkOrder:
    """An order to run a shell command. `$(NAME)` and `$$` mean Kubernetes' things in it."""
    return order("sh", "-c", script, **fields)


RESULT = work.Wanted(result=True)


@contextlib.asynccontextmanager
async def opened(
    tmp_path: Path, isolation: str, *, secrets: Secrets | None = None, mode: str = "run", images=None, **fields
) -> AsyncIterator[ProcessExecutor]:
    """An executor whose attempts live below `tmp_path`."""
    known = secrets or Secrets()
    more = {name: fields.pop(name) for name in ("hidden", "visible", "runtime") if name in fields}
    async with (
        Artifacts(settings.ArtifactSettings(), tmp_path / "artifacts", known) as artifacts,
        open_process(
            ProcessSettings(**{"isolation": isolation, "grace_seconds": 2.0, **fields}),
            images=images or {},
            secrets=known,
            artifacts=artifacts,
            root=tmp_path / "attempts",
            mode=mode,
            **more,
        ) as executor,
    ):
        yield executor


async def run(executor: ProcessExecutor, asked: WorkOrder) -> Outcome:
    """Launch and wait."""
    return await executor.wait(asked, await executor.launch(asked))


async def printed(executor: ProcessExecutor, asked: WorkOrder, *, follow: bool = False) -> str:
    """The log of an attempt."""
    handle = await executor.launch(asked)
    return b"".join([piece async for piece in executor.logs(handle, follow=follow)]).decode()


def processes(marker: str) -> list[int]:
    """Processes with `marker` on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            if marker.encode() in words and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found


def until(true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait for a thing to become true; whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())


_sleeps = itertools.count(os.getpid() * 1000)


def unique_sleep() -> str:
    """A number of seconds that no other `sleep` on this machine was given."""
    return f"{100_000 + next(_sleeps)}"
