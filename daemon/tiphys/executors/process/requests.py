"""What the launcher is asked for an attempt: its place, the files that are made there first, its command and environment."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tiphys.executors.process import command, findings, isolation, opening, places, pods, volumes
from tiphys.executors.process import view as views
from tiphys.executors.process.command import CommandError, Environment
from tiphys.executors.process.isolation import Fence, Plan, User
from tiphys.executors.process.link import Link
from tiphys.executors.process.places import Directories
from tiphys.executors.process.pods import Pod
from tiphys.executors.process.view import normal, within
from tiphys.secrets import Secrets
from tiphys.settings import ImageEntry, ProcessSettings
from tiphys.spec.work import WorkOrder

SURVEY_SECONDS = 5.0
MOST_PROGRAMS = 1000


class Requests:
    """Makes them. `changed` is called when the host looks otherwise than before; `ground`: what it looked like last."""

    def __init__(
        self,
        settings: ProcessSettings,
        images: Mapping[str, ImageEntry],
        secrets: Secrets,
        link: Link,
        fence: Fence | None,
        user: User,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._images = images
        self._secrets = secrets
        self._link = link
        self._directories: Directories = link.directories
        self._root, self._scratch = str(link.directories.root), str(link.directories.scratch)
        self._states_on_disk = str(link.directories.states)
        self._fence = fence
        self._user = user
        self._changed = changed
        self._environment = Environment(opening.base_environment(settings, link.directories, fence, user), secrets)
        self._programs: dict[tuple[str, str, str], str] = {}
        self.ground: isolation.Ground | None = None
        self._until = 0.0

    @property
    def is_current(self) -> bool:
        """Whether what was made lately would be made so again: without isolation always, else the host must have been looked at."""
        return self._fence is None or anyio.current_time() <= self._until

    async def prepared(self, order: WorkOrder, pod: Pod, words: Sequence[str]) -> tuple[Plan | None, dict[str, Any]]:
        """The attempt's place and the launcher's request. No place: without isolation the command is looked for first, and is not there."""
        plan, script = await self.plan(order, pod)
        prepare = [*plan.prepare]
        progress_file = isolation.progress_file() if plan.view.private else self.progress(order.id)
        plan.request["trees"] = []
        if plan.view.private or pod.supervised:
            prepare.append(("dir", self.state(order.id), 0o700, *(self._user.owner or (-1, -1))))
            plan.request["state"] = self.state(order.id)
            plan.request["trees"].append(self.state(order.id))
        if not plan.view.private:
            plan.request["progress"] = progress_file
            if self._user.owner:  # who may not make files there
                prepare.append(("file", progress_file, 0o600, "", *self._user.owner))
        place = self._environment.at(progress_file, self._seen(order))
        in_view = isolation.SCRIPT if plan.view.private else script
        if pod.source:
            prepare.append(("file", script, 0o755, pod.source))
            plan.request["delete"] = [script]
        if pod.volumes:
            prepare += await self._volume_files(order, pod, plan)
        if order.wanted.container_logs:
            prepare += [("tree", str(self.logs(order.id))), ("mode", str(self.logs(order.id)), 0o777)]
        if pod.supervised:
            line = command.Line(argv=self._supervised(order.id, plan), env=dict(place.base) | {"TIPHYS_ATTEMPT": order.id})
            text = await pods.spec(order, pod, self._images, place, script=in_view, **self._own_places(order.id, plan))
            prepare.append(("file", self._spec(order.id), 0o400, text, *(self._user.owner or ())))
            plan.request.setdefault("delete", []).append(self._spec(order.id))
        else:
            line = await place.line(order, pod.main.container, [*words, in_view] if pod.source else words)
        argv, env, hidden = line.argv, line.env, list[str]()
        if plan.view.private:
            argv = [*self._user.prefix(), *argv]
            for name in [name for name in env if command.endangers_loader(name)]:
                hidden += ["--setenv", name, env.pop(name)]
        else:
            if pod.supervised:
                prepare.append(("dir", *plan.request.pop("home")))
                plan.request["tidy"] = [self._home(order.id)]
            elif "HOME" in env:
                del plan.request["home"]
            program = await self._program(argv[0], env.get("PATH", os.defpath), plan.view.working_directory)
            if program is None:
                return None, {}
            argv = [*self._user.prefix(), program, *argv[1:]]
            if self._user.other and any(map(command.endangers_loader, env)):
                raise CommandError("variables of the program loader (LD_…) cannot be given to another user's steps without isolation")
        where = places.place(order.id)
        request: dict[str, Any] = {
            "op": "spawn",
            "id": order.id,
            "key": places.scratch_key(order.id),
            "group": where.group,
            "argv": argv,
            "env": env,
            "prepare": prepare,
            "split": order.wanted.result,
            "log_limit": self._settings.log_limit_bytes,
            "grace": order.grace_seconds,
            **plan.request,
        }
        if hidden:
            request["hidden_arguments"] = hidden
        if not "".join(env.values()).isascii():
            for name in [name for name, value in env.items() if not command.is_text(value)]:
                request.setdefault("bytes_env", {})[name] = os.fsencode(env.pop(name)).decode("latin-1")
        if order.deadline is not None:
            request["deadline"] = order.deadline.timestamp()
        if self._user.owner:
            request["owner"] = self._user.owner
        limits = findings.limits(pod.main.container.resources) if len(pod.parts) == 1 else None
        if limits and not self._link.cgroup_error:
            request["limits"] = limits
        return plan, request

    def _seen(self, order: WorkOrder) -> Secrets:
        """The Secrets and ConfigMaps that an attempt sees."""
        return self._secrets.with_documents(order.config_maps) if order.config_maps else self._secrets

    def state(self, order_id: str) -> str:
        """Where the attempt says how far it is. Isolated, on disk: what a step can write must not fill the host's memory."""
        top = self._scratch if self._fence is None else self._states_on_disk
        return f"{top}/{places.scratch_key(order_id)}.state"

    def progress(self, order_id: str) -> str:
        """The file in which the attempt's program says how far it is."""
        if self._fence is None:
            return f"{self._scratch}/{places.scratch_key(order_id)}.progress"
        return f"{self.state(order_id)}/{pods.PROGRESS_FILE}"

    def _own_places(self, order_id: str, plan: Plan) -> dict[str, str]:
        """The home of a pod's containers ("": it is in their environment), and the folder of their own logs."""
        if plan.view.private:
            return {"home": "", "logs": pods.LOGS}
        return {"home": self._home(order_id), "logs": str(self.logs(order_id))}

    def logs(self, order_id: str) -> Path:
        """The folder for the logs of its containers, each by itself."""
        return self._directories.folder(order_id) / "logs"

    def _spec(self, order_id: str) -> str:
        return f"{self._scratch}/{places.scratch_key(order_id)}.pod"

    def _supervised(self, order_id: str, plan: Plan) -> list[str]:
        """The supervisor's command."""
        interpreter, _ = pods.program()
        if plan.view.private:
            return [*interpreter, pods.PROGRAM, pods.SPEC, f"{isolation.STATE}/{pods.STATE_FILE}"]
        return [*interpreter, str(pods.SUPERVISOR), self._spec(order_id), f"{self.state(order_id)}/{pods.STATE_FILE}"]

    async def _volume_files(self, order: WorkOrder, pod: Pod, plan: Plan) -> list[isolation.Entry]:
        """What makes the files of ConfigMap, Secret and similar volumes; they are deleted at the end."""
        _, filled = volumes.mounts(order, pods.mounted(pod.parts), pod.volumes, self._directories)
        if not filled:
            return []
        top = volumes.filled_folder(order.id, self._directories)
        plan.request["trees"].append(top)
        owner = self._user.owner or (-1, -1)
        entries: list[isolation.Entry] = [("dir", top, 0o755, *owner)]
        for volume in filled:
            folder = f"{top}/{places.safe(volume.name)}"
            entries.append(("dir", folder, 0o755, *owner))
            for path, mode, text in await volumes.files(order, volume, self._seen(order)):
                place = Path(folder, path)
                entries += [("tree", str(place.parent)), ("file", str(place), mode, text, *(self._user.owner or ()))]
        return entries

    async def plan(self, order: WorkOrder, pod: Pod) -> tuple[Plan, str]:
        """The attempt's place, and the host file of its script ("": it is none)."""
        where = places.place(order.id)
        working_directory = normal(pod.main.container.working_dir or "/")
        script = f"{self._scratch}/{places.scratch_key(order.id)}.script" if pod.source else ""
        files = [(isolation.SCRIPT, script)] if script else []
        if pod.supervised:
            files += [(pods.PROGRAM, str(pods.SUPERVISOR)), (pods.SPEC, self._spec(order.id))]
            _, prefix = pods.program()
            if any(within(prefix, top) for top in views.HIDDEN):
                files.append((prefix, prefix))
        mounts = volumes.mounts(order, pods.mounted(pod.parts), pod.volumes, self._directories)[0]
        own_logs = [isolation.Mount(path=pods.LOGS, source=str(self.logs(order.id)))] if order.wanted.container_logs else []
        asked = isolation.Asked(
            folder=f"{self._root}/{where.group}/{where.key}",
            working_directory=working_directory,
            declared=declared_paths(order),
            mounts=(*mounts, *own_logs),
            files=tuple(files),
            state=self.state(order.id),
            brings_in=bool(order.inputs),
            own_root=pod.supervised,
        )
        if self._fence is None:
            if [mount for mount in asked.mounts if mount not in own_logs]:
                raise CommandError("volumes need process.isolation full: without it a step has no place of its own to mount them")
            return isolation.plain_plan(asked, self._user, self._home(order.id), self._settings.writable), script
        if not self.is_current:
            now = anyio.current_time()
            self._look_at(await anyio.to_thread.run_sync(self._fence.survey))
            self._until = now + SURVEY_SECONDS
        assert self.ground is not None
        if not asked.reads_host:
            return self._fence.plan(self.ground, asked), script
        return await anyio.to_thread.run_sync(self._fence.plan, self.ground, asked), script

    def _look_at(self, ground: isolation.Ground) -> None:
        """The host looks so now; what was made for another look of it serves no more."""
        if ground != self.ground:
            self.ground = ground
            self._changed()

    def _home(self, order_id: str) -> str:
        return f"{self._scratch}/{places.scratch_key(order_id)}.home"

    async def _program(self, name: str, path: str, working_directory: str) -> str | None:
        """Where a command is, without isolation; remembered, for the launcher notices a file that went away."""
        key = (name, path, working_directory)
        if key not in self._programs:
            found = await anyio.to_thread.run_sync(command.find_program, *key)
            if found is None:
                return None
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.clear()
            self._programs[key] = found
        return self._programs[key]


def declared_paths(order: WorkOrder) -> tuple[str, ...]:
    """The view paths at which an order brings files in or collects them."""
    brought = (entry.artifact.path for entry in order.inputs)
    return (*brought, *(entry.path for entry in order.wanted.parameters), *(entry.artifact.path for entry in order.wanted.artifacts))
