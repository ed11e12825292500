"""Inputs: their names, artifact paths and locations, and what they make known inside the template (semantics 2.24)."""

from tiphys.manifests.rules import locations
from tiphys.manifests.rules.visits import NOT_LEAF, Visit
from tiphys.spec import templates

NO_INPUTS = templates.Inputs()


def check(visit: Visit) -> None:
    """Report what is wrong with the inputs."""
    inputs = visit.template.inputs or NO_INPUTS
    label = f"templates.{visit.template.name}.inputs"
    for kind, listed in (("parameters", inputs.parameters), ("artifacts", inputs.artifacts)):
        visit.bad_names([declared.name for declared in listed], f"{label}.{kind}", "inputs", kind)
    for index, artifact in enumerate(inputs.artifacts):
        keys, name = ("inputs", "artifacts", index), f"{label}.artifacts.{artifact.name}"
        if visit.kind not in NOT_LEAF:
            if fault := locations.path_fault(artifact):
                visit.error(f"error in {name}: {fault}", *keys, "path")
        elif artifact.path:
            visit.error(f"{name}.path only valid in container/script templates", *keys, "path")
        if artifact.from_:
            visit.error(f"{name}.from not valid in inputs", *keys, "from")
        for text in locations.faults(name, artifact):
            visit.error(text, *keys)


def declare(visit: Visit) -> None:
    """Make known what the template's body may mention of itself: inputs, its output paths, pod and retry variables."""
    template, scope = visit.template, visit.scope
    inputs = template.inputs or NO_INPUTS
    if inputs.parameters:
        scope.add("inputs.parameters", *(f"inputs.parameters.{parameter.name}" for parameter in inputs.parameters))
    for artifact in inputs.artifacts:
        scope.add(f"inputs.artifacts.{artifact.name}")
        if visit.kind not in NOT_LEAF:
            scope.add(f"inputs.artifacts.{artifact.name}.path")
    if visit.kind in templates.POD_KINDS:
        scope.add("pod.name")


def check_timeouts(visit: Visit) -> None:
    """`timeout` and `pendingTimeout`: leaf templates only, and a timeout has a unit."""
    template = visit.template
    for field, value in (("timeout", template.timeout), ("pendingTimeout", template.pending_timeout)):
        if value and visit.kind in NOT_LEAF:
            visit.error(f"{visit.kind_name} template doesn't support {field} field", field)
        elif field == "timeout" and _whole(value):
            visit.error(f"{template.name} has invalid duration format in timeout", field, hint=f"say the unit: {value}s")


def _whole(text: str) -> bool:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdigit()
