"""The OpenAPI document of what is served, made of the table of routes and of the structs of manifests."""

import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

REFERENCE = "#/components/schemas/{name}"
IN_PATH = re.compile(r"{(\w+)(?::[^}]*)?}")
ERROR = "Error"
BEARER = "BearerToken"
STREAM = {"type": "object", "properties": {"result": {"type": "object"}, "error": {"type": "object"}}}
ERROR_SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "integer", "description": "gRPC's code"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}
CONTENT = {"bytes": "application/octet-stream", "text": "text/plain"}


class Described(Protocol):
    """What is to be known of a route."""

    @property
    def method(self) -> str:
        """HTTP's."""
        ...

    @property
    def path(self) -> str:
        """With its parameters in braces."""
        ...

    @property
    def handler(self) -> Any:
        """Whose docstring says what it is for."""
        ...

    @property
    def query(self) -> tuple[str, ...]:
        """Parameters it looks at."""
        ...

    @property
    def body(self) -> type | None:
        """The struct of its body."""
        ...

    @property
    def gives(self) -> type | str:
        """The struct of its answer."""
        ...

    @property
    def summary(self) -> str:
        """What it is for."""
        ...


def document(routes: Iterable[Described], version: str) -> dict[str, Any]:
    """The document. A path is described once, without the slash that Argo's own clients may put behind it."""
    known = [route for route in routes if not route.path.endswith("/")]
    structs = [struct for route in known for struct in (route.body, route.gives) if isinstance(struct, type) and struct is not object]
    unique = list(dict.fromkeys(structs))
    schemas, components = msgspec.json.schema_components(unique, ref_template=REFERENCE)
    of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in known:
        plain = IN_PATH.sub(lambda found: f"{{{found[1]}}}", route.path)
        paths.setdefault(plain, {})[route.method.lower()] = _operation(route, of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiphys", "version": version, "description": "Argo Server's API, on one machine."},
        "paths": paths,
        "components": {"schemas": {**components, ERROR: ERROR_SCHEMA}, "securitySchemes": {BEARER: {"type": "http", "scheme": "bearer"}}},
        "security": [{BEARER: []}, {}],
    }


def _operation(route: Described, schemas: dict[type, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": route.summary or (route.handler.__doc__ or "").strip().split("\n", maxsplit=1)[0],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in IN_PATH.findall(route.path)),
            *({"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query),
        ],
        "responses": {
            "200": {"description": "done", "content": _content(route, schemas)},
            "default": {"description": "why not", "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name=ERROR)}}}},
        },
    }
    if route.body is not None:
        schema = schemas.get(route.body, {})
        made["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return made


def _content(route: Described, schemas: dict[type, Any]) -> dict[str, Any]:
    match route.gives:
        case "stream":
            return {"application/json": {"schema": STREAM}, "text/event-stream": {"schema": {"type": "string"}}}
        case "bytes" | "text" as kind:
            return {CONTENT[kind]: {"schema": {"type": "string"}}}
        case str():
            return {"application/json": {"schema": {"type": "object"}}}
        case struct:
            return {"application/json": {"schema": schemas[struct]}}
