"""Parameters: named texts that go into and come out of templates."""

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
