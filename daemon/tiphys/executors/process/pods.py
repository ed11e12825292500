"""Pods as a group of processes in one place: what the supervisor is to run, and what it said became of it (semantics 2.18).

A plain container or script template is run directly. What has init containers, sidecars, a readiness probe to answer, or is a
containerSet goes through the supervisor, which runs inside the attempt's own place.
"""

import functools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tiphys.errors import TiphysError
from tiphys.executors.process import command, isolation, outcomes
from tiphys.executors.process.command import CommandError, Environment
from tiphys.expressions import durations
from tiphys.settings import ImageEntry
from tiphys.spec.containers import Container, ContainerSetTemplate, Volume, VolumeMount
from tiphys.spec.templates import Template
from tiphys.spec.work import Command, ContainerPhase, ContainerState, OutcomeKind, PodWork, WorkOrder

SUPERVISOR = Path(__file__).parents[2] / "supervisor.py"
PROGRAM = f"{isolation.STAGING}/supervisor.py"
SPEC = f"{isolation.STAGING}/pod.json"
LOGS = "/argo/logs"
STATE_FILE = "containers.json"
PROGRESS_FILE = "progress"
DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
IGNORED_CODES = frozenset({137, 143})


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One container of a pod. `source`: a script's text. `tries`: executions in total, `pause` seconds between them."""

    container: Container
    role: str
    source: str | None = None
    needs: tuple[str, ...] = ()
    tries: int = 1
    pause: float = 0.0
    mounts: tuple[VolumeMount, ...] = ()


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """All containers of an order. `main`: the one whose files and output count. `supervised`: they need the supervisor."""

    parts: tuple[Part, ...]
    main: Part
    volumes: tuple[Volume, ...]
    supervised: bool = True
    source: str | None = None


def pod_of(order: WorkOrder) -> Pod | None:
    """The containers that an order asks for; None: it is no order for this executor. Raises CommandError."""
    work = order.work
    if isinstance(work, Command):
        main = Part(container=work.container, role="main", source=work.source, mounts=work.container.volume_mounts)
        supervised = order.daemon and work.container.readiness_probe is not None
        return Pod(parts=(main,), main=main, volumes=work.volumes, supervised=supervised, source=work.source)
    if not isinstance(work, PodWork):
        return None
    found = tuple(parts(work.template))
    mains = [part for part in found if part.role == "main"]
    if not mains:
        return None
    main = next((part for part in mains if part.container.name == "main"), mains[0])
    return Pod(parts=found, main=main, volumes=work.volumes, source=next((part.source for part in found if part.source is not None), None))


def parts(template: Template) -> Iterator[Part]:
    """The containers of a pod template, in the order in which they are looked at. Raises CommandError."""
    yield from (_beside(one, "init") for one in template.init_containers)
    if template.container_set is not None:
        yield from _set(template.container_set)
    elif template.script is not None:
        fields = {name: getattr(template.script, name) for name in Container.__struct_fields__}
        yield Part(container=Container(**fields), role="main", source=template.script.source, mounts=template.script.volume_mounts)
    elif template.container is not None:
        yield Part(container=template.container, role="main", mounts=template.container.volume_mounts)
    yield from (_beside(one, "sidecar") for one in template.sidecars)


def _beside(container: Container, role: str) -> Part:
    return Part(container=container, role=role, mounts=container.volume_mounts)


def _set(group: ContainerSetTemplate) -> Iterator[Part]:
    tries, pause = 1, 0.0
    if (strategy := group.retry_strategy) is not None:
        try:
            tries = max(int(strategy.retries or 1), 1)
            pause = durations.parse_loose(strategy.duration).total_seconds() if strategy.duration else 0.0
        except (ValueError, TiphysError) as error:
            raise CommandError(f"containerSet.retryStrategy: {error}") from error
    for one in group.containers:
        yield Part(
            container=one, role="main", needs=one.dependencies, tries=tries, pause=pause, mounts=(*group.volume_mounts, *one.volume_mounts)
        )


async def spec(
    order: WorkOrder, pod: Pod, images: Mapping[str, ImageEntry], environment: Environment, *, script: str, home: str, logs: str
) -> str:
    """The supervisor's orders, as JSON text with all values in it. `script`: the script's file; `home`: the containers' HOME ("": it is
    in the environment); `logs`: the folder of the containers' own logs. Raises CommandError.
    """
    containers = []
    logged = order.wanted.container_logs
    for part in pod.parts:
        container = part.container
        words = command.words(container, images)
        if part.source:
            words = [*words, script]
        line = await environment.line(order, container, words)
        env = {name: os.fsencode(value).decode("latin-1") for name, value in line.env.items()}
        if home:
            env.setdefault("HOME", home)
        containers.append(
            {
                "name": container.name or "main",
                "role": part.role,
                "argv": line.argv,
                "env": env,
                "cwd": container.working_dir or "/",
                "needs": part.needs,
                "tries": part.tries,
                "pause": part.pause,
                "result": part is pod.main,
                "log": f"{logs}/{container.name}.log" if part.role == "main" and container.name in logged else "",
                "probe": probe(container) if order.daemon and part.role != "init" else None,
            }
        )
    return json.dumps({"grace": order.grace_seconds, "containers": containers})


def probe(container: Container) -> dict[str, Any] | None:
    """A readiness probe in the supervisor's words; None: there is none. Raises CommandError for one that cannot be asked."""
    asked = container.readiness_probe
    if asked is None:
        return None
    where = f"container {container.name or 'main'}: readinessProbe"
    if not isinstance(asked, dict):
        raise CommandError(f"{where} must be a map")
    try:
        numbers = {name: float(asked.get(name) or default) for name, default in DEFAULTS.items()}
    except (TypeError, ValueError) as error:
        raise CommandError(f"{where}: {error}") from error
    found: dict[str, Any] = {
        "delay": numbers["initialDelaySeconds"],
        "period": max(numbers["periodSeconds"], 1.0),
        "timeout": max(numbers["timeoutSeconds"], 1.0),
        "success": max(numbers["successThreshold"], 1.0),
        "failure": max(numbers["failureThreshold"], 1.0),
    }
    if isinstance(run := asked.get("exec"), dict):
        return found | {"exec": [str(word) for word in run.get("command") or ()]}
    if isinstance(get := asked.get("httpGet"), dict):
        request = {
            "host": str(get.get("host") or "127.0.0.1"),
            "port": _port(container, get.get("port"), where),
            "path": str(get.get("path") or "/"),
            "tls": str(get.get("scheme") or "").upper() == "HTTPS",
            "headers": [(str(header.get("name")), str(header.get("value"))) for header in get.get("httpHeaders") or ()],
        }
        return found | {"http": request}
    if isinstance(tcp := asked.get("tcpSocket"), dict):
        return found | {"tcp": {"host": str(tcp.get("host") or "127.0.0.1"), "port": _port(container, tcp.get("port"), where)}}
    raise CommandError(f"{where}: exec, httpGet and tcpSocket can be asked here, not {', '.join(asked) or 'nothing'}")


def _port(container: Container, port: object, where: str) -> int:
    """A port by its number or its name among the container's."""
    named = next((one.container_port for one in container.ports if one.name and one.name == port), None)
    try:
        return named if named is not None else int(str(port))
    except ValueError:
        raise CommandError(f"{where}: no port of the container is called {port!r}") from None


@functools.cache
def program() -> tuple[list[str], str]:
    """The interpreter's command that runs the supervisor, and the folder it needs to be there."""
    return [os.path.realpath(sys.executable), "-I", "-S"], os.path.realpath(sys.base_prefix)


class Said(msgspec.Struct, frozen=True):
    """One container, as the supervisor wrote it down."""

    name: str
    role: str
    phase: ContainerPhase
    code: int | None = None
    failure: str = ""
    started_at: float | None = None
    ended_at: float | None = None


class State(msgspec.Struct, frozen=True):
    """What the supervisor wrote down."""

    ready: bool = False
    containers: tuple[Said, ...] = ()


def state(text: str | bytes) -> State:
    """The supervisor's file. One that is not there yet, or that a step has spoilt, says nothing."""
    try:
        return msgspec.json.decode(text, type=State) if text else State()
    except msgspec.MsgspecError:
        return State()


def shown(said: State) -> tuple[ContainerState, ...]:
    """The containers of a containerSet, for their nodes."""
    return tuple(
        ContainerState(
            name=one.name,
            phase=one.phase,
            exit_code=one.code,
            message=_ended_badly(one, "") if one.code else "",
            started_at=outcomes.utc(one.started_at),
            ended_at=outcomes.utc(one.ended_at),
        )
        for one in said.containers
        if one.role == "main"
    )


def _ended_badly(one: Said, image: str, program: str = "") -> str:
    if program and one.failure and one.code == outcomes.NOT_STARTED and not one.failure.startswith("a container"):
        return outcomes.not_on_host(one.name, program, image, one.failure).removeprefix(f"{one.name}: ")
    return f"Error (exit code {one.code})" + (f": {one.failure}" if one.failure else "")


def ended(end: outcomes.End, said: State, pod: Pod) -> outcomes.End:
    """How the pod ended: `end` where something happened to all of it, else the first container that failed, in Argo's order."""
    kind, _, message = end
    by_name = {part.container.name or "main": part.container for part in pod.parts}
    code = next((one.code for one in said.containers if one.name == "main" and one.role == "main"), None)
    if kind not in {OutcomeKind.SUCCEEDED, OutcomeKind.FAILED} or (kind is OutcomeKind.FAILED and end[1] is None) or not said.containers:
        return kind, code if kind is OutcomeKind.STOPPED else end[1], message
    for role in ("init", "main", "sidecar"):
        for one in said.containers:
            if one.role == role and one.code and not (role == "sidecar" and one.code in IGNORED_CODES):
                container = by_name[one.name]
                first = next(iter(container.command), one.name)
                return OutcomeKind.FAILED, code, f"{one.name}: {_ended_badly(one, container.image, first)}"
    return kind, code, message


def progress(text: str) -> str:
    """The last `N/M` of a progress file; "": it holds none."""
    lines = text.split()
    done, slash, total = (lines[-1] if lines else "").partition("/")
    return f"{done}/{total}" if slash and done.isdecimal() and total.isdecimal() and 0 <= int(done) <= int(total) > 0 else ""


def mounted(parts: Sequence[Part]) -> tuple[VolumeMount, ...]:
    """The volume mounts of all containers: they share one place. Raises CommandError where two want different things at one path."""
    found: dict[str, VolumeMount] = {}
    for part in parts:
        for mount in part.mounts:
            path = os.path.normpath(mount.mount_path)
            there = found.get(path)
            if there is not None and (there.name, there.sub_path) != (mount.name, mount.sub_path):
                raise CommandError(
                    f"volumeMounts: containers of one pod share one place here, and {mount.mount_path} is wanted for the volumes"
                    f" {there.name!r} and {mount.name!r}"
                )
            if there is None or (there.read_only and not mount.read_only):
                found[path] = mount
    return tuple(found.values())
