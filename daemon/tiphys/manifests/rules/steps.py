"""Steps templates: names, loops, calls and what each step may mention (semantics 2.7, 2.24)."""

import msgspec

from tiphys.manifests.rules import arguments, hooks, loops, names, nodes, resolution, resolvable, tags, visibility
from tiphys.manifests.rules.visits import Steps, Visit
from tiphys.spec import templates


def check(visit: Visit) -> Steps:
    """Report what is wrong with the steps, in the order Argo looks at them; gives the visits of the templates they call."""
    template = visit.template
    nodes.check_not_leaf(visit)
    seen: set[str] = set()
    for number, group in enumerate(template.steps or ()):
        for index, step in enumerate(group):
            keys = ("steps", number, index)
            label = f"templates.{template.name}.steps[{number}]"
            if fault := _name_fault(step.name, seen):
                visit.error(f"{label}.name {fault}", *keys, *(("name",) if step.name else ()))
            seen.add(step.name)
            yield from _step(visit, step, f"{label}.{step.name}", *keys)


def _name_fault(name: str, seen: set[str]) -> str:
    if not name:
        return "is required"
    if name in seen:
        return f"'{name}' is not unique"
    wrong = names.field_fault(tags.filled(name))
    return f"'{name}' is invalid: {wrong}" if wrong else ""


def _step(visit: Visit, step: templates.WorkflowStep, label: str, *keys: str | int) -> Steps:
    walk, scope, prefix = visit.walk, visit.scope, f"steps.{step.name}"
    scope.add(f"{prefix}.status")
    if fault := loops.declare(scope, step):
        visit.error(f"{label} {fault}", *keys)
    given = step.arguments or arguments.NONE
    place = visit.at(*keys, "arguments")
    wrong = arguments.check(walk.report, place, f"{label}.arguments.", given, callers=visit.callers, may_lack_values=False)
    found = resolution.called(visit, step, label, scope, *keys)
    if found.visit is not None:
        yield found.visit
    if hooks.has_exit(step):
        visibility.add(scope, prefix, found.template, looped=False, known=found.known)
    for name, text in hooks.faults(step.hooks, label):
        visit.error(text, *keys, "hooks", name)
    mentioned = msgspec.structs.replace(step, inline=None) if step.inline is not None else step
    resolvable.check(visit, mentioned, scope, f"templates.{visit.template.name}.steps", *keys)
    nodes.check_when(visit, step, label, *keys)
    visibility.add(scope, prefix, found.template, looped=loops.is_loop(step), known=found.known)
    nodes.check_supplied(visit, found, given, wrong, label, *keys)
    hooks.warn(walk, visit.resource, visit.at(*keys), step.hooks, step.on_exit)
