"""The outputs of steps and dag templates (semantics 2.16.2) and what nodes export to the whole workflow."""

from msgspec import structs

from tiphys.expressions import environment, expr, gojson, tags
from tiphys.expressions.errors import ExpressionError
from tiphys.expressions.scope import ABSENT, MISSING, Scope
from tiphys.scheduler import binding, resolving
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.plans import Plan
from tiphys.scheduler.records import Node
from tiphys.spec.artifacts import Artifact
from tiphys.spec.parameters import Parameter
from tiphys.spec.templates import Outputs


def outputs(draft: Draft, node: Node, plan: Plan, scope: Scope) -> Outputs | None:
    """The declared outputs from what the children gave; None where none are declared. Raises a TiphysError with Argo's text."""
    declared = plan.template.outputs
    if declared is None:
        return None
    parameters = tuple(_parameter(draft, node, parameter, scope) for parameter in declared.parameters)
    artifacts = tuple(found for a in declared.artifacts if (found := _artifact(draft, node, a, scope)) is not None)
    return Outputs(parameters=parameters, artifacts=artifacts)


def _parameter(draft: Draft, node: Node, parameter: Parameter, scope: Scope) -> Parameter:
    source = parameter.value_from
    if source is None:
        return parameter
    if source.expression:
        value = _expression(draft, node, source.expression, scope, lenient=source.default is not None)
    else:
        value = _reference(parameter.name, source.parameter, source.default, scope)
    if value is None:
        value = source.default
    if value is None:
        raise resolving.ResolveError(f"unable to resolve outputs from scope: {parameter.name}: {source.expression or source.parameter}")
    return structs.replace(parameter, value=value, value_from=None)


def _expression(draft: Draft, node: Node, text: str, scope: Scope, *, lenient: bool) -> str | None:
    """The value, None for none; `lenient`: also where it cannot be evaluated, because then there is a default (as in Argo)."""
    try:
        program = expr.compile(text)
        value = program.run(environment.nested(program, scope), draft.chance(node.name))
    except ExpressionError:
        if lenient:
            return None
        raise
    if value is None:
        return None
    return value if isinstance(value, str) else gojson.go_format(value)


def _reference(name: str, reference: str, default: str | None, scope: Scope) -> str | None:
    tag = tags.sole_tag(reference)
    if tag is None:
        if "{{" in reference:  # one tag alone is a reference
            return None
        value = scope.get(reference)  # the braces may be left out
        return value if isinstance(value, str) else reference or None
    value = scope.get(tag)
    if value is ABSENT and default is None:
        raise resolving.ResolveError(f'output parameter "{name}": {reference} is an absent optional (skipped/omitted node with no default)')
    return None if value is ABSENT or value is MISSING else str(value)


def _artifact(draft: Draft, node: Node, artifact: Artifact, scope: Scope) -> Artifact | None:
    try:
        found = resolving.artifact(artifact, scope, draft.chance(node.name))
    except resolving.ResolveError as error:
        raise resolving.ResolveError(f"unable to resolve outputs from scope: {error}") from error
    if found is None:
        return None
    if found is artifact or not binding.located(found):
        if artifact.optional:
            return None
        name = tags.sole_tag(artifact.from_) or artifact.from_expression or artifact.name
        raise resolving.ResolveError(f'unable to resolve outputs from scope: Unable to resolve: "{name}"')
    return found


def export(draft: Draft, node: Node) -> None:
    """Copy outputs with a globalName to the workflow's outputs; the last writer wins (semantics 2.16.1)."""
    if node.outputs is None or not (node.outputs.parameters or node.outputs.artifacts):
        return
    parameters = {p.global_name: Parameter(name=p.global_name, value=p.value) for p in node.outputs.parameters if p.global_name}
    artifacts = {
        a.global_name: structs.replace(a, name=a.global_name, global_name="", path="") for a in node.outputs.artifacts if a.global_name
    }
    if not parameters and not artifacts:
        return
    old = draft.run.outputs
    given = {p.name: p for p in old.parameters} | {name: p for name, p in parameters.items() if p.value is not None}
    placed = {a.name: a for a in old.artifacts} | artifacts
    draft.change_run(outputs=Outputs(parameters=tuple(given.values()), artifacts=tuple(placed.values())))
