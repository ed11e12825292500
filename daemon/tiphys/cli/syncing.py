"""`tiphys sync`: the limits of semaphores, keys of ConfigMaps or (Argo's type database) kept by the daemon itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.cli.client import quoted
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote

DATABASE = "database"


@dataclass(frozen=True, kw_only=True)
class Which:
    """A limit: its key, and where it is."""

    key: str
    kind: str = "configmap"
    config_map: str = ""

    @property
    def query(self) -> dict[str, str]:
        """As the API asks for it. Raises BadInput."""
        if self.kind != DATABASE and not self.config_map:
            raise BadInput("--cm-name is needed: the ConfigMap that holds the limit; or --type database")
        return {"type": self.kind.upper(), **({"cmName": self.config_map} if self.config_map else {})}


def keep(remote: Remote, verb: str, which: Which, limit: int) -> Exit:
    """Create or update a limit, and print it."""
    body = {"key": which.key, "limit": limit, "namespace": remote.namespace, **which.query}
    if verb == "create":
        found = remote.client.post(quoted("sync", remote.namespace), msgspec.json.encode(body))
    else:
        found = remote.client.put(quoted("sync", remote.namespace, which.key), body)
    return _show(remote, msgspec.json.decode(found))


def got(remote: Remote, which: Which) -> Exit:
    """Print a limit."""
    return _show(remote, remote.client.value(quoted("sync", remote.namespace, which.key), which.query))


def delete(remote: Remote, which: Which) -> Exit:
    """Take a limit away."""
    remote.client.delete(quoted("sync", remote.namespace, which.key), which.query)
    remote.print(f"Sync limit '{which.key}' deleted")
    return Exit.SUCCEEDED


def _show(remote: Remote, found: Mapping[str, Any]) -> Exit:
    config_map = [f"ConfigMap: {found['cmName']}"] if found.get("cmName") else []
    remote.print(f"Key: {found['key']}", f"Type: {str(found['type']).lower()}", *config_map)
    remote.print(f"Namespace: {found['namespace']}", f"Limit: {found['limit']}")
    return Exit.SUCCEEDED
