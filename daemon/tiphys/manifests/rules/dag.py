"""DAG templates: tasks, their dependencies, and what each task may mention (semantics 2.8, 2.24)."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from tiphys.manifests.rules import arguments, graph, hooks, loops, nodes, resolution, resolvable, scopes, syntax, tags, visibility
from tiphys.manifests.rules.resolution import Found
from tiphys.manifests.rules.visits import Steps, Visit
from tiphys.spec import templates

RESULTS = frozenset({"Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"})
ITEM_RESULTS = frozenset({"AnySucceeded", "AllFailed"})

_WORD = re.compile(r"((?:[a-zA-Z0-9]|\{\{.*?\}\})(?:[-a-zA-Z0-9]|\{\{.*?\}\})*)(?:\.([A-Z][a-zA-Z]+))?")
"""A task and a result of it; a name may hold tags, as the task's own does."""

_MENTION = re.compile(r"\{\{\s*tasks\.([-a-zA-Z0-9]+)\.")


class Words(msgspec.Struct, frozen=True):
    """What a task waits for: the tasks, and those of them asked as a loop, and results that do not exist."""

    needs: tuple[str, ...]
    of_items: frozenset[str]
    unknown: tuple[tuple[str, str], ...]


def words(task: templates.DAGTask) -> Words:
    """The dependencies of a task, in either form."""
    if not task.depends:
        return Words(tuple(dict.fromkeys(task.dependencies)), frozenset(), ())
    found = [(match[1], match[2]) for match in _WORD.finditer(task.depends)]
    return Words(
        tuple(dict.fromkeys(name for name, _ in found)),
        frozenset(name for name, result in found if result in ITEM_RESULTS),
        tuple((name, result) for name, result in found if result and result not in RESULTS),
    )


def check(visit: Visit) -> Steps:
    """Report what is wrong with the tasks, in the order Argo looks at them; gives the visits of the templates they call."""
    template, dag = visit.template, visit.template.dag
    assert dag is not None
    label = f"templates.{template.name}"
    nodes.check_not_leaf(visit)
    if not dag.tasks:
        visit.error(f"{label} must have at least one task", "dag")
        return
    visit.bad_names([tags.filled(task.name) for task in dag.tasks], f"{label}.tasks", "dag", "tasks", plain=True)
    yield from _Tasks(visit, dag).check()


class _Tasks:
    """One DAG being checked."""

    def __init__(self, visit: Visit, dag: templates.DAGTemplate) -> None:
        self.visit = visit
        self.dag = dag
        self.label = f"templates.{visit.template.name}"
        self.index: dict[str, int] = {}
        for index, task in enumerate(dag.tasks):
            self.index.setdefault(task.name, index)
        self.words = {name: words(dag.tasks[index]) for name, index in self.index.items()}
        self.needs = {name: self.words[name].needs for name in self.index}
        ready, self.stuck = graph.parted(self.needs)
        self.ordered: Sequence[str] = ready + self.stuck
        self.found: dict[str, Found] = {}
        self.called: dict[str, Found] = {}
        self.endings: dict[str, list[str]] = {}
        """By the names of templates that are called plainly: they are looked up, and visited, for the first of their tasks."""
        self.right: set[tuple[str, ...]] = set()
        """The kinds of plain tasks of which one was judged and is as it should be: so are all of them."""
        encoded = ((name, msgspec.json.encode(dag.tasks[index])) for name, index in self.index.items())
        self.tagged = {name: text.decode() for name, text in encoded if b"{{" in text}
        """The JSON texts of the tasks that hold tags."""

    def check(self) -> Steps:
        visit, dag = self.visit, self.dag
        uses_depends = any(task.depends for task in dag.tasks)
        for name in self.ordered:
            yield from self._declare(name, uses_depends=uses_depends)
        if self.stuck and (cycle := graph.cycle(self.needs)):
            visit.error(f"{self.label}.tasks dependency cycle detected: {'->'.join(cycle)}", "dag", "tasks", self.index[cycle[0]])
        self._check_target()
        above = graph.ancestors(self.needs, self._mentions())
        for name in self.ordered:
            kind = self._plain_kind(name)
            if kind is None:
                self._check_task(name, above)
            elif kind not in self.right:
                before = visit.walk.report.count()
                self._check_task(name, above)
                if visit.walk.report.count() == before:
                    self.right.add(kind)

    def _plain_kind(self, name: str) -> tuple[str, ...] | None:
        """The template and the names of the values that a task gives it, where nothing else of the task has to be judged."""
        task = self.dag.tasks[self.index[name]]
        if name in self.tagged or task.template not in self.called or task.inline is not None or task.template_ref is not None:
            return None
        if task.when or task.on_exit or task.hooks is not None or loops.has_items(task) or task.with_items is not None:
            return None
        given = task.arguments
        if given is None:
            return (task.template,)
        if given.artifacts:
            return None
        kind = [task.template]
        for one in given.parameters:
            if one.value is None or one.value_from is not None or one.enum is not None:
                return None
            kind.append(one.name)
        return tuple(kind)

    def _declare(self, name: str, *, uses_depends: bool) -> Steps:
        visit, index = self.visit, self.index[name]
        task, keys = self.dag.tasks[index], ("dag", "tasks", index)
        label = f"{self.label}.tasks.{name}"
        if (uses_depends or task.dependencies) and name[:1].isdigit():
            visit.error(f"{label} name cannot begin with a digit when using either 'depends' or 'dependencies'", *keys, "name")
        if uses_depends and task.dependencies:
            text = f"{self.label} cannot use both 'depends' and 'dependencies' in the same DAG template"
            visit.error(text, *keys, "dependencies")
        if uses_depends and task.continue_on is not None:
            text = f"{self.label} cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"
            visit.error(text, *keys, "continueOn")
        plain = task.template if task.inline is None and task.template_ref is None else ""
        found = self.called.get(plain)
        if found is None:
            found = resolution.called(visit, task, label, self._inline_scope(task), *keys)
            if found.visit is not None:
                yield found.visit
                if plain:
                    self.called[plain] = found
                    self.endings[plain] = visibility.endings(found.visit.template, looped=False)
        self.found[name] = found
        if plain in self.called and not loops.is_loop(task):
            visit.scope.node(f"tasks.{name}", self.endings[plain])
        else:
            visibility.add(visit.scope, f"tasks.{name}", found.template, looped=loops.is_loop(task), known=found.known)
        self._check_dependencies(task, label, *keys)

    def _inline_scope(self, task: templates.DAGTask) -> scopes.Scope:
        scope = scopes.Scope(self.visit.scope)
        if task.inline is not None:  # what it may mention of other tasks is judged when they are all known
            scope.anything("tasks.")
            loops.declare(scope, task)
        return scope

    def _check_dependencies(self, task: templates.DAGTask, label: str, *keys: str | int) -> None:
        visit, mine = self.visit, self.words.get(task.name)
        assert mine is not None
        field = "depends" if task.depends else "dependencies"
        for other, result in mine.unknown:
            hint = "one of Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed"
            visit.error(f"{label} task result '{result}' for task '{other}' is invalid", *keys, field, hint=hint)
        undefined = [other for other in mine.needs if other not in self.index]
        if not undefined and not task.depends:
            return
        for other in undefined:
            if tags.has_tag(other):
                continue
            hint = visit.walk.nearest(other, self.index)
            visit.error(f"{label} dependency '{other}' not defined", *keys, field, hint=hint)
        for other in sorted(mine.of_items):
            if other in self.index and not loops.has_items(self.dag.tasks[self.index[other]]):
                condition = "uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items"
                visit.error(f"{label} dependency '{other}' {condition}", *keys, field)

        if not undefined and not mine.unknown and (fault := syntax.depends_fault(task.depends)):
            visit.error(f"{label} {fault}", *keys, "depends")

    def _check_target(self) -> None:
        visit, target = self.visit, self.dag.target
        if not target:
            return
        resolvable.check(visit, target, visit.scope, f"{self.label}.targets", "dag", "target")
        for name in target.split(" "):
            if name not in self.index and not tags.has_tag(target):
                hint = visit.walk.nearest(name, self.index)
                visit.error(f"{self.label}.targets: target '{name}' is not defined", "dag", "target", hint=hint)

    def _mentions(self) -> Iterator[tuple[str, str]]:
        for name, text in self.tagged.items():
            for other in _MENTION.findall(text):
                if other in self.index:
                    yield name, other

    def _check_task(self, name: str, above: set[tuple[str, str]]) -> None:
        visit, index = self.visit, self.index[name]
        task, keys, label = self.dag.tasks[index], ("dag", "tasks", index), f"{self.label}.tasks.{name}"
        if task.hooks is not None:
            visit.scope.add(f"tasks.{name}.status")
        scope = scopes.Scope(visit.scope)
        for other in _MENTION.findall(self.tagged.get(name, "")):
            if (name, other) in above:
                scope.add(f"tasks.{other}.status")
        if fault := loops.declare(scope, task):
            visit.error(f"{label} {fault}", *keys)
        if name in self.tagged:
            mentioned = msgspec.structs.replace(task, inline=None) if task.inline is not None else task
            resolvable.check(visit, mentioned, scope, label, *keys)
        nodes.check_when(visit, task, label, *keys)
        given = task.arguments or arguments.NONE
        place = visit.at(*keys, "arguments")
        wrong = arguments.check(visit.walk.report, place, f"{label}.arguments.", given, callers=visit.callers, may_lack_values=False)
        if name in self.tagged:
            self._check_ancestors(task, given, above, label, *keys)
        nodes.check_supplied(visit, self.found[name], given, wrong, label, *keys)
        if task.hooks or task.on_exit:
            for hook, text in hooks.faults(task.hooks, label):  # Argo finds these at run time only
                visit.warn(text, *keys, "hooks", hook)
            hooks.warn(visit.walk, visit.resource, visit.at(*keys), task.hooks, task.on_exit)

    def _check_ancestors(
        self, task: templates.DAGTask, given: templates.Arguments, above: set[tuple[str, str]], label: str, *keys: str | int
    ) -> None:
        for kind, index, name, text in _values(given):
            match = _MENTION.match(text) if text.startswith("{{tasks.") else None
            if match and match[1] in self.index and (task.name, match[1]) not in above:
                hint = f"say that {task.name} depends on {match[1]}"
                message = f"{label} missing dependency '{match[1]}' for {kind} '{name}'"
                self.visit.error(message, *keys, "arguments", f"{kind}s", index, hint=hint)


def _values(given: templates.Arguments) -> Iterator[tuple[str, int, str, str]]:
    for index, parameter in enumerate(given.parameters):
        yield "parameter", index, parameter.name, parameter.value or ""
    for index, artifact in enumerate(given.artifacts):
        yield "artifact", index, artifact.name, artifact.from_
