"""What can be made of a submission before anything is decided about it: its large templates, read.

It follows from the manifest alone, so it may be made on any thread, and a decision is the same with and without it; but without it a
decision that needs a template of ten thousand tasks would read it, and hold everybody else up.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions.tags import OPEN
from tiphys.scheduler import sources
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.sources import Source
from tiphys.spec.templates import Template
from tiphys.spec.workflows import ClusterWorkflowTemplate, WorkflowTemplate

MANY = 200
"""Steps or tasks from which on a template is large."""

Prepared = Mapping[tuple[str, ...], Source]
"""Templates, read, under the keys of `sources.find`."""


def is_large(manifest: Manifest) -> bool:
    """Whether there is anything to prepare."""
    return any(_is_large(template) for _, template in _templates(manifest))


def prepare(manifest: Manifest, *, suspended: bool = False) -> Prepared:
    """The large templates of a submission; of one that is `suspended` who waits for whom is left to `finish`, when it is resumed."""
    defaults = manifest.workflow.spec.template_defaults
    if defaults is not None and OPEN in msgspec.json.encode(defaults).decode():
        return {}  # what is below all templates is not known before the run begins
    found: dict[tuple[str, ...], Source] = {}
    seen: set[tuple[str, ...]] = set()
    for keys, template in _templates(manifest):
        if keys[0] in seen:
            continue  # the first of a name is the one that is found
        seen.add(keys[0])
        if _is_large(template):
            try:
                source = sources.made(template, defaults, template.name, keys[-1][0])
                if not suspended:
                    _read(source)
            except (TiphysError, LookupError):
                continue  # a tag stands where a name should: the run will say so, or replace it
            found.update(dict.fromkeys(keys, source))
    return found


def finish(known: Iterable[Source | str]) -> None:
    """Read of these templates who waits for whom, where they are large and it was not read yet."""
    for source in known:
        if not isinstance(source, str) and _is_large(source.template):
            with suppress(TiphysError, LookupError):
                _read(source)


def _read(source: Source) -> None:
    template = source.template
    if template.dag is not None:
        source.skeleton.of_dag(template.dag)
    elif template.steps is not None:
        source.skeleton.of_steps(template.steps)


def _is_large(template: Template) -> bool:
    tasks = len(template.dag.tasks) if template.dag is not None else 0
    return tasks + sum(map(len, template.steps or ())) > MANY


def _templates(manifest: Manifest) -> Iterator[tuple[tuple[tuple[str, ...], ...], Template]]:
    """Every template with the keys under which it is kept, once it was looked for."""
    scope = f"{sources.LOCAL}/{manifest.workflow.metadata.name}"
    for template in manifest.workflow.spec.templates:
        yield ((scope, template.name),), template
    resources: list[WorkflowTemplate | ClusterWorkflowTemplate] = [*manifest.templates, *manifest.cluster_templates]
    first = {(isinstance(one, ClusterWorkflowTemplate), one.metadata.name): one for one in reversed(resources)}
    for (cluster, name), resource in first.items():
        for template in resource.spec.templates:
            yield sources.cached_as(name, template.name, cluster=cluster), template
