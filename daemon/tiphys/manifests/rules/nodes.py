"""What steps and tasks have in common: the rules of a call (semantics 2.24)."""

from tiphys.manifests.rules import arguments, syntax
from tiphys.manifests.rules.resolution import Found
from tiphys.manifests.rules.visits import Visit
from tiphys.spec import templates


def check_not_leaf(visit: Visit) -> None:
    """Steps and dag templates have no pod whose deadline could be set."""
    template = visit.template
    if template.active_deadline_seconds is not None:
        visit.error(f"templates.{template.name}.activeDeadlineSeconds is only valid for leaf templates", "activeDeadlineSeconds")


def check_supplied(visit: Visit, found: Found, given: templates.Arguments, already: set[str], label: str, *keys: str | int) -> None:
    """Report the inputs of the called template that `given` leaves open, but for those reported `already`."""
    if found.template is None:
        return
    for name, text in arguments.missing(found.template, given):
        if name not in already:
            hint = f'pass it in this step\'s arguments, or give it a default in "{found.template.name}"'
            where = ("arguments",) if given is not arguments.NONE else ()
            visit.error(f"{label} templates.{found.template.name} {text}", *keys, *where, hint=hint)


def check_when(visit: Visit, node: templates.WorkflowStep | templates.DAGTask, label: str, *keys: str | int) -> None:
    """Warn of a `when` that no substitution will touch and that cannot be evaluated: the node will end in Error, as in Argo."""
    if fault := syntax.when_fault(node.when):
        visit.warn(f"{label} {fault}", *keys, "when")
