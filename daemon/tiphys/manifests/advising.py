"""Advice: what a valid workflow will one day be sorry for, each with the fix written out. Never an error.

One advice for each cause and place; what a single line in the spec would mend is said once.
"""

import re
from collections.abc import Iterator

import msgspec

from tiphys.manifests import pasting
from tiphys.manifests.wording import Finding, Path
from tiphys.spec.templates import DAGTask, LifecycleHook, Template, WorkflowStep
from tiphys.spec.work import Severity
from tiphys.spec.workflows import WorkflowSpec

FEW = 10
"""So many literal loop items may start at once without a word."""

NAMED = 3
"""So many templates are named in one advice."""

REPEATABLE = frozenset({"", "GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""HTTP methods that may be sent twice."""

CLEANING = re.compile(r"(?:^|[-_])(?:clean(?:up|ing)?|clean-up|teardown|tear-down|destroy|deprovision)(?:$|[-_])", re.IGNORECASE)
SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:pass(?:word|wd|phrase)|secret|token|(?:api|access|private)[-_]?key|credentials?)(?:$|[-_.])",
    re.IGNORECASE,
)
AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
OWN_KEY = re.compile(
    r"workflow\.(?:uid|name|creationTimestamp|scheduledTime)|inputs\.|node\.name|pod\.name|TIPHYS_IDEMPOTENCY_KEY|ARGO_NODE_ID|ARGO_WORKFLOW_(?:NAME|UID)"
)
RESULT = re.compile(r"\.(?:Failed|Errored|Omitted|AllFailed|AnySucceeded)\b|\|\|")

Callee = WorkflowStep | DAGTask | LifecycleHook


def of_spec(spec: WorkflowSpec, path: Path, *, callable_from_outside: bool) -> list[Finding]:
    """The advice for a whole spec at `path`; templates have the defaults in them. WorkflowTemplates are `callable_from_outside`."""
    found: list[Finding] = []
    for index, template in enumerate(spec.templates):
        found += of_template(template, (*path, "templates", index), spec)
    found += _no_deadlines(spec, path)
    found += _cleanup(spec, path)
    found += _plain_secrets(spec, path)
    if not callable_from_outside:
        found += _unreachable(spec, path)
    return found


def of_template(template: Template, path: Path, spec: WorkflowSpec) -> list[Finding]:
    """The advice for one template at `path`."""
    return [
        *_endless_retry(template, path),
        *_repeated_effects(template, path),
        *(_advice((*path, *place), message, hint) for place, message, hint in pasting.into_programs(template)),
        *_wide_loop(template, path, spec),
    ]


def _advice(path: Path, message: str, hint: str) -> Finding:
    return Finding(path=path, message=message, hint=hint, severity=Severity.NOTICE)


def _endless_retry(template: Template, path: Path) -> Iterator[Finding]:
    retry = template.retry_strategy
    if retry is None or retry.limit is not None or retry.expression or (retry.backoff and retry.backoff.max_duration):
        return
    yield _advice((*path, "retryStrategy"), "a retry without a limit tries for ever", "write `limit: 3` below retryStrategy")


def _repeated_effects(template: Template, path: Path) -> Iterator[Finding]:
    """A step that may have done its work before it was an Error is done again: a key of its own lets it notice."""
    retry = template.retry_strategy
    if retry is None or retry.retry_policy not in {"Always", "OnError"}:
        return
    if template.http is not None:
        if template.http.method.upper() in REPEATABLE:
            return
        hint = 'write `headers: [{name: Idempotency-Key, value: "{{workflow.uid}}-{{node.name}}"}]` below http, if the server knows it'
    elif template.container is not None or template.script is not None:
        hint = "let the step use ARGO_NODE_ID, or {{workflow.uid}}, as the key of what it makes: a second time changes nothing"
    else:
        return
    if OWN_KEY.search(msgspec.json.encode(template).decode()):
        return
    message = f"retryPolicy {retry.retry_policy} repeats a step that may have done its work; nothing tells the second time from the first"
    yield _advice((*path, "retryStrategy", "retryPolicy"), message, hint)


def _no_deadlines(spec: WorkflowSpec, path: Path) -> Iterator[Finding]:
    if spec.active_deadline_seconds is not None:
        return
    endless = [(index, template) for index, template in enumerate(spec.templates) if _endless(template)]
    if not endless:
        return
    names = ", ".join(template.name for _, template in endless[:NAMED]) + (" and others" if len(endless) > NAMED else "")
    message = f"a step without a deadline that hangs keeps its workflow running for ever: {names}"
    if len(endless) == 1:
        index, template = endless[0]
        hint = "write `timeoutSeconds: 60` below http" if template.http else "write `activeDeadlineSeconds: 3600` in the template"
        yield _advice((*path, "templates", index), message, f"{hint}, or in the spec for the whole workflow")
        return
    hint = "write `activeDeadlineSeconds: 86400` in the spec, for the whole workflow, or `templateDefaults: {activeDeadlineSeconds: 3600}`"
    yield _advice(path, message, hint)


def _endless(template: Template) -> bool:
    if template.daemon or template.active_deadline_seconds is not None or template.timeout:
        return False
    if template.http is not None:
        return template.http.timeout_seconds is None
    return any(kind is not None for kind in (template.container, template.script, template.container_set, template.data, template.plugin))


def _wide_loop(template: Template, path: Path, spec: WorkflowSpec) -> Iterator[Finding]:
    if template.parallelism is not None or spec.parallelism is not None:
        return
    for place, item in _items(template):
        sequence = item.with_sequence
        few = sequence is not None and str(sequence.count).isdecimal() and int(str(sequence.count)) <= FEW
        if item.with_param or (sequence is not None and not few) or len(item.with_items or ()) > FEW:
            message = f"all items of the loop {item.name} start at once"
            yield _advice((*path, *place), message, "write `parallelism: 10` in this template or in the workflow's spec")


def _items(template: Template) -> Iterator[tuple[Path, DAGTask | WorkflowStep]]:
    for outer, group in enumerate(template.steps or ()):
        for inner, step in enumerate(group):
            yield ("steps", outer, inner), step
    for number, task in enumerate(template.dag.tasks if template.dag else ()):
        yield ("dag", "tasks", number), task


def _cleanup(spec: WorkflowSpec, path: Path) -> Iterator[Finding]:
    """What cleans up as the last step runs only if everything before it went well."""
    if spec.on_exit or "exit" in (spec.hooks or {}):
        return
    entry = next((index for index, template in enumerate(spec.templates) if template.name == spec.entrypoint), None)
    if entry is None:
        return
    template = spec.templates[entry]
    for place, item in _last(template):
        if not (CLEANING.search(item.name) or CLEANING.search(item.template)) or item.when:
            continue
        called = item.template or "TEMPLATE"
        fix = f"write `onExit: {called}` in the spec and take {item.name} out"
        if item.arguments is not None and item.arguments.parameters:
            fix = f"write `hooks: {{exit: {{template: {called}, arguments: …}}}}` in the spec and take {item.name} out"
        message = f"{item.name} cleans up only if everything before it succeeded"
        yield _advice((*path, "templates", entry, *place), message, f"{fix}: an exit handler runs whatever the outcome")


def _last(template: Template) -> Iterator[tuple[Path, DAGTask | WorkflowStep]]:
    groups = template.steps or ()
    if len(groups) > 1:
        tolerated = all(step.continue_on is not None and step.continue_on.failed for group in groups[:-1] for step in group)
        yield from ((("steps", len(groups) - 1, inner), step) for inner, step in enumerate(groups[-1]) if not tolerated)
    tasks = template.dag.tasks if template.dag else ()
    named = {name for task in tasks for name in (*task.dependencies, *re.findall(r"[\w-]+", task.depends))}
    for number, task in enumerate(tasks):
        if task.name not in named and (task.dependencies or task.depends) and not RESULT.search(task.depends):
            yield ("dag", "tasks", number), task


def _plain_secrets(spec: WorkflowSpec, path: Path) -> Iterator[Finding]:
    """Values that everybody who may read the workflow can read."""
    for number, parameter in enumerate(spec.arguments.parameters if spec.arguments is not None else ()):
        if _telling(parameter.name, parameter.value):
            yield _secret((*path, "arguments", "parameters", number), f"the parameter {parameter.name}")
    for index, template in enumerate(spec.templates):
        here = (*path, "templates", index)
        for number, parameter in enumerate(template.inputs.parameters if template.inputs is not None else ()):
            if _telling(parameter.name, parameter.value or parameter.default):
                yield _secret((*here, "inputs", "parameters", number), f"the parameter {parameter.name}")
        for kind in ("container", "script"):
            container = getattr(template, kind)
            for number, variable in enumerate(container.env if container is not None else ()):
                if _telling(variable.name, variable.value):
                    yield _secret((*here, kind, "env", number), f"the variable {variable.name}")
            words = (*container.command, *container.args, getattr(container, "source", "")) if container is not None else ()
            if any(AWS_KEY.search(word) for word in words):
                yield _secret((*here, kind), "a key of AWS")


def _telling(name: str, value: str | None) -> bool:
    if not value or "{{" in value or value.startswith(("/", "$")):
        return False
    return bool(SECRET_NAME.search(name) or AWS_KEY.search(value))


def _secret(path: Path, what: str) -> Finding:
    message = f"{what} is written out where everybody who sees the workflow can read it"
    hint = "keep it in a Secret and write `env: [{name: NAME, valueFrom: {secretKeyRef: {name: SECRET, key: KEY}}}]` in the step"
    return _advice(path, message, hint)


def _unreachable(spec: WorkflowSpec, path: Path) -> Iterator[Finding]:
    """Templates that nothing in the workflow calls."""
    if spec.workflow_template_ref is not None or not spec.entrypoint:
        return
    by_name = {template.name: template for template in spec.templates}
    todo = [spec.entrypoint, spec.on_exit, *(hook.template for hook in (spec.hooks or {}).values())]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if "{{" in name:
            return  # any of them may be meant
        if name not in seen and name in by_name:
            seen.add(name)
            todo += _called(by_name[name])
    for index, template in enumerate(spec.templates):
        if template.name not in seen:
            message = f"nothing calls the template {template.name}"
            yield _advice((*path, "templates", index), message, "take it out, or name it in a step, a task, a hook or onExit")


def _called(template: Template) -> Iterator[str]:
    for _, item in _items(template):
        yield item.template
        yield item.on_exit
        yield from (hook.template for hook in (item.hooks or {}).values())
        if item.inline is not None:
            yield from _called(item.inline)
