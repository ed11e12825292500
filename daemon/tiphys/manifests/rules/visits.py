"""What the rules share while they go through a document: the resources, what is known of the whole workflow, the template at hand.

Templates call templates, to any depth and in circles. A rule that comes to a call yields the visit that it needs instead of making
it, so that no depth of a document can exhaust our own stack (see `templates.run`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiphys.manifests.rules import hints, names, scopes
from tiphys.manifests.rules.definitions import Definitions
from tiphys.manifests.rules.problems import Path, Report
from tiphys.spec import templates, workflows

MAX_CALLERS = 2000
"""How many characters of "templates.a.steps[0].b templates.b…" are kept before a message."""

MAX_HINTS = 50

KIND_NAMES = {
    "container": "Container",
    "container_set": "ContainerSet",
    "steps": "Steps",
    "dag": "DAG",
    "script": "Script",
    "resource": "Resource",
    "data": "Data",
    "suspend": "Suspend",
    "http": "HTTP",
    "plugin": "Plugin",
}
"""Argo's word for each kind of template."""

NOT_LEAF = frozenset({"steps", "dag"})


class Resource:
    """A document's templates by name. `path` is where its spec stands in the document under test; None for another document's."""

    def __init__(self, key: str, spec: workflows.WorkflowSpec, path: Path | None) -> None:
        self.key = key
        self.spec = spec
        self.path = path
        self.templates: dict[str, int] = {}
        for index, template in enumerate(spec.templates):
            self.templates.setdefault(template.name, index)


class Walk:
    """One check of one document: what it has found so far and what is known everywhere."""

    def __init__(self, definitions: Definitions, *, template_alone: bool) -> None:
        self.definitions = definitions
        self.template_alone = template_alone
        """A WorkflowTemplate by itself: the parameters of the workflows that will use it are not known."""
        self.report = Report()
        self.everywhere = scopes.Scope()
        self.values: dict[str, str] = {}
        """The workflow parameters with a value, by tag: names of templates may be made of them."""
        self.visited: set[tuple[str, str] | tuple[str, Path]] = set()
        self.resources: dict[tuple[bool, str], Resource] = {}
        self._hints = MAX_HINTS

    def nearest(self, name: str, known: scopes.Scope | Iterable[str]) -> str:
        """A hint at the name that was meant; nothing more once a document has had its share of hints."""
        if self._hints <= 0:
            return ""
        self._hints -= 1
        return hints.nearest(name, known.names() if isinstance(known, scopes.Scope) else known)


class Visit:
    """A template being checked: whose it is, where it is written, who called it, what it may mention."""

    __slots__ = ("_foreign", "callers", "outer", "path", "resource", "scope", "template", "walk")

    def __init__(
        self, walk: Walk, resource: Resource, template: templates.Template, path: Path, *, callers: str, outer: scopes.Scope | None = None
    ) -> None:
        self.walk = walk
        self.resource = resource
        self.template = template
        self.path = path
        self.callers = callers
        self.outer = outer
        """For a template written inline: what the place it is written at may mention."""
        self.scope = scopes.Scope(outer or walk.everywhere)
        self._foreign = resource.path is None

    @property
    def kind(self) -> str:
        """The kind of the template by its field's name; "" where it has none."""
        return templates.kind(self.template)

    @property
    def kind_name(self) -> str:
        """Argo's word for the kind of the template."""
        return KIND_NAMES.get(self.kind, "")

    @property
    def key(self) -> tuple[str, str] | tuple[str, Path]:
        """What tells this template from all others of the walk."""
        return (self.resource.key, self.path) if self.outer else (self.resource.key, self.template.name)

    def at(self, *keys: str | int) -> Path:
        """The path below this template; of another document's template only its caller's place is known."""
        return self.path if self._foreign else (*self.path, *keys)

    def error(self, text: str, *keys: str | int, hint: str = "") -> None:
        """Report `text` at `keys` below this template, behind the names of its callers."""
        self.walk.report.error(self.at(*keys), self.callers + text, hint)

    def warn(self, text: str, *keys: str | int, hint: str = "") -> None:
        """As `error`, for what is accepted."""
        self.walk.report.warn(self.at(*keys), self.callers + text, hint)

    def called_from(self, text: str) -> str:
        """The words before the messages of what this template calls at `text`."""
        callers = f"{self.callers}{text} "
        return callers if len(callers) <= MAX_CALLERS else f"… {callers[-MAX_CALLERS:]}"

    def bad_names(self, listed: list[str], label: str, *keys: str | int, plain: bool = False) -> None:
        """Report the names of a list (parameters and artifacts; `plain` for templates and tasks) that Argo refuses."""
        for index, text in names.faults(listed, names.field_fault if plain else names.parameter_fault):
            self.error(f"{label}{text}", *keys, index)


Steps = Iterator[Visit]
"""A rule in progress: each visit that it gives is made before it goes on."""
