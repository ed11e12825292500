"""How a step is started: written down first, then posix_spawn in its own place."""

import errno
import os
import time
from typing import Any

from tiphys.launching import ending, hearing, kernel, stopping
from tiphys.launching.attempts import Attempt, explain_start
from tiphys.launching.folders import prepare
from tiphys.launching.forms import Form, skeleton
from tiphys.launching.journals import quote
from tiphys.launching.launcher import Launcher
from tiphys.launching.processes import DEFAULT_SIGNALS
from tiphys.launching.spawning import TICKS, Start, arguments, encoded, env_texts

STATUS_FD, ARGUMENTS_FD = 3, 4
MOST_AT_ONCE = 16
Json = dict[str, Any]


def begin(launcher: Launcher, requests: list[Json], forms: dict[int, Form]) -> None:
    """Write down which attempts are about to be started, all of a batch at once: later it is known that they may have been.

    Each spawn gets the form that it names, None where it names none that is known.
    """
    running, past = launcher.running, launcher.journals.past
    groups: dict[str, list[Json]] = {}
    for request in requests:
        op = request.get("op")
        if op == "form":
            forms[request["form"]] = Form(request["fields"])
        elif op == "spawn":
            form = None
            if "form" in request:
                form = request["form"] = forms.get(request["form"])
                if form is None:
                    continue
            group = form.fields["group"] if form else request["group"]
            if request["id"] not in running and not (group in past and hash(request["id"]) in past[group]):
                groups.setdefault(group, []).append(request)
    for group, begun in groups.items():
        lines = [f'{{"told":"begun","id":{quote(request["id"])},"key":{quote(request["key"])}}}\n' for request in begun]
        if why := launcher.journals.write(group, "".join(lines).encode()):
            for request in begun:
                request["refused"] = why


def spawn(launcher: Launcher, requests: list[Json]) -> None:
    """Start attempts, all different ones; those that cannot be started have ended."""
    for first in range(0, len(requests), MOST_AT_ONCE):
        spawn_some(launcher, requests[first : first + MOST_AT_ONCE])


def spawn_some(launcher: Launcher, requests: list[Json]) -> None:
    """Start so many attempts that their pipes can be open at the same time."""
    readied: list[tuple[Attempt, Json, Form | None, Start]] = []
    scratch = launcher.options.scratch
    launcher.spawner.trim()
    for own in requests:
        form: Form | None = own.pop("form", None)
        attempt = Attempt(form.filled(own, scratch) if form else own, scratch)
        attempt.started_at = time.time()
        attempt.began = repr(attempt.started_at)
        if "refused" in own:
            ending.finish(launcher, attempt, failure=f"its start cannot be written down: {own['refused']}")
            continue
        try:
            if entries := attempt.request.get("prepare"):
                prepare(entries)
            if form and form.place:
                launcher.states.lend(attempt.request["state"])
            if attempt.isolated or "limits" in attempt.request or attempt.request.get("cwd", "/") != "/":
                start(launcher, attempt)
            else:
                readied.append((attempt, own, form, ready(launcher, attempt, own, form)))
                continue
        except (OSError, ValueError) as error:
            fail(launcher, attempt, error)
            continue
        started(launcher, attempt, own, form)
    launcher.spawner.run([one for _, _, _, one in readied])
    for attempt, own, form, one in readied:
        for fd in set(one.writers):
            os.close(fd)
        if one.error:
            fail(launcher, attempt, OSError(one.error, os.strerror(one.error), os.fsdecode(one.argv[0] or b"")))
        else:
            attempt.pid, attempt.born = one.pid, one.born
            started(launcher, attempt, own, form)


def fail(launcher: Launcher, attempt: Attempt, error: Exception) -> None:
    """An attempt could not be started."""
    code = error.errno if isinstance(error, OSError) else None
    missing = code in {errno.ENOENT, errno.EACCES, errno.ENOEXEC}
    ending.finish(launcher, attempt, failure=explain_start(error, attempt.request), missing=missing)


def started(launcher: Launcher, attempt: Attempt, own: Json, form: Form | None) -> None:
    """An attempt runs."""
    launcher.running[attempt.id] = launcher.by_pid[attempt.pid] = attempt
    launcher.fresh[attempt] = time.monotonic()
    write_down(launcher, attempt, form.skeleton(own, launcher.options.scratch) if form else skeleton(own))
    if "deadline" in attempt.request:
        stopping.expire_at(launcher, attempt.id, attempt.request["deadline"])


def write_down(launcher: Launcher, attempt: Attempt, kept: str) -> None:
    """Have written down what another launcher needs to go on with an attempt."""
    line = f'{{"told":"started","id":{attempt.name},"pid":{attempt.pid},"born":[{attempt.born[0]},{attempt.born[1]}]'
    line += f',"boot":"{launcher.boot}","request":{{{kept},"at":{attempt.began}}}'
    if attempt.root and "keep" in attempt.request["overlay"]:
        line += f',"borrowed":{quote(os.path.dirname(attempt.root.upper))}'
    if attempt.home:
        line += f',"home":{quote(attempt.home)}'
    launcher.journals.add(attempt.request["group"], (line + "}").encode())


def ready(launcher: Launcher, attempt: Attempt, own: Json, form: Form | None) -> Start:
    """Environment and pipes of an attempt that needs no more than these."""
    request = attempt.request
    variables: dict[str, str] = own["env"]
    known = form.texts if form and form.env.keys().isdisjoint(variables) else None
    if known is None:
        variables = request["env"]
    if home := request.get("home"):
        attempt.home = variables["HOME"] = launcher.homes.lend(home)
    texts = env_texts(variables)
    if known:
        texts += known
    if "bytes_env" in request:
        texts += env_texts(request["bytes_env"], "latin-1")
    argv = form.argv if form and "argv" not in own else None
    if argv is None:
        argv = arguments(encoded(request["argv"]))
    writers = [hearing.pipe(launcher, attempt, is_out=False)]
    try:
        if attempt.split:
            writers.append(hearing.pipe(launcher, attempt, is_out=True))
        out, log = writers[-1], writers[0]
        return Start(argv, arguments(texts), (out, log), launcher.spawner.redirections((out, log)))
    except (OSError, ValueError):
        for fd in writers:
            os.close(fd)
        raise


def start(launcher: Launcher, attempt: Attempt) -> None:
    """Pipes, root, limits, posix_spawn, of an attempt for which the launcher has to be elsewhere, or that has limits."""
    request = attempt.request
    argv = list(request["argv"])
    environment = request["env"]
    if "bytes_env" in request:
        environment = environment | {name: text.encode("latin-1") for name, text in request["bytes_env"].items()}
    if home := request.get("home"):
        attempt.home = environment["HOME"] = launcher.homes.lend(home)
    writers = [hearing.pipe(launcher, attempt, is_out=attempt.split)]
    if attempt.split:
        writers.append(hearing.pipe(launcher, attempt, is_out=False))
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, writers[0], 1), (os.POSIX_SPAWN_DUP2, writers[-1], 2)]
    hidden, cwd = -1, "/"
    try:
        if attempt.isolated:
            front = [request["bwrap"], "--json-status-fd", str(STATUS_FD)]
            if launcher.options.mode == "run":
                front.append("--die-with-parent")
            if text := request.get("hidden_arguments"):
                hidden = os.memfd_create("arguments")
                os.write(hidden, "\0".join(text).encode(errors="surrogateescape"))
                os.lseek(hidden, 0, os.SEEK_SET)
                actions.append((os.POSIX_SPAWN_DUP2, hidden, ARGUMENTS_FD))
                front += ["--args", str(ARGUMENTS_FD)]
            if overlay := request.get("overlay"):
                attempt.root = launcher.roots.private(overlay)
                front += ["--bind", attempt.root.mountpoint, "/"]
            argv = [*front, *request["view"], *request.get("binds", ()), "--", *argv]
            exclusive = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            actions.append((os.POSIX_SPAWN_OPEN, STATUS_FD, attempt.status, exclusive, 0o600))
        if limits := request.get("limits"):
            attempt.cgroup = launcher.limits.place(request["key"])
            argv = launcher.limits.limited(attempt.cgroup, limits, argv)
        if (cwd := request.get("cwd", "/")) != "/":
            os.chdir(cwd)
        if attempt.root:
            kernel.checked(kernel.libc.setns(attempt.root.namespace, kernel.CLONE_NEWNS), "setns")
        before = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
        attempt.pid = os.posix_spawn(
            argv[0], argv, environment, file_actions=actions, setsid=True, setsigmask=[], setsigdef=DEFAULT_SIGNALS
        )
        attempt.born = (before, int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS) + 1)
    finally:
        if attempt.root:
            kernel.checked(kernel.libc.setns(launcher.roots.home, kernel.CLONE_NEWNS), "setns")
        if cwd != "/":
            os.chdir("/")
        for fd in {*writers, hidden} - {-1}:
            os.close(fd)
