"""Which rows of a tree are shown: `--status` and `--node-field-selector`. Pure."""

import re
from collections.abc import Callable

from tiphys.cli.errors import BadInput
from tiphys.spec.status import NodeStatus, Phase

REQUIREMENT = re.compile(r"\s*(?P<name>[^=!,\s]+)\s*(?P<sign>==|=|!=)\s*(?P<value>[^,]*?)\s*")
PHASES = frozenset(phase.value for phase in Phase if phase.value)
Choice = Callable[[NodeStatus], bool]


def rows(statuses: str, selector: str) -> Choice | None:
    """Says of a node whether its row is shown; None: all are. Raises BadInput."""
    phases = frozenset(word.strip() for word in statuses.split(",") if word.strip())
    if unknown := phases - PHASES:
        raise BadInput(f"there is no status {min(unknown)!r}; there are {', '.join(sorted(PHASES))}")
    wanted = [_requirement(part) for part in selector.split(",") if part.strip()]
    if not phases and not wanted:
        return None
    return lambda node: (not phases or node.phase in phases) and all((_field(node, name) == value) is same for name, same, value in wanted)


def _requirement(text: str) -> tuple[str, bool, str]:
    found = REQUIREMENT.fullmatch(text)
    if found is None:
        raise BadInput(f"--node-field-selector holds {text!r}; it is NAME=VALUE or NAME!=VALUE, with commas between")
    return found["name"], found["sign"] != "!=", found["value"]


def _field(node: NodeStatus, name: str) -> str:
    """A field by the name that Argo's selectors have for it. Raises BadInput."""
    match name.split("."):
        case ["displayName"]:
            return node.display_name
        case ["name"]:
            return node.name
        case ["id"]:
            return node.id
        case ["phase"]:
            return str(node.phase)
        case ["templateName"]:
            return node.template_name
        case ["templateRef", "name"]:
            return node.template_ref.name if node.template_ref is not None else ""
        case ["templateRef", "template"]:
            return node.template_ref.template if node.template_ref is not None else ""
        case ["inputs", "parameters", *middle, "value"] if middle:
            wanted = ".".join(middle)
            return next((one.value or "" for one in (node.inputs.parameters if node.inputs else ()) if one.name == wanted), "")
    raise BadInput(
        f"unknown field {name!r} in --node-field-selector; there are displayName, name, id, phase, templateName, templateRef.name, "
        "templateRef.template, inputs.parameters.NAME.value"
    )
