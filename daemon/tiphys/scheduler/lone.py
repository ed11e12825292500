"""One step or task by itself: what its template says of it, without reading all the others, however many there are."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import depends, tags
from tiphys.expressions.depends import Depends
from tiphys.expressions.scope import ABSENT, ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding, bodies, plans, sources, variables
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.plans import DagPlan, StepsPlan, TaskPlan
from tiphys.scheduler.records import Node
from tiphys.spec.templates import ContinueOn, DAGTask, Template, WorkflowStep

Declared = TypeVar("Declared", bound=WorkflowStep | DAGTask)


class _Lazy(dict[str, Depends]):
    """What tasks depend on, each read when it is asked for."""

    def __init__(self, make: Callable[[str], Depends]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Depends:
        found = self[name] = self._make(name)
        return found

    def __contains__(self, name: object) -> bool:
        return True


class _LoneSteps(StepsPlan):
    """A plan of steps that knows names alone."""

    __slots__ = ()

    def __init__(self, template: Template, source: sources.Source) -> None:  # the plan of everything is what is saved
        self.template, self.source = template, source
        self.count = 0
        self.group_of = {step.name: index for index, group in enumerate(template.steps or ()) for step in group}
        self.tasks = dict.fromkeys(self.group_of)  # type: ignore[assignment] # only the names are asked for


class _LoneDag(DagPlan):
    """A plan of a dag that knows names, and reads dependencies when asked."""

    __slots__ = ()

    def __init__(self, template: Template, source: sources.Source, made: Callable[[DAGTask], DAGTask]) -> None:  # as above
        self.template, self.source = template, source
        declared = {task.name: task for task in (template.dag.tasks if template.dag is not None else ())}
        self.tasks = dict.fromkeys(declared)  # type: ignore[assignment] # only the names are asked for

        def read(name: str) -> Depends:
            if name not in declared:
                return depends.from_dependencies(())
            task = made(declared[name])
            continues = {other: declared[other].continue_on or ContinueOn() for other in _named(task) if other in declared}
            if task.depends:
                return depends.parse(task.depends, continues)
            return depends.from_dependencies(task.dependencies, continues)

        self.depends = _Lazy(read)
        self._reach, self._bits = {}, {}


def _named(task: DAGTask) -> tuple[str, ...]:
    if not task.depends:
        return task.dependencies
    try:
        return depends.parse(task.depends).tasks
    except TiphysError:
        return ()


class Lone:
    """A step or task of a steps or dag node: `task` compiled, `declared` with the node's own values in it."""

    __slots__ = ("boundary", "declared", "draft", "plan", "task")

    def __init__(self, draft: Draft, boundary: Node, plan: StepsPlan | DagPlan, declared: WorkflowStep | DAGTask) -> None:
        self.draft = draft
        self.boundary = boundary
        self.plan = plan
        self.declared = declared
        self.task = TaskPlan(declared)

    @property
    def name(self) -> str:
        """The full name of its node, its loop aside."""
        if isinstance(self.plan, StepsPlan):
            return f"{self.boundary.name}[{self.group}].{self.declared.name}"
        return f"{self.boundary.name}.{self.declared.name}"

    @property
    def group(self) -> int:
        """The group that a step is in."""
        return self.plan.group_of[self.declared.name] if isinstance(self.plan, StepsPlan) else 0

    @property
    def depends(self) -> Depends:
        """What a task depends on. Raises a TiphysError."""
        return self.plan.depends[self.declared.name] if isinstance(self.plan, DagPlan) else depends.from_dependencies(())

    def ended(self, other: str) -> bool:
        """Whether another step or task of the same node is over, so that what it gives will not change."""
        if isinstance(self.plan, StepsPlan):
            node = self.draft.named(f"{self.boundary.name}[{self.plan.group_of.get(other, 0)}]")
        else:
            node = self.draft.named(f"{self.boundary.name}.{other}")
        return node is not None and node.settled

    def scope(self) -> Scope:
        """What it may name."""
        plan, name = self.plan, self.declared.name
        if isinstance(plan, StepsPlan):
            index = self.group
            seen = variables.TaskScope(self.draft, self.boundary, plan, lambda other: plan.group_of[other] < index)
        else:
            seen = variables.TaskScope(self.draft, self.boundary, plan, lambda other: plan.sees(name, other))
        source = plan.source
        return ChainScope(seen, FlatScope(_values(self.draft, self.boundary, source)), GlobalScope(self.draft))


def _values(draft: Draft, node: Node, source: sources.Source) -> dict[str, object]:
    values = bodies.own_names(draft, node.name, node.task, source) | binding.body_scope(source.template, node.inputs)
    for artifact in node.inputs.artifacts if node.inputs is not None else ():
        values[f"inputs.artifacts.{artifact.name}"] = artifact if binding.located(artifact) else ABSENT
    return values


def find(draft: Draft, boundary: Node, task: str) -> Lone | None:
    """The step or task of a steps or dag node that is called so (expanded names too); None: there is none. Raises a TiphysError."""
    source = bodies.source_of(draft, boundary)
    template, name = source.template, plans.base(task)
    declared: WorkflowStep | DAGTask | None
    if template.dag is not None:
        declared = next((one for one in template.dag.tasks if one.name == name), None)
    else:
        declared = next((one for group in template.steps or () for one in group if one.name == name), None)
    if declared is None:
        return None

    def made(one: DAGTask) -> DAGTask:
        return _rendered(draft, boundary, source, one)

    plan = _LoneDag(template, source, made) if template.dag is not None else _LoneSteps(template, source)
    return Lone(draft, boundary, plan, _rendered(draft, boundary, source, declared))


def names(draft: Draft, boundary: Node) -> list[str]:
    """The declared names of what a steps or dag node is made of."""
    template = bodies.source_of(draft, boundary).template
    if template.dag is not None:
        return [task.name for task in template.dag.tasks]
    return [step.name for group in template.steps or () for step in group]


def _rendered(draft: Draft, boundary: Node, source: sources.Source, declared: Declared) -> Declared:
    """As the node's own body has it: the node's inputs and workflow.* are in it (semantics 2.5.2, stages 5 to 7)."""
    text = msgspec.json.encode(declared).decode()
    if "{{" not in text:
        return declared
    rendered = tags.compile(text).render(bodies.scope_of(draft, boundary, source), Unresolved.KEEP, draft.chance(boundary.name))
    return msgspec.json.decode(rendered, type=type(declared))
