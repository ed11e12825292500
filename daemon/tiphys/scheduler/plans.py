"""The plan of a steps or dag node: what follows from its template alone, computed once and thrown away when the node is over."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Items

import msgspec
from msgspec import structs

from tiphys.expressions import tags
from tiphys.expressions.depends import Depends
from tiphys.expressions.scope import ABSENT, ChainScope, FlatScope
from tiphys.scheduler import binding, bodies
from tiphys.scheduler.calls import HookCall
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.resolved import Resolved, text_of
from tiphys.scheduler.skeletons import is_loop
from tiphys.scheduler.sources import Source
from tiphys.spec.artifacts import Artifact
from tiphys.spec.objects import JSON
from tiphys.spec.templates import Arguments, DAGTask, LifecycleHook, Sequence, Template, WorkflowStep


class TaskPlan:
    """A step or task, its texts compiled: what is the same however often it is resolved."""

    __slots__ = (
        "artifacts",
        "continue_on",
        "found_items",
        "hooks",
        "inline",
        "items",
        "left_out",
        "looped",
        "name",
        "param",
        "sequence",
        "sole",
        "text",
        "when",
    )

    def __init__(self, task: WorkflowStep | DAGTask) -> None:
        arguments = task.arguments or Arguments()
        self.name = task.name
        self.when = task.when
        text, self.left_out = text_of(
            Resolved(template=task.template, template_ref=task.template_ref, arguments=structs.replace(arguments, artifacts=()))
        )
        self.text = tags.compile(text)
        self.sole = tuple((p.name, name) for p in arguments.parameters if p.value is not None and (name := tags.sole_tag(p.value)))
        self.artifacts: tuple[Artifact, ...] = arguments.artifacts
        self.inline = msgspec.json.encode(task.inline).decode() if task.inline is not None else ""
        self.items: tuple[JSON, ...] | None = task.with_items or None
        self.param = task.with_param
        self.sequence: Sequence | None = task.with_sequence
        self.looped = is_loop(task)
        self.continue_on = task.continue_on
        self.hooks = tuple(_hooks(task.hooks or {}, task.on_exit))
        self.found_items: Items[JSON] | None = None  # kept for hooks that name their item

    def continues(self, *, failed: bool) -> bool:
        """Whether a Failed (or, if not `failed`, an Error) end is tolerated."""
        return self.continue_on is not None and (self.continue_on.failed if failed else self.continue_on.error)


def _hooks(hooks: Mapping[str, LifecycleHook], on_exit: str) -> Iterable[HookCall]:
    for name, hook in hooks.items():
        if name != "exit":
            yield HookCall(suffix=f"hooks.{name}", hook=hook, exit=False)
        elif not on_exit:
            yield HookCall(suffix="onExit", hook=hook, exit=True)
    if on_exit:
        yield HookCall(suffix="onExit", hook=LifecycleHook(template=on_exit), exit=True)


class Tasks(Mapping[str, TaskPlan]):
    """The tasks of a dag by their names, each compiled when it is first asked for: there may be very many."""

    __slots__ = ("_compiled", "_declared")

    def __init__(self, declared: Mapping[str, DAGTask]) -> None:
        self._declared = declared
        self._compiled: dict[str, TaskPlan] = {}

    def __getitem__(self, name: str) -> TaskPlan:
        found = self._compiled.get(name)
        if found is None:
            found = self._compiled[name] = TaskPlan(self._declared[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._declared

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


class Steps(Mapping[str, TaskPlan]):
    """The steps of a steps template by their names, each group compiled when one of its steps is first asked for."""

    __slots__ = ("_by_name", "_compiled", "_declared", "_group_of")

    def __init__(self, declared: tuple[tuple[WorkflowStep, ...], ...], group_of: Mapping[str, int]) -> None:
        self._declared = declared
        self._group_of = group_of
        self._compiled: dict[int, tuple[TaskPlan, ...]] = {}
        self._by_name: dict[str, TaskPlan] = {}

    def group(self, index: int) -> tuple[TaskPlan, ...]:
        """The steps of one group."""
        found = self._compiled.get(index)
        if found is None:
            found = self._compiled[index] = tuple(TaskPlan(step) for step in self._declared[index])
            self._by_name.update((step.name, step) for step in found if self._group_of[step.name] == index)
        return found

    def __getitem__(self, name: str) -> TaskPlan:
        found = self._by_name.get(name)
        if found is None:
            self.group(self._group_of[name])
            found = self._by_name[name]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._group_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._group_of)

    def __len__(self) -> int:
        return len(self._group_of)


class Plan:
    """The plan of a steps or dag node. `scope` has its inputs and its own names."""

    __slots__ = ("_positions", "scope", "source", "tasks", "template")

    def __init__(self, draft: Draft, node: Node, source: Source, template: Template) -> None:
        self.template = template
        self.source = source
        values = bodies.own_names(draft, node.name, node.task, source) | binding.body_scope(source.template, node.inputs)
        if node.role is Role.ATTEMPT:
            values |= bodies.attempt_scope(draft, node)
        for artifact in node.inputs.artifacts if node.inputs is not None else ():
            values[f"inputs.artifacts.{artifact.name}"] = artifact if binding.located(artifact) else ABSENT
        self.scope = FlatScope(values)
        self.tasks: Mapping[str, TaskPlan] = {}
        self._positions: dict[str, int] | None = None

    def position(self, task: str) -> int:
        """Where a step or task stands in the walk."""
        if self._positions is None:
            self._positions = {name: index for index, name in enumerate(self.walk())}
        return self._positions.get(task, 0)

    def walk(self) -> Iterable[str]:
        """The names in the order in which Argo would come to them."""
        return self.tasks


class StepsPlan(Plan):
    """Groups of steps by index, `count` of them."""

    __slots__ = ("_steps", "count", "group_of")

    def __init__(self, draft: Draft, node: Node, source: Source, template: Template) -> None:
        super().__init__(draft, node, source, template)
        groups = template.steps or ()
        self.count = len(groups)
        self.group_of: Mapping[str, int] = source.skeleton.of_steps(groups)
        self.tasks = self._steps = Steps(groups, self.group_of)

    def group(self, index: int) -> tuple[TaskPlan, ...]:
        """The steps of one group."""
        return self._steps.group(index)


class DagPlan(Plan):
    """Tasks with their dependencies counted (`skeletons.DagSkeleton`)."""

    __slots__ = ("_bits", "_reach", "dependents", "depends", "loops", "order", "targets")

    def __init__(self, draft: Draft, node: Node, source: Source, template: Template) -> None:
        super().__init__(draft, node, source, template)
        assert template.dag is not None
        found = source.skeleton.of_dag(template.dag)
        own = found.dag is template.dag
        self.tasks = Tasks(found.declared if own else {task.name: task for task in template.dag.tasks})
        self.loops = found.loops
        self.depends: Mapping[str, Depends] = found.depends
        self.targets = found.targets
        self.order = found.order
        self.dependents = found.dependents
        self._reach = found.reach
        self._bits = found.bits

    def walk(self) -> Iterable[str]:
        """The names in the order in which Argo would come to them: from each target into its dependencies first."""
        return self.order

    def sees(self, task: str, other: str) -> bool:
        """Whether `other` is an ancestor of `task`: only those are visible to it (semantics 2.8)."""
        direct = self.depends[task].tasks if task in self.depends else ()
        if other in direct:
            return True
        reached = self._reached(task)
        return other in self._bits and bool(reached >> self._bits[other] & 1)

    def _reached(self, task: str) -> int:
        """The ancestors of a task, a bit for each: a set for every task of a long chain would take the square of its length."""
        reach, bits, begun, stack = self._reach, self._bits, set[str](), [task]
        while stack:
            name = stack[-1]
            direct = self.depends[name].tasks if name in self.depends else ()
            if missing := [other for other in direct if other not in reach and other not in begun]:
                begun.add(name)
                stack.extend(missing)
                continue
            stack.pop()
            if name not in reach:
                reached = 0
                for other in direct:
                    reached |= reach.get(other, 0) | 1 << bits.setdefault(other, len(bits))
                reach[name] = reached
        return reach[task]


def plan_of(draft: Draft, node: Node) -> StepsPlan | DagPlan:
    """The plan of a steps or dag node, made on first use. Raises ExpressionError where its template cannot be read."""
    found = draft.state.plans.get(node.id)
    if found is None:
        source = bodies.source_of(draft, node)
        template = bodies.kept(draft, node, source)
        kind = StepsPlan if source.kind == "steps" else DagPlan
        found = draft.state.plans[node.id] = kind(draft, node, source, template)
    assert isinstance(found, StepsPlan | DagPlan)
    return found


def base(task: str) -> str:
    """The declared name of an expanded step or task: `a` of `a(0:x)`."""
    return task.partition("(")[0]


def item_index(task: str) -> int | None:
    """The place of an expanded step or task in its loop: 0 of `a(0:x)`; None for what is not expanded."""
    _, bracket, rest = task.partition("(")
    return int(rest.partition(":")[0]) if bracket else None


def outer(draft: Draft, plan: Plan) -> ChainScope:
    """A plan's own variables and workflow.*."""
    return ChainScope(plan.scope, GlobalScope(draft))
