"""Parameters: named texts that go into and come out of templates."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from tiphys.spec.objects import JSON, AnyString, Object


class KeySelector(Object):
    """One key of a Secret or ConfigMap."""

    name: str = ""
    key: str = ""
    optional: bool | None = None


class ValueFrom(Object):
    """Where a parameter's value comes from; exactly one source, `default` beside it."""

    path: str = ""
    json_path: str = ""
    jq_filter: str = ""
    event: str = ""
    parameter: str = ""
    expression: str = ""
    supplied: dict[str, JSON] | None = None
    config_map_key_ref: KeySelector | None = None
    default: AnyString | None = None


class Parameter(Object):
    """A parameter of arguments, inputs or outputs. `value` and `default` are None where the manifest leaves them out."""

    name: str = ""
    default: AnyString | None = None
    value: AnyString | None = None
    value_from: ValueFrom | None = None
    global_name: str = ""
    enum: tuple[AnyString, ...] | None = None
    description: AnyString | None = None


def override(parameters: Sequence[Parameter], values: Mapping[str, str]) -> tuple[Parameter, ...]:
    """The given values first, unknown names included, then the parameters that they leave alone (Argo's order).

    A replaced parameter keeps its description and the enum that its value is held to.
    """
    own = {parameter.name: parameter for parameter in parameters}
    return (
        *(
            structs.replace(own.get(name, Parameter(name=name)), value=value, default=None, value_from=None)
            for name, value in values.items()
        ),
        *(parameter for parameter in parameters if parameter.name not in values),
    )
