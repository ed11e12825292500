"""Pod-level resources and claims, and what becomes of finished pods (semantics 2.23, 2.24)."""

from collections.abc import Iterator

from tiphys.manifests.rules.visits import Visit
from tiphys.spec import selectors, templates, workflows
from tiphys.spec.objects import JSON

GC_STRATEGIES = frozenset({"", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"})
_VALUED = frozenset({"In", "NotIn"})
_BARE = frozenset({"Exists", "DoesNotExist"})


def resource_faults(label: str, resources: JSON) -> Iterator[str]:
    """What is wrong with a `podResources`: only cpu, memory and huge pages exist for a whole pod."""
    if not isinstance(resources, dict):
        return
    for field in ("requests", "limits"):
        given = resources.get(field)
        for name in given if isinstance(given, dict) else ():
            if name not in ("cpu", "memory") and not name.startswith("hugepages-"):
                yield f'{label}: "{name}" is not a valid pod-level resource'
    if resources.get("claims"):
        yield f"{label}: claims are not supported at pod level"


def check(visit: Visit) -> None:
    """Report pod-level resources and claims where there is no pod, or that are wrong."""
    template = visit.template
    label = f"templates.{template.name}"
    for field, value in (("podResources", template.pod_resources), ("resourceClaims", template.resource_claims)):
        if value and visit.kind and visit.kind not in templates.POD_KINDS | {"suspend"}:
            visit.error(f"{label}.{field} is not supported for {visit.kind_name} templates", field)
    for text in resource_faults(f"{label}.podResources", template.pod_resources):
        visit.error(text, "podResources")


def gc_faults(gc: workflows.PodGC | None) -> Iterator[tuple[str, str]]:
    """The field of a `podGC` that is wrong, and why."""
    if gc is None:
        return
    if gc.strategy not in GC_STRATEGIES:
        yield "strategy", f"podGC.strategy unknown strategy '{gc.strategy}'"
    for text in _selector_faults(gc.label_selector):
        yield "labelSelector", f"podGC.labelSelector invalid: {text}"


def _selector_faults(selector: JSON) -> Iterator[str]:
    if not isinstance(selector, dict):
        return
    labels = selector.get("matchLabels")
    for key, value in labels.items() if isinstance(labels, dict) else ():
        yield from _label_faults(str(key), value)
    expressions = selector.get("matchExpressions")
    for wanted in expressions if isinstance(expressions, list | tuple) else ():
        if not isinstance(wanted, dict):
            continue
        given = wanted.get("values")
        yield from _label_faults(str(wanted.get("key", "")), *(given if isinstance(given, list | tuple) else ()))
        operator, values = str(wanted.get("operator", "")), wanted.get("values")
        if operator in _VALUED and not values:
            yield "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        elif operator in _BARE and values:
            yield "values: Invalid value: values set must be empty for exists and does not exist"
        elif operator not in _VALUED | _BARE:
            yield f'"{operator}" is not a valid label selector operator'


def _label_faults(key: str, *values: JSON) -> Iterator[str]:
    """What Kubernetes says of a label's name and values that cannot be."""
    if not selectors.is_key(key):
        yield f'key: Invalid value: "{key}": a label\'s name is {selectors.NAME_RULE}'
    for value in values:
        if isinstance(value, str) and "{{" not in value and not selectors.is_value(value):
            yield f'values[0][{key}]: Invalid value: "{value}": a label\'s value is {selectors.VALUE_RULE}'
