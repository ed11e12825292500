"""What a workflow would do first, and what of the rest is known already: its plan, without running anything.

The workflow is submitted to a state of its own; nothing of that is performed. What would be launched is what starts first. Of steps and
tasks that wait, everything that can be evaluated is, and what stays open is named with what it waits for.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import conditions, tags
from tiphys.expressions.scope import ChainScope, Scope
from tiphys.expressions.tags import NotYet, Unresolved
from tiphys.scheduler import concluding, decision, orders, plans, resolving, variables
from tiphys.scheduler.calls import Call
from tiphys.scheduler.decide import decide
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Submitted
from tiphys.scheduler.plans import DagPlan, StepsPlan, TaskPlan
from tiphys.scheduler.records import Manifest, Node
from tiphys.scheduler.state import RunState, State
from tiphys.spec import work
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import TemplateRef

SEED = "plan"
TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
UPSTREAM = re.compile(r"(?:steps|tasks)(?:\.([-\w]+)|\[['\"]([^'\"]+)['\"]\])")
LATER = {
    "workflow.status": "the end of the main part",
    "workflow.failures": "the end of the main part",
    "workflow.duration": "the end of the main part",
    "item": "each item of the loop",
    "retries": "each attempt",
    "lastRetry": "each attempt",
}


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of what is shown."""


class Value(Shown, frozen=True):
    """A text of the manifest: as written, as it is now (`value`), and for each tag that stays open what it waits for."""

    written: str
    value: str
    open: dict[str, str] = {}


class First(Shown, frozen=True):
    """A node that is there at once. `runs`: what would be launched, a line each; `waits`: why it does not start."""

    name: str
    type: str
    template: str
    phase: str
    message: str = ""
    runs: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    waits: str = ""


class Later(Shown, frozen=True):
    """A step or task that waits. `after`: for what. `items`: how many its loop has, None: not known, or no loop."""

    name: str
    template: str
    after: str
    when: Value | None = None
    decided: str = ""
    loop: Value | None = None
    items: int | None = None
    arguments: dict[str, Value] = {}
    hooks: tuple[str, ...] = ()


class Planned(Shown, frozen=True):
    """The plan of one workflow. `outcome`: its phase and message where it would end at once."""

    workflow: str
    first: tuple[First, ...] = ()
    later: tuple[Later, ...] = ()
    exit_handler: str = ""
    hooks: tuple[str, ...] = ()
    outcome: str = ""


def plan(manifest: Manifest, at: datetime) -> Planned:
    """The plan of a manifest that would be submitted at `at`."""
    state = State()
    made = decide(state, Submitted(at=at, uid=manifest.uid, seed=SEED, manifest=manifest))
    if isinstance(made, decision.Refusal):
        return Planned(workflow=manifest.workflow.metadata.name, outcome=made.reason)
    state.apply(made)
    run = state.runs[manifest.uid]
    draft = Draft(run, at)
    launched = {command.node_id for command in made.commands if isinstance(command, decision.Launch)}
    handler = concluding.exit_handler(draft)
    spec = run.manifest.workflow.spec
    over = run.run.phase.completed
    waiting = f"{run.run.phase}: {run.run.message}" if over else run.run.message
    if run.run.suspended and not over:
        waiting = "suspended from the start: it waits to be resumed"
    return Planned(
        workflow=run.run.name,
        first=tuple(_firsts(draft, run, launched, at)),
        later=tuple(_laters(draft, run)),
        exit_handler="" if handler is None else _template(handler.template, handler.template_ref),
        hooks=tuple(f"{name}: when {hook.expression}" for name, hook in (spec.hooks or {}).items() if name != "exit"),
        outcome=waiting,
    )


def _template(name: str, reference: TemplateRef | None) -> str:
    return f"{reference.name}/{reference.template}" if reference is not None else name


def _firsts(draft: Draft, run: RunState, launched: set[str], at: datetime) -> Iterator[First]:
    for node in run.nodes.values():
        if node.type in (NodeType.STEP_GROUP, NodeType.CONTAINER) or (node.type is NodeType.STEPS and not node.phase.fulfilled):
            continue
        if node.type in (NodeType.DAG, NodeType.TASK_GROUP, NodeType.RETRY) and not node.phase.fulfilled:
            continue
        yield First(
            name=node.name,
            type=str(node.type),
            template=_template(node.template, node.reference),
            phase=str(node.phase),
            message=node.message,
            runs=tuple(_runs(run, node, at)) if node.id in launched else (),
            inputs={p.name: p.value for p in (node.inputs.parameters if node.inputs is not None else ()) if p.value is not None},
            waits=_awaited(node),
        )
    for queue in run.parked.values():
        for _, _, call in queue:
            yield _parked(draft, call)


def _parked(draft: Draft, call: Call) -> First:
    given = call.arguments.parameters if call.arguments is not None else ()
    limit = (draft.run.suspended and "the workflow is suspended") or "parallelism leaves no room"
    inputs = {p.name: p.value for p in given if p.value is not None}
    return First(name=call.name, type="", template=_template(call.template, call.reference), phase="", inputs=inputs, waits=limit)


def _awaited(node: Node) -> str:
    if node.waiting_for:
        return f"lock {node.waiting_for}"
    if node.type is NodeType.SUSPEND and not node.phase.fulfilled:
        return f"time, until {node.wake_at:%H:%M:%S}" if node.wake_at is not None else "somebody who resumes it"
    return ""


def _runs(run: RunState, node: Node, at: datetime) -> Iterator[str]:
    """What would be launched, as a person reads it. Secrets are in no order, so none can be shown."""
    try:
        order = orders.build(run, node.id, at)
    except TiphysError as error:
        yield f"cannot be ordered: {error}"
        return
    match order.work:
        case work.Command(container=container, source=source):
            yield _words([*container.command, *container.args]) or f"what image {container.image} runs by itself"
            if source is not None:
                yield from source.splitlines()
        case work.Request(http=http):
            yield f"{http.method or 'GET'} {http.url}"
            if http.body:
                yield http.body
        case work.Listing(data=data):
            yield "list the keys of " + msgspec.json.encode(data.source).decode()
        case work.PluginWork(template=template):
            yield "plugin " + msgspec.json.encode(template.plugin).decode()
        case work.PodWork(template=template):
            for container in template.init_containers:
                yield f"init {container.name}: {_words([*container.command, *container.args])}"
            for one in template.container_set.containers if template.container_set is not None else ():
                after = f" after {', '.join(one.dependencies)}" if one.dependencies else ""
                yield f"{one.name}{after}: {_words([*one.command, *one.args])}"
            for main in (template.container, template.script):
                if main is not None:
                    yield _words([*main.command, *main.args])
            for container in template.sidecars:
                yield f"sidecar {container.name}: {_words([*container.command, *container.args])}"
    for given in order.inputs:
        yield f"with artifact {given.artifact.name} at {given.artifact.path}"


def _words(words: Iterable[str]) -> str:
    return " ".join(msgspec.json.encode(word).decode() if " " in word or not word else word for word in words)


def _laters(draft: Draft, run: RunState) -> Iterator[Later]:
    for node in run.nodes.values():
        if node.phase is not Phase.RUNNING:
            continue
        if node.type is NodeType.STEPS:
            yield from _steps(draft, node)
        elif node.type is NodeType.DAG:
            yield from _tasks(draft, node)


def _steps(draft: Draft, node: Node) -> Iterator[Later]:
    plan_ = plans.plan_of(draft, node)
    assert isinstance(plan_, StepsPlan)
    for index in range(plan_.count):
        if draft.named(f"{node.name}[{index}]") is not None:
            continue
        earlier = {name for name, at in plan_.group_of.items() if at < index and _over(draft, node, name)}
        seen = variables.TaskScope(draft, node, plan_, earlier.__contains__)
        scope = ChainScope(seen, plans.outer(draft, plan_))
        before = ", ".join(step.name for step in plan_.group(index - 1))
        for step in plan_.group(index):
            yield _later(draft, node, step, scope, f"{node.name}[{index}].{step.name}", before)


def _tasks(draft: Draft, node: Node) -> Iterator[Later]:
    plan_ = plans.plan_of(draft, node)
    assert isinstance(plan_, DagPlan)
    for name in plan_.order:
        if draft.named(f"{node.name}.{name}") is not None or not plan_.depends[name].tasks:
            continue
        seen = variables.TaskScope(draft, node, plan_, lambda other, name=name: plan_.sees(name, other) and _over(draft, node, other))  # type: ignore[misc] # a bound name
        scope = ChainScope(seen, plans.outer(draft, plan_))
        yield _later(draft, node, plan_.tasks[name], scope, f"{node.name}.{name}", ", ".join(plan_.depends[name].tasks))


def _over(draft: Draft, node: Node, task: str) -> bool:
    """Whether a step or task has ended already: what others are to know of it is then known."""
    plan_ = plans.plan_of(draft, node)
    name = f"{node.name}[{plan_.group_of[task]}].{task}" if isinstance(plan_, StepsPlan) else f"{node.name}.{task}"
    found = draft.named(name)
    return found is not None and found.phase.fulfilled


def _later(draft: Draft, node: Node, task: TaskPlan, scope: Scope, name: str, after: str) -> Later:
    chance = draft.chance(name)

    def value(text: str) -> Value:
        try:
            now = tags.render_plain(text, scope, Unresolved.KEEP, chance)
        except (TiphysError, NotYet):
            now = text
        return Value(written=text, value=now, open={tag: _waits_for(tag) for tag in dict.fromkeys(TAG.findall(now))})

    resolved = resolving.written(task)
    given = resolved.arguments.parameters if resolved.arguments is not None else ()
    looped = "" if not task.looped else task.param or msgspec.json.encode(task.items or task.sequence).decode()
    when = value(task.when) if task.when else None
    loop = value(looped) if looped else None
    return Later(
        name=name,
        template=_template(resolved.template, resolved.template_ref) or "inline",
        after=after,
        when=when,
        decided=_decided(when),
        loop=loop,
        items=_items(draft, node, task, scope, loop),
        arguments={p.name: value(p.value) for p in given if p.value is not None},
        hooks=tuple(call.suffix for call in task.hooks),
    )


def _decided(when: Value | None) -> str:
    if when is None or when.open:
        return ""
    try:
        return "runs" if conditions.evaluate(when.value) else "will be skipped"
    except TiphysError as error:
        return f"error: {error}"


def _items(draft: Draft, node: Node, task: TaskPlan, scope: Scope, loop: Value | None) -> int | None:
    if loop is None or any(waits not in LATER.values() for waits in loop.open.values()):
        return None
    try:
        return len(resolving.items(task, scope, draft.chance(f"{node.name}.{task.name}")))
    except TiphysError:
        return None


def _waits_for(tag: str) -> str:
    """What must happen before a tag has a value."""
    found = UPSTREAM.search(tag)
    if found is not None:
        return f"the end of {found[1] or found[2]}"
    name = tag.strip().lstrip("=").strip()
    return next(
        (words for known, words in LATER.items() if re.search(rf"\b{re.escape(known)}\b", name)), "nothing that is known: it stays as it is"
    )
