"""What is worked out once, when the executor opens: is this host able to isolate, how, and what every step's environment holds."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from tiphys.errors import TiphysError
from tiphys.executors.process import isolation, remembered
from tiphys.executors.process.isolation import Fence, User
from tiphys.executors.process.link import Link
from tiphys.executors.process.places import Directories
from tiphys.settings import ProcessSettings

PASSED = ("PATH", "LANG", "TZ")
NOTHING = ["/bin/true"]
"""What to try where only the rest of the answer is wanted."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class IsolationRefused(TiphysError):
    """The host does not allow full isolation."""


async def fence(
    settings: ProcessSettings, link: Link, user: User, hidden: Sequence[Path], visible: Sequence[Path], *, remembers: bool = False
) -> tuple[Fence | None, list[str]]:
    """How steps are isolated here (None: they are not), and what to tell people. IsolationRefused: wanted, and not possible.

    `remembers`: what worked is not tried again until the next boot.
    """
    if settings.isolation not in {"auto", "full", "none"}:
        raise IsolationRefused(f"process.isolation is auto, full or none, not {settings.isolation!r}")
    await anyio.to_thread.run_sync(_write_shims, link.directories, settings.python)
    made, why = None, "process.isolation is none"
    if settings.isolation != "none":
        made, why = await _full(settings, link, user, hidden, visible, remembers=remembers)
    if made is not None:
        return made, []
    if settings.isolation == "full":
        raise IsolationRefused(f"process.isolation is full, but this host does not allow it: {why}")
    if user.other:
        await anyio.to_thread.run_sync(_let_through, link.directories)
    return None, [f"steps run without isolation ({why}): they share this host's files and processes with you and with each other"]


async def _full(
    settings: ProcessSettings, link: Link, user: User, hidden: Sequence[Path], visible: Sequence[Path], *, remembers: bool
) -> tuple[Fence | None, str]:
    bwrap = await anyio.to_thread.run_sync(shutil.which, "bwrap")
    if bwrap is None:
        return None, "bwrap is not installed; the package is called bubblewrap"
    plain = await anyio.to_thread.run_sync(_fence, settings, link.directories, user, hidden, visible, bwrap)
    overlay, made = None, plain
    if os.geteuid() == 0:
        made, overlay = await _overlay(link, plain)
    argv = plain.probe()
    asked = await anyio.to_thread.run_sync(remembered.question, argv) if remembers else ""
    known = bool(asked) and await anyio.to_thread.run_sync(remembered.works, asked)
    probed = await link.probe(NOTHING if known else argv, overlay)
    if probed["bwrap_error"]:
        return None, str(probed["bwrap_error"])
    if asked and not known:
        await anyio.to_thread.run_sync(remembered.remember, asked)
    return (made if overlay and not probed["overlay_error"] else plain), ""


async def _overlay(link: Link, plain: Fence) -> tuple[Fence, dict[str, object] | None]:
    """A fence with overlays, and what to try it with; the one without, where the middle layer cannot even be made."""
    runtime = link.directories.runtime
    sample = await anyio.to_thread.run_sync(replace(plain, mask="/mask").mask_entries)
    digest = hashlib.sha256(json.dumps(sample).encode()).hexdigest()[:16]
    made = replace(plain, mask=str(runtime / f"mask-{digest}"))
    if await link.prepare(await anyio.to_thread.run_sync(made.mask_entries)):
        return plain, None
    ground = await anyio.to_thread.run_sync(made.survey)
    return made, {"lower": [made.mask, "/"], "bound": [*ground.bound, *ground.always]}


def _fence(
    settings: ProcessSettings, directories: Directories, user: User, hidden: Sequence[Path], visible: Sequence[Path], bwrap: str
) -> Fence:
    for path in settings.writable:
        Path(path).mkdir(parents=True, exist_ok=True)
    shown = [*map(Path, settings.visible), *visible]
    return Fence(
        bwrap=bwrap,
        mask="",
        shims=str(directories.runtime / "shims"),
        visible=tuple(real(path) for path in shown if path.exists()),
        writable=tuple(real(path) for path in settings.writable),
        hidden=tuple(dict.fromkeys(real(path) for path in hidden)),
        user=user,
        root=os.geteuid() == 0,
    )


def real(path: str | Path) -> str:
    """A host path without links."""
    return str(Path(path).expanduser().resolve())


def _let_through(directories: Directories) -> None:
    """Another user's steps reach their home and script, which lie in directories of ours; nobody can list those."""
    for folder in (directories.runtime, directories.scratch):
        folder.chmod(0o711)


def _write_shims(directories: Directories, python: str) -> None:
    """A folder with what a step's PATH may lack: `python`."""
    folder = directories.runtime / "shims"
    folder.mkdir(mode=0o755, exist_ok=True)
    script = folder / "python"
    text = f'#!/bin/sh\nexec {python or "python3"} "$@"\n'
    if not script.exists() or script.read_text(encoding="utf-8") != text:
        fresh = folder / f".python.{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(script)


def base_environment(settings: ProcessSettings, directories: Directories, fence: Fence | None, user: User) -> dict[str, str]:
    """What every step's environment begins with."""
    found = {name: os.environ[name] for name in PASSED if os.environ.get(name)}
    shims = isolation.SHIMS if fence else str(directories.runtime / "shims")
    found["PATH"] = f"{found.get('PATH', PATH)}:{shims}"
    if fence:
        found["HOME"] = isolation.HOME
    if user.other:
        found |= {"USER": user.name, "LOGNAME": user.name}
    found |= {name: os.environ[name] for name in settings.env_from if name in os.environ}
    return found | settings.env
