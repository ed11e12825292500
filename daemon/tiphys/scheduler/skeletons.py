"""What follows from the text of a steps or dag template alone, the same for all its nodes: who waits for whom, who stands where.

It is kept with the template (`sources.Source`), and may be made before a run needs it, on any thread (`preparing`).
"""

from collections.abc import Iterable

import msgspec

from tiphys.expressions import depends
from tiphys.expressions.depends import Depends
from tiphys.spec.templates import DAGTask, DAGTemplate, Template, WorkflowStep

Groups = tuple[tuple[WorkflowStep, ...], ...]


class DagSkeleton(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tasks of a dag. `order`: needed tasks, dependencies first; `dependents`: the edges reversed; `loops`: those that are loops.

    `reach` and `bits` are kept by who asks for ancestors.
    """

    dag: DAGTemplate
    declared: dict[str, DAGTask]
    depends: dict[str, Depends]
    targets: tuple[str, ...]
    order: tuple[str, ...]
    dependents: dict[str, list[str]]
    loops: tuple[str, ...]
    reach: dict[str, int] = {}
    bits: dict[str, int] = {}


class Skeleton:
    """The skeleton of one template, made when it is asked for."""

    __slots__ = ("_dag", "_groups_of", "_template")

    def __init__(self, template: Template) -> None:
        self._template = template
        self._dag: DagSkeleton | None = None
        self._groups_of: dict[str, int] | None = None

    def of_dag(self, dag: DAGTemplate) -> DagSkeleton:
        """The skeleton of `dag`, which is the template's own, or that with tags replaced in it. Raises ExpressionError."""
        own = self._template.dag
        if own is None or (dag is not own and not _alike(own, dag)):
            return dag_skeleton(dag)
        if self._dag is None:
            self._dag = dag_skeleton(own)
        return self._dag

    def of_steps(self, groups: Groups) -> dict[str, int]:
        """In which group each step is."""
        if groups is not self._template.steps:
            return _groups_of(groups)
        if self._groups_of is None:
            self._groups_of = _groups_of(groups)
        return self._groups_of


def _alike(one: DAGTemplate, other: DAGTemplate) -> bool:
    """Whether two texts of a dag say the same of who waits for whom."""
    return (
        one.target == other.target
        and len(one.tasks) == len(other.tasks)
        and all(
            mine.name == theirs.name
            and mine.dependencies == theirs.dependencies
            and mine.depends == theirs.depends
            and mine.continue_on == theirs.continue_on
            and is_loop(mine) == is_loop(theirs)
            for mine, theirs in zip(one.tasks, other.tasks, strict=True)
        )
    )


def is_loop(task: DAGTask | WorkflowStep) -> bool:
    """Whether a step or task is one of many."""
    return bool(task.with_items or task.with_param or task.with_sequence is not None)


def dag_skeleton(dag: DAGTemplate) -> DagSkeleton:
    """Read all of a dag. Raises ExpressionError where a `depends` cannot be read."""
    continues = {task.name: task.continue_on for task in dag.tasks if task.continue_on is not None}
    waits: dict[str, Depends] = {}
    for task in dag.tasks:
        if task.depends:
            waits[task.name] = depends.parse(task.depends, continues)
        else:
            waits[task.name] = depends.from_dependencies(task.dependencies, continues)
    named = {name for parsed in waits.values() for name in parsed.tasks}
    declared = {task.name: task for task in dag.tasks}
    targets = tuple(dag.target.split()) or tuple(sorted(name for name in declared if name not in named))
    order = _ordered(targets, waits)
    dependents: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for other in waits[name].tasks:
            dependents[other].append(name)
    return DagSkeleton(
        dag=dag,
        declared=declared,
        depends=waits,
        targets=targets,
        order=order,
        dependents=dependents,
        loops=tuple(task.name for task in dag.tasks if is_loop(task)),
    )


def _ordered(targets: Iterable[str], waits: dict[str, Depends]) -> tuple[str, ...]:
    order: dict[str, None] = {}
    for target in targets:
        stack = [(target, iter(waits[target].tasks))] if target not in order else []
        trail = {target}
        while stack:
            name, rest = stack[-1]
            following = next((other for other in rest if other not in order and other not in trail), None)
            if following is None:
                order[name] = None
                stack.pop()
            else:
                trail.add(following)
                stack.append((following, iter(waits[following].tasks)))
    return tuple(order)


def _groups_of(groups: Groups) -> dict[str, int]:
    return {step.name: index for index, group in enumerate(groups) for step in group}
