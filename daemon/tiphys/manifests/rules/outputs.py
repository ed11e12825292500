"""Outputs: what each kind of template can give (semantics 2.16, 2.24)."""

from collections.abc import Iterator

from tiphys.manifests.rules import locations, names, resolvable, syntax, tags
from tiphys.manifests.rules.visits import KIND_NAMES, NOT_LEAF, Visit
from tiphys.spec import parameters, templates

BY_PATH = frozenset({"container", "container_set", "script"})
NO_OUTPUTS = templates.Outputs()


def check(visit: Visit) -> None:
    """Report what is wrong with the outputs of the template, whose scope is complete by now."""
    template = visit.template
    outputs = template.outputs or NO_OUTPUTS
    label = f"templates.{template.name}.outputs"
    for kind, listed in (("parameters", outputs.parameters), ("artifacts", outputs.artifacts)):
        visit.bad_names([tags.filled(output.name) for output in listed], f"{label}.{kind} ", "outputs", kind)
    if visit.kind in NOT_LEAF:  # a leaf's are judged with the rest of it
        resolvable.check(visit, outputs, visit.scope, label, "outputs")
    _check_artifacts(visit, outputs, label)
    for index, parameter in enumerate(outputs.parameters):
        for text in _parameter_faults(f"{label}.parameters.{parameter.name}", parameter, visit.kind):
            visit.error(text, "outputs", "parameters", index)


def _check_artifacts(visit: Visit, outputs: templates.Outputs, label: str) -> None:
    for index, artifact in enumerate(outputs.artifacts):
        keys = ("outputs", "artifacts", index)
        if visit.kind not in NOT_LEAF:
            if fault := locations.path_fault(artifact):
                visit.error(f"error in {label}.artifacts.{artifact.name}: {fault}", *keys, "path")
        elif artifact.path:
            visit.error(f"{label}.artifacts.{artifact.name}.path only valid in container/script templates", *keys, "path")
        if fault := _global_fault(artifact.global_name):
            visit.error(f"{label}.artifacts.{artifact.name}.globalName: {fault}", *keys, "globalName")
        if fault := syntax.bare_fault(artifact.from_expression):
            visit.error(f"{label}.artifacts.{artifact.name}.fromExpression: {fault}", *keys, "fromExpression")


def _global_fault(name: str) -> str:
    return names.parameter_fault(name) if name and not tags.has_tag(name) else ""


def _parameter_faults(label: str, parameter: parameters.Parameter, kind: str) -> Iterator[str]:
    source = parameter.value_from
    if source is not None and parameter.value is not None:
        yield f"{label} has both valueFrom and value specified, choose one"
        return
    if source is None:
        if parameter.value is None:
            yield f"{label} does not have valueFrom or value specified"
    else:
        yield from _source_faults(label, source, kind)
    if fault := _global_fault(parameter.global_name):
        yield f"{label}.globalName: {fault}"


def _source_faults(label: str, source: parameters.ValueFrom, kind: str) -> Iterator[str]:
    given = [text for text in (source.path, source.jq_filter, source.json_path, source.parameter, source.expression) if text]
    count = len(given) + (source.supplied is not None)
    if count == 0:
        yield "valueFrom type unspecified. choose one of: path, jqFilter, jsonPath, parameter, raw, expression"
    elif kind in NOT_LEAF and source.parameter and source.expression:
        yield f"{label} shouldn't have both `from` and `expression` specified in `ValueFrom` for {KIND_NAMES[kind]} templates"
    elif count > 1:
        yield "multiple valueFrom types specified. choose one of: path, jqFilter, jsonPath, parameter, raw"
    elif kind in BY_PATH and not source.path:
        yield f"{label}.path must be specified for {KIND_NAMES[kind]} templates"
    elif kind == "resource" and not source.jq_filter and not source.json_path:
        yield f"{label} .jqFilter or jsonPath must be specified for Resource templates"
    elif kind in NOT_LEAF and not source.parameter and not source.expression:
        yield f"{label}.parameter or expression must be specified for {KIND_NAMES[kind]} templates"
    elif fault := syntax.bare_fault(source.expression):
        yield f"{label}.valueFrom.expression: {fault}"
