"""What a shell offers at the Tab key: the names that a daemon knows. A daemon that is away or slow offers nothing.

The standard library and click: whoever presses a key waits for the answer.
"""

import http.client
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from tiphys.cli import reaching
from tiphys.errors import TiphysError

if TYPE_CHECKING:
    from tiphys.cli.wiring import Wiring

PATIENCE_SECONDS = 2.0
MOST = 500
KINDS = {
    "workflowtemplate": "workflow-templates",
    "clusterworkflowtemplate": "cluster-workflow-templates",
    "cronworkflow": "cron-workflows",
    "wftmpl": "workflow-templates",
    "cwft": "cluster-workflow-templates",
    "cronwf": "cron-workflows",
}


def names(context: click.Context, kind: str, begun: str) -> list[str]:
    """The names of a kind that begin so."""
    latest = ["@latest"] if kind == "workflows" else []
    return [name for name in (*latest, *_asked(context, kind)) if name.startswith(begun)]


def sources(context: click.Context, begun: str) -> list[str]:
    """What `--from` may be: kinds, and what there is of one where it is clear which. A kind alone would get a space behind it."""
    word, slash, _ = begun.partition("/")
    kinds = [word] if slash else [kind for kind in KINDS if kind.startswith(begun)]
    if len(kinds) > 1:
        return [f"{kind}/" for kind in kinds]
    there = [f"{kind}/{name}" for kind in kinds for name in _asked(context, KINDS.get(kind, ""))]
    return [one for one in there if one.startswith(begun)]


def _asked(context: click.Context, kind: str) -> list[str]:
    typed = context.params
    try:
        wiring: Wiring = context.obj()
        way, namespace = _place(wiring, typed)
        found = _got(way, _path(kind, namespace)) if kind else {}
        return [str(_id(one, kind)) for one in found.get("items") or ()][:MOST]
    except (TiphysError, OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return []  # a key press is no place for complaints


def _id(one: Mapping[str, Any], kind: str) -> object:
    return one["metadata"]["uid" if kind == "archived-workflows" else "name"]


def _path(kind: str, namespace: str) -> str:
    if kind == "cluster-workflow-templates":
        return f"/api/v1/{kind}?fields=items.metadata.name"
    if kind == "archived-workflows":
        return f"/api/v1/{kind}?namespace={quote(namespace)}&listOptions.limit={MOST}"
    return f"/api/v1/{kind}/{quote(namespace)}?fields=items.metadata.name&listOptions.limit={MOST}"


def _place(wiring: "Wiring", typed: Mapping[str, Any]) -> tuple[reaching.Way, str]:
    """Where to ask, and of which namespace; the settings are read only where they must be."""
    fields = ("socket", "server", "token", "base", "secure", "skip_verify")
    way = reaching.named(reaching.Typed(**{name: typed[name] for name in fields if typed.get(name)}), wiring.environ)
    namespace = str(typed.get("namespace") or wiring.environ.get("ARGO_NAMESPACE", ""))
    if way is not None and namespace:
        return way, namespace
    loaded = wiring.load(typed.get("config")).settings
    if way is None:
        from tiphys.service import locations

        way = reaching.Socket(locations.client_socket_path(loaded.daemon, wiring.environ, wiring.home, root=wiring.root))
    return way, namespace or loaded.namespace


def _got(way: reaching.Way, path: str) -> Mapping[str, Any]:
    connection = way.connection(PATIENCE_SECONDS)
    try:
        connection.request("GET", way.base + path, headers=dict(way.headers))
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == http.HTTPStatus.OK else {}
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}
