"""Advice: what a valid template will one day be sorry for, each with the fix written out. Never an error."""

import re
from collections.abc import Iterator

from tiphys.manifests.wording import Finding, Path
from tiphys.spec.templates import DAGTask, Template, WorkflowStep
from tiphys.spec.work import Severity
from tiphys.spec.workflows import WorkflowSpec

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
FEW = 10
"""So many literal loop items may start at once without a word."""

_pasted = re.compile(r"\{\{\s*(?:inputs|workflow)\.parameters\.([\w.-]+)\s*\}\}")


def of_template(template: Template, path: Path, spec: WorkflowSpec) -> list[Finding]:
    """The advice for a template at `path`, with the workflow's template defaults already in it."""
    return [
        *_endless_retry(template, path),
        *_no_deadline(template, path, spec),
        *_pasted_text(template, path),
        *_wide_loop(template, path, spec),
    ]


def _advice(path: Path, message: str, hint: str) -> Finding:
    return Finding(path=path, message=message, hint=hint, severity=Severity.NOTICE)


def _endless_retry(template: Template, path: Path) -> Iterator[Finding]:
    retry = template.retry_strategy
    if retry is None or retry.limit is not None or retry.expression or (retry.backoff and retry.backoff.max_duration):
        return
    yield _advice((*path, "retryStrategy"), "a retry without a limit tries for ever", "write `limit: 3` below retryStrategy")


def _no_deadline(template: Template, path: Path, spec: WorkflowSpec) -> Iterator[Finding]:
    leaf = template.container or template.script
    if leaf is None or template.daemon or template.active_deadline_seconds is not None or spec.active_deadline_seconds is not None:
        return
    message = "a step without a deadline that hangs keeps its workflow running for ever"
    yield _advice(path, message, "write `activeDeadlineSeconds: 3600` in the template, or in templateDefaults for all of them")


def _pasted_text(template: Template, path: Path) -> Iterator[Finding]:
    script = template.script
    if script is None or not script.command or script.command[0].rpartition("/")[2] not in SHELLS:
        return
    for found in {match.group(): match for match in _pasted.finditer(script.source)}.values():
        name = re.sub(r"\W", "_", found.group(1)).upper()
        message = f"{found.group()} is pasted into a shell script: the shell runs what its value holds"
        hint = f'write `env: [{{name: {name}, value: "{found.group()}"}}]` below script, and "${name}" in its source'
        yield _advice((*path, "script", "source"), message, hint)


def _wide_loop(template: Template, path: Path, spec: WorkflowSpec) -> Iterator[Finding]:
    if template.parallelism is not None or spec.parallelism is not None:
        return
    for place, item in _loops(template):
        if item.with_param or item.with_sequence is not None or len(item.with_items or ()) > FEW:
            message = f"all items of the loop {item.name} start at once"
            yield _advice((*path, *place), message, "write `parallelism: 10` in this template or in the workflow's spec")


def _loops(template: Template) -> Iterator[tuple[Path, DAGTask | WorkflowStep]]:
    for outer, group in enumerate(template.steps or ()):
        for inner, step in enumerate(group):
            yield ("steps", outer, inner), step
    for number, task in enumerate(template.dag.tasks if template.dag else ()):
        yield ("dag", "tasks", number), task
