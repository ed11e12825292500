"""The result on standard output, as `-o` asks for it: Argo's JSON or YAML of the Workflow, its name, or the wide tree. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tiphys.cli import choosing, header, tree
from tiphys.spec.workflows import Workflow

FORMS = ("json", "yaml", "name", "wide")
INDENT = 4


def result(workflows: Sequence[Workflow], form: str, now: datetime, *, utf8: bool = True) -> str:
    """The text of the workflows; JSON and YAML of several are a list."""
    match form:
        case "json":
            value = workflows[0] if len(workflows) == 1 else list(workflows)
            return msgspec.json.format(msgspec.json.encode(value), indent=INDENT).decode()
        case "yaml":
            return yaml_text(msgspec.to_builtins(workflows[0] if len(workflows) == 1 else list(workflows)))
        case "name":
            return "\n".join(workflow.metadata.name for workflow in workflows)
        case _:
            return "\n\n".join("\n".join(line.text for line in whole(workflow, now, form=form, utf8=utf8)) for workflow in workflows)


def whole(workflow: Workflow, now: datetime, *, form: str = "", utf8: bool = True, keep: choosing.Choice | None = None) -> list[tree.Line]:
    """Header, an empty line and the tree, as Argo's `get` prints them; of the form `short` the tree alone. `keep`: which nodes' rows."""
    head = [] if form == "short" else [tree.Line(text=text) for text in header.lines(workflow, now, utf8=utf8)]
    drawn = tree.rows(workflow.metadata.name, (workflow.status.nodes if workflow.status else None) or {})
    if keep is not None:
        drawn = [row for row in drawn if row.node is None or keep(row.node)]
    if not drawn:
        return head
    return [*head, *([tree.Line(text="")] if head else []), *tree.lines(workflow.metadata.name, drawn, now, form=form, utf8=utf8)]


def yaml_text(value: object) -> str:
    """Any value as YAML the way people write it; no newline at the end."""
    import yaml  # a run that prints no YAML does without

    class Dumper(yaml.CSafeDumper):
        """Texts of several lines as blocks, the way people write them."""

    def text(dumper: yaml.CSafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=True, default_flow_style=False, width=4096).rstrip("\n")
