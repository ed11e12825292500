"""Requests to the launcher that differ from others of their template in names and texts alone: made once, and filled in for each.

The first attempt of a template is prepared with all that may have to be looked for: its program, Secrets, volumes, its place. Where an
attempt needed none of that but its program, its request serves as a mould for those that come after it.
"""

from collections.abc import Iterable

import msgspec
from msgspec import structs

from tiphys.executors.process import command, isolation, places
from tiphys.executors.process.forms import Form, Json
from tiphys.executors.process.places import Directories
from tiphys.executors.process.view import normal
from tiphys.spec.containers import Container
from tiphys.spec.work import Command, WorkOrder

MOST = 256
OWN = frozenset({"id", "key", "env", "argv", "home", "progress", "prepare", "delete", "deadline", "state", "trees", "view", "overlay"})
"""Fields of a request that are an attempt's own."""

FACTS = frozenset({"ARGO_NODE_ID", "ARGO_POD_NAME", "ARGO_PROGRESS_FILE", "ARGO_DEADLINE", "TIPHYS_IDEMPOTENCY_KEY"})
"""Variables of an attempt's own, which a template may set as it likes."""


class Moulds:
    """The moulds of the templates that run now, by run and name."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._made: dict[tuple[str, str], Mould] = {}

    def keep(self, order: WorkOrder, request: Json) -> None:
        """Keep a request as a mould, if it is one."""
        work = order.work
        if (
            isinstance(work, Command)
            and "bytes_env" not in request
            and _needs_nothing(order, work.container)
            and (not request.get("isolated") or _finds_its_place(order, work.container, request))
        ):
            if len(self._made) >= MOST:
                self._made.clear()
            self._made[order.workflow.uid, order.template_name] = Mould(order, work, request, self._directories)

    def clear(self) -> None:
        """Forget all of them."""
        self._made.clear()

    def fill(self, order: WorkOrder) -> tuple[Json, Form] | None:
        """The request of an attempt, from the mould of its template: what is its own of it, and the form; None: it must be prepared."""
        mould = self._made.get((order.workflow.uid, order.template_name))
        return None if mould is None else mould.fill(order)


class Mould:
    """What the attempts of one template in one run have in common."""

    __slots__ = ("_argv", "_bare", "_form", "_group", "_is_plain", "_isolated", "_order", "_own", "_prepare", "_scratch", "_shape")

    def __init__(self, order: WorkOrder, work: Command, request: Json, directories: Directories) -> None:
        self._order = order
        self._shape = _shape(work.container)
        self._scratch = str(directories.scratch)
        self._isolated: bool = request.get("isolated", False)
        self._group: str = request["group"]
        self._is_plain = places.PLAIN.fullmatch(self._group) is not None
        self._prepare = [entry for entry in request["prepare"] if entry[0] != "file" and entry[1] != request.get("state")]
        self._own = frozenset(variable.name for variable in work.container.env)
        self._argv: list[str] = request["argv"][:-1] if work.source and not self._isolated else request["argv"]
        facts = FACTS - {"ARGO_PROGRESS_FILE"} if self._isolated else FACTS
        env = {name: text for name, text in request["env"].items() if name not in facts or name in self._own}
        del env["TIPHYS_ATTEMPT"]
        common = {name: value for name, value in request.items() if name not in OWN} | {"prepare": self._prepare}
        if self._isolated:
            common |= _isolated_alike(request, directories)
        else:
            common |= {"progress": True, "trees": request["trees"]}
        if "home" in request:
            common["home"] = request["home"][1:]
        self._form = Form({**common, "env": env, "argv": self._argv})
        bare = env if "ARGO_TEMPLATE" in self._own else {name: text for name, text in env.items() if name != "ARGO_TEMPLATE"}
        self._bare = Form({**common, "env": bare})

    def fill(self, order: WorkOrder) -> tuple[Json, Form] | None:
        """What is an attempt's own of its request, and the form; None: more than names and texts are its own."""
        work = order.work
        assert isinstance(work, Command)
        like, key = self._order, self._key(order)
        if not key:
            return None
        own: Json = {"op": "spawn", "id": order.id, "key": key, "env": self._facts(order, key)}
        argv, form = self._argv, self._form
        if not (work is like.work and order.template is like.template and order.wanted is like.wanted):
            found = self._varied(order, work)
            if found is None:
                return None
            (argv, env), form = found, self._bare
            own["env"] |= env
            own["argv"] = argv
        if work.source:
            script = f"{self._scratch}/{key}.script"
            own |= {"prepare": [*self._prepare, ("file", script, 0o755, work.source)], "delete": [script]}
            own |= {"binds": ["--ro-bind", script, isolation.SCRIPT]} if self._isolated else {"argv": [*argv, script]}
        if order.deadline is not None:
            own["deadline"] = order.deadline.timestamp()
        return own, form

    def _facts(self, order: WorkOrder, key: str) -> dict[str, str]:
        """The attempt's own variables, without those that the template sets as it likes."""
        facts = {
            "ARGO_NODE_ID": order.node_id,
            "ARGO_POD_NAME": order.pod_name,
            "TIPHYS_IDEMPOTENCY_KEY": order.idempotency_key or order.node_id,
            "TIPHYS_ATTEMPT": order.id,
        }
        if not self._isolated:
            facts["ARGO_PROGRESS_FILE"] = f"{self._scratch}/{key}.progress"
        if order.deadline is not None:
            facts["ARGO_DEADLINE"] = order.deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
        if self._own.isdisjoint(facts):
            return facts
        return {name: text for name, text in facts.items() if name not in self._own or name == "TIPHYS_ATTEMPT"}

    def _varied(self, order: WorkOrder, work: Command) -> tuple[list[str], dict[str, str]] | None:
        """Command line and what is its own of the environment of an attempt whose template was filled in differently; None: more than
        its texts differ.
        """
        container = work.container
        like = self._order
        if order.wanted != like.wanted or bool(work.source) != bool(like.work.source) or not _needs_nothing(order, container):  # type: ignore[union-attr]
            return None
        words = [*container.command[1:], *container.args]
        if _shape(container) != self._shape or any("$(" in word or "$$" in word for word in words):
            return None
        argv = [self._argv[0], *words, *([isolation.SCRIPT] if self._isolated and work.source else ())]
        text = msgspec.json.encode(order.template).decode()
        env = {}
        if "ARGO_TEMPLATE" not in self._own and len(text) < command.LARGEST_TEMPLATE:
            env["ARGO_TEMPLATE"] = text
        return (argv, env) if _surely_fit((*argv, env.get("ARGO_TEMPLATE", ""))) else None

    def _key(self, order: WorkOrder) -> str:
        """The attempt's name in the scratch folder; "": an isolated one's would not tell its folder's name."""
        name = f"{order.node_id}.{order.attempt}"
        if self._is_plain and len(name) + len(self._group) < places.LONGEST_NAME and places.PLAIN.fullmatch(name):
            return f"{self._group}.{name}"
        return "" if self._isolated else places.scratch_key(order.id)


def _finds_its_place(order: WorkOrder, container: Container, request: Json) -> bool:
    """Whether an isolated attempt begins in a borrowed root, for which nothing of the host's tree was looked at."""
    declared = order.wanted.parameters or order.wanted.artifacts or normal(container.working_dir or "/") != "/"
    return not declared and "keep" in request.get("overlay", {})


def _isolated_alike(request: Json, directories: Directories) -> Json:
    """What isolated attempts of a template have in common, beside what all have."""
    view: list[str] = request["view"]
    for path in (isolation.STATE, isolation.SCRIPT):  # each bound once: option, the attempt's own path, and where it is seen
        own = [at for at in range(1, len(view)) if view[at] == path and view[at - 2] in {"--bind", "--ro-bind"}]
        view = [word for at, word in enumerate(view) if not any(found - 2 <= at <= found for found in own)]
    return {
        "view": view,
        "overlay": {name: value for name, value in request["overlay"].items() if name != "keep"},
        "place": {
            "states": str(directories.states),
            "state": isolation.STATE,
            "keep": f"{directories.root}/{request['group']}",
        },
    }


def _surely_fit(texts: Iterable[str]) -> bool:
    """Whether no text comes near to what a command line or an environment cannot hold."""
    return all(len(text) < command.SURELY_FITS and text.isascii() and "\0" not in text for text in texts)


def _shape(container: Container) -> Container:
    """What of a container decides how it is run, not what it is told."""
    return structs.replace(container, command=container.command[:1], args=())


def _needs_nothing(order: WorkOrder, container: Container) -> bool:
    """Whether nothing has to be looked for that may have changed, or that an attempt has for itself."""
    return not (
        not container.command
        or order.inputs
        or order.daemon
        or order.wanted.container_logs
        or container.env_from
        or container.volume_mounts
        or any(variable.value_from is not None for variable in container.env)
    )
