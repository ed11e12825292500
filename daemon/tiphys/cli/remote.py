"""What every command that asks a daemon shares: where the daemon is, which namespace is meant, and how a no is told."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tiphys.cli import reaching, tree, views
from tiphys.cli.client import Client, Said, Unreachable, quoted
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.wiring import Wiring
from tiphys.configuration import Configuration
from tiphys.errors import InvalidSettings
from tiphys.service import locations
from tiphys.spec.workflows import Workflow

LATEST = "@latest"
EVERYWHERE = "-"


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The options of every such command."""

    config: Path | None = None
    way: reaching.Typed = field(default_factory=reaching.Typed)
    namespace: str = ""
    colours: bool = True
    utf8: bool = True


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A daemon to ask, and where to print."""

    client: Client
    wiring: Wiring
    namespace: str
    loaded: Configuration
    out: views.Printer
    errors: views.Printer
    utf8: bool

    @property
    def now(self) -> datetime:
        """The present, in the terminal's time zone."""
        return datetime.now(UTC).astimezone()

    def path(self, *names: str, kind: str = "workflows", namespace: str = "") -> str:
        """The path of something in the namespace."""
        return quoted(kind, namespace or self.namespace, *names)

    def name(self, name: str) -> str:
        """A workflow's name as it is; `@latest` is the newest one's. Raises BadInput."""
        if name != LATEST:
            return name
        found = self.client.value(self.path(), {"listOptions.limit": "1", "fields": "items.metadata.name"})
        if not found.get("items"):
            raise BadInput(f"there is no workflow in the namespace {self.namespace}")
        return str(found["items"][0]["metadata"]["name"])

    def workflow(self, name: str, fields: str = "") -> Workflow:
        """A workflow."""
        return decoded(self.client.get(self.path(name), {"fields": fields} if fields else None))

    def print(self, *texts: str) -> None:
        """Lines on standard output."""
        self.out.write(tree.Line(text=text) for text in texts)

    def tell(self, text: str) -> None:
        """A line on standard error."""
        self.errors.write([tree.Line(text=f"tiphys: {text}")])

    def each(self, names: Sequence[str], work: Callable[[str], None]) -> Exit:
        """Do something with each workflow; what is refused for one does not keep it from the others."""
        code = Exit.SUCCEEDED
        for name in names:
            try:
                work(self.name(name))
            except (Said, BadInput) as error:
                self.tell(str(error))
                code = Exit.FAILED
        return code


def run(wiring: Wiring, asking: Asking, work: Callable[[Remote], Exit]) -> Exit:
    """Do some work with the daemon; the exit code. What goes wrong is told on standard error."""
    no_colour = wiring.environ.get("NO_COLOR", "")
    errors = views.Printer(sys.stderr, colours=views.has_colours(sys.stderr, no_colour, wanted=asking.colours))
    try:
        loaded = wiring.load(asking.config)
        remote = Remote(
            client=Client(_way(wiring, asking, loaded)),
            wiring=wiring,
            namespace=asking.namespace or wiring.environ.get("ARGO_NAMESPACE", "") or loaded.settings.namespace,
            loaded=loaded,
            out=views.Printer(sys.stdout, colours=views.has_colours(sys.stdout, no_colour, wanted=asking.colours)),
            errors=errors,
            utf8=asking.utf8 and views.is_utf8(sys.stdout),
        )
        return work(remote)
    except (BadInput, InvalidSettings) as error:
        errors.write([tree.Line(text=f"tiphys: {error}" if "\n" not in str(error) else str(error))])
        return Exit.BAD_INPUT
    except (Said, Unreachable) as error:
        errors.write([tree.Line(text=f"tiphys: {error}")])
        return Exit.FAILED


def _way(wiring: Wiring, asking: Asking, loaded: Configuration) -> reaching.Way:
    usual = locations.client_socket_path(loaded.settings.daemon, wiring.environ, wiring.home, root=wiring.root)
    return reaching.named(asking.way, wiring.environ) or reaching.Socket(usual)


def decoded(text: bytes) -> Workflow:
    """A workflow that the daemon sent."""
    return msgspec.json.decode(text, type=Workflow)


class _Page(msgspec.Struct):
    items: tuple[Workflow, ...] = ()
    metadata: dict[str, object] = {}


def pages(remote: Remote, path: str, query: dict[str, str], size: int) -> Iterator[Workflow]:
    """All workflows of a list, asked for in pieces of `size` (0: all at once)."""
    following = ""
    while True:
        asked = {
            **query,
            **({"listOptions.limit": str(size)} if size else {}),
            **({"listOptions.continue": following} if following else {}),
        }
        page = msgspec.json.decode(remote.client.get(path, asked), type=_Page)
        yield from page.items
        following = str(page.metadata.get("continue", ""))
        if not following:
            return
