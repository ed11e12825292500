"""Arguments: well formed where they are given, and enough for what is called (semantics 2.4, 2.24)."""

from collections.abc import Iterator

from tiphys.manifests.rules import locations, names, tags
from tiphys.manifests.rules.problems import Path, Report
from tiphys.spec import parameters, templates

NONE = templates.Arguments()


def check(report: Report, path: Path, prefix: str, arguments: templates.Arguments, *, callers: str = "", may_lack_values: bool) -> set[str]:
    """Report what is wrong with `arguments` at `path`, behind `prefix` ("spec.arguments."); gives the names reported."""
    wrong: set[str] = set()
    for kind, listed in (("parameters", arguments.parameters), ("artifacts", arguments.artifacts)):
        if not listed:
            continue
        for index, text in names.faults((tags.filled(argument.name) for argument in listed), names.parameter_fault):
            report.error((*path, kind, index), f"{callers}{prefix}{kind}{text}")
    for index, parameter in enumerate(arguments.parameters):
        text, stop = _parameter_fault(prefix, parameter, may_lack_values=may_lack_values)
        if text:
            wrong.add(parameter.name)
            report.error((*path, "parameters", index), callers + text)
        if stop:  # as in Argo, where nothing more of these arguments is judged
            return wrong
    for index, artifact in enumerate(arguments.artifacts):
        name = f"{prefix}{artifact.name}"
        if not artifact.from_ and not locations.has_location_or_key(artifact):
            wrong.add(artifact.name)
            report.error((*path, "artifacts", index), f"{callers}{name}.from, artifact location, or key is required")
        elif artifact.from_ and artifact.from_expression:
            report.error((*path, "artifacts", index), f"{callers}{name} shouldn't have both `from` and `fromExpression` in Artifact")
    return wrong


def _parameter_fault(prefix: str, parameter: parameters.Parameter, *, may_lack_values: bool) -> tuple[str, bool]:
    name = f"{prefix}{parameter.name}"
    source, value = parameter.value_from, parameter.value
    if source is None and value is None and not may_lack_values:
        return f"{name}.value or {name}.valueFrom is required", False
    if source is not None:
        right = source.config_map_key_ref is not None or source.event or source.supplied is not None
        if not right or source.path or source.json_path or source.parameter or source.expression:
            return f"{name}.valueFrom only allows: default, configMapKeyRef and supplied", False
    if parameter.enum is not None:
        if not parameter.enum:
            return f"{name}.enum should contain at least one value", False
        if value is None:
            return ("", True) if may_lack_values else (f"{name}.value is required", False)
        if value not in parameter.enum and not tags.has_tag(value):
            return f"{name}.value should be present in {name}.enum list", False
    return "", False


def missing(template: templates.Template, arguments: templates.Arguments) -> Iterator[tuple[str, str]]:
    """The name of each input that `arguments` leave without a value, and Argo's message for it."""
    inputs = template.inputs
    if inputs is None:
        return
    given = {parameter.name: parameter for parameter in arguments.parameters}
    for parameter in inputs.parameters:
        argument = given.get(parameter.name)
        value = parameter.value if parameter.value is not None else parameter.default
        source = parameter.value_from
        if argument is not None:  # replaces the declaration whole, even where it has no value
            value, source = argument.value, argument.value_from if argument.value is None else None
        if value is None and (source is None or source.config_map_key_ref is None):
            yield parameter.name, f"inputs.parameters.{parameter.name} was not supplied"
    handed = {artifact.name for artifact in arguments.artifacts}
    for artifact in inputs.artifacts:
        if not artifact.optional and artifact.name not in handed and not locations.names_a_place(artifact):
            yield artifact.name, f"inputs.artifacts.{artifact.name} was not supplied"
