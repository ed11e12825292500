"""Arguments become inputs (semantics 2.4)."""

from collections.abc import Callable

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import tags
from tiphys.expressions.asides import has_tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler.globals import parameters_json
from tiphys.spec.artifacts import Artifact
from tiphys.spec.parameters import Parameter, ValueFrom
from tiphys.spec.templates import Arguments, Inputs, Outputs, Template
from tiphys.spec.workflows import ConfigMap

LOCATIONS = ("s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin")

PARAMETER_LABEL = "workflows.argoproj.io/configmap-type: Parameter"

FindConfigMap = Callable[[str], ConfigMap | None]
"""A ConfigMap of the run's namespace by its name."""


class BindingError(TiphysError):
    """A template cannot be called like this; the text is Argo's."""


def located(artifact: Artifact) -> bool:
    """Whether the artifact says where its bytes are."""
    return any(getattr(artifact, name) is not None for name in LOCATIONS)


def placed(artifact: Artifact, at: Artifact) -> Artifact:
    """`artifact` with the location of `at`."""
    return structs.replace(artifact, **{name: getattr(at, name) for name in LOCATIONS}, from_="", from_expression="")


def bind(
    template: Template,
    arguments: Arguments | None,
    absent: tuple[str, ...],
    outer: Scope,
    config_map: FindConfigMap,
    chance: Chance,
    *,
    passed: bool = True,
) -> Inputs | None:
    """The template's inputs with the caller's arguments in them; `outer` is the scope of workflow.* and the node's own names.

    `passed`: a step or task passes the arguments; else they are the workflow's own, and an input that names a ConfigMap's key reads it
    even where a parameter of the workflow happens to have its name.

    Raises BindingError with Argo's text where a required input is missing.
    """
    declared = template.inputs
    if declared is None:
        return None
    reads = frozenset[str]() if passed else frozenset(p.name for p in declared.parameters if _config_mapped(p))
    given = {} if arguments is None else {p.name: p for p in arguments.parameters if p.name not in reads or p.value is None}
    parameters = tuple(_parameter(p, given.get(p.name), p.name in absent, outer, config_map, chance) for p in declared.parameters)
    if any(has_tags(p.value or "") for p in parameters):
        own = ChainScope(FlatScope({f"inputs.parameters.{p.name}": p.value or "" for p in parameters}), outer)
        parameters = tuple(
            structs.replace(p, value=tags.render_plain(p.value, own, Unresolved.KEEP, chance)) if p.value and has_tags(p.value) else p
            for p in parameters
        )
    supplied = {} if arguments is None else {a.name: a for a in arguments.artifacts}
    artifacts = tuple(_artifact(a, supplied.get(a.name)) for a in declared.artifacts)
    if any(located(artifact) for artifact in artifacts):
        scope = ChainScope(FlatScope({f"inputs.parameters.{p.name}": p.value or "" for p in parameters}), outer)
        artifacts = tuple(_rendered(artifact, scope, chance) for artifact in artifacts)
    return Inputs(parameters=parameters, artifacts=artifacts)


def _config_mapped(parameter: Parameter) -> bool:
    return parameter.value_from is not None and parameter.value_from.config_map_key_ref is not None


def _parameter(
    declared: Parameter, given: Parameter | None, absent: bool, outer: Scope, config_map: FindConfigMap, chance: Chance
) -> Parameter:
    value = declared.value if declared.value is not None else declared.default
    source = declared.value_from
    if given is not None and not absent:
        value = given.value
        source = given.value_from if given.value is None else None
    if source is not None and (value is None or source.config_map_key_ref is not None):
        value = _from(declared.name, source, outer, config_map, chance)
    if value is None:
        if absent:
            raise BindingError(
                f"inputs.parameters.{declared.name}: argument references an absent optional (skipped/omitted node output with no default)"
            )
        raise BindingError(f"inputs.parameters.{declared.name} was not supplied")
    if has_tags(value):
        value = tags.render_plain(value, outer, Unresolved.KEEP, chance)
    return structs.replace(declared, value=value, value_from=None)


def _from(name: str, source: ValueFrom, outer: Scope, config_map: FindConfigMap, chance: Chance) -> str | None:
    reference = source.config_map_key_ref
    if reference is None:
        return source.default
    wanted = tags.render_plain(reference.name, outer, Unresolved.KEEP, chance)
    key = tags.render_plain(reference.key, outer, Unresolved.KEEP, chance)
    found = config_map(wanted)
    if found is not None and found.data is not None and key in found.data:
        return found.data[key]
    if source.default is not None:
        return source.default
    raise BindingError(f"unable to retrieve inputs.parameters.{name} from ConfigMap: {lacking(found, wanted, key)}")


def lacking(found: ConfigMap | None, name: str, key: str) -> str:
    """Argo's words for a key that is not there, or for a ConfigMap that is not."""
    if found is not None:
        return f"ConfigMap '{name}' does not have the key '{key}'"
    return f"ConfigMap '{name}' does not exist. Please make sure it has the label {PARAMETER_LABEL} to be detectable by the controller"


def _artifact(declared: Artifact, given: Artifact | None) -> Artifact:
    if given is None:
        if located(declared) or declared.optional:
            return declared
        raise BindingError(f"inputs.artifacts.{declared.name} was not supplied")
    bound = structs.replace(
        given, name=declared.name, path=declared.path, mode=declared.mode, recurse_mode=declared.recurse_mode or given.recurse_mode
    )
    if not located(given):
        if located(declared):
            return placed(bound, declared)
        if not (given.optional or declared.optional):
            raise BindingError(f"inputs.artifacts.{declared.name} missing location information")
    return bound


def _rendered(artifact: Artifact, scope: Scope, chance: Chance) -> Artifact:
    text = msgspec.json.encode(artifact).decode()
    if "{{" not in text:
        return artifact
    return msgspec.json.decode(tags.compile(text).render(scope, Unresolved.KEEP, chance), type=Artifact)


def body_scope(template: Template, inputs: Inputs | None) -> dict[str, object]:
    """The inputs.* and outputs.* variables of a template's body (argo-variables 2)."""
    values: dict[str, object] = {}
    if inputs is not None:
        for parameter in inputs.parameters:
            values[f"inputs.parameters.{parameter.name}"] = parameter.value or ""
        if inputs.parameters:
            values["inputs.parameters"] = parameters_json(inputs.parameters)
        for artifact in inputs.artifacts:
            if artifact.path:
                values[f"inputs.artifacts.{artifact.name}.path"] = artifact.path
    outputs: Outputs | None = template.outputs
    if outputs is not None:
        for artifact in outputs.artifacts:
            if artifact.path:
                values[f"outputs.artifacts.{artifact.name}.path"] = artifact.path
        for parameter in outputs.parameters:
            if parameter.value_from is not None and parameter.value_from.path:
                values[f"outputs.parameters.{parameter.name}.path"] = parameter.value_from.path
    return values
