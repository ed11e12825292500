"""The body of a template for one node: its text with the variables of semantics 2.5.2, stages 5 to 7, replaced."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import structs

from tiphys.expressions import tags
from tiphys.expressions.asides import Asides
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding, sources
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role
from tiphys.spec import names
from tiphys.spec.status import NodeType
from tiphys.spec.templates import POD_KINDS, RetryStrategy, Template

EPOCH = datetime.fromtimestamp(0, UTC)
_decode = msgspec.json.Decoder(Template).decode
LARGE = 100_000
"""Characters of a template from which on it is worth a look whether anything of it would be replaced, which is to read it again."""


def own_names(draft: Draft, name: str, task: str, source: sources.Source) -> dict[str, object]:
    """node.name, steps.name and tasks.name, and pod.name where the template is a pod without retries (stage 5)."""
    values: dict[str, object] = {"node.name": name, "steps.name": task, "tasks.name": task}
    if source.kind in POD_KINDS and strategy(draft, source.template) is None:
        values["pod.name"] = names.pod_name(draft.run.name, name, source.name)
    return values


def strategy(draft: Draft, template: Template) -> RetryStrategy | None:
    """The template's retryStrategy, else the workflow's (semantics 2.9)."""
    return template.retry_strategy or draft.state.manifest.workflow.spec.retry_strategy


def source_of(draft: Draft, node: Node) -> sources.Source:
    """The template a node was made from."""
    if node.reference is None and not node.inline:  # as `sources.known` has it: this is asked for time and again
        quick = draft.state.sources.get((node.scope, node.template))
        if type(quick) is sources.Source:
            return quick
    found = sources.find(draft, node.template, node.reference, node.inline, node.scope)
    if isinstance(found, str):
        raise LookupError(found)  # noqa: TRY004 - text here is the reason why there is no template
    return found


def attempt_scope(draft: Draft, node: Node) -> dict[str, object]:
    """Retries and lastRetry.* for the body of a retried template, and the attempt's pod.name (argo-variables 5)."""
    wrapper = draft.node(node.owner)
    attempts = [n for n in draft.owned(wrapper.id) if n.role is Role.ATTEMPT]
    index = next(i for i, attempt in enumerate(attempts) if attempt.id == node.id)
    values: dict[str, object] = {
        "retries": str(index),
        "lastRetry.exitCode": "0",
        "lastRetry.duration": "0",
        "lastRetry.status": "",
        "lastRetry.message": "",
    }
    if index > 0:
        last = attempts[index - 1]
        values |= last_retry(last)
        if last.outputs is None or last.outputs.exit_code is None:
            values["lastRetry.exitCode"] = "0"
    if node.type is NodeType.POD:
        values["pod.name"] = names.pod_name(draft.run.name, node.name, node.template)
    return values


def last_retry(last: Node) -> dict[str, object]:
    """lastRetry.* of a finished attempt; exitCode is "-1" where there was none."""
    code = last.outputs.exit_code if last.outputs is not None else None
    seconds = int(((last.finished_at or EPOCH) - (last.started_at or EPOCH)).total_seconds())
    return {
        "lastRetry.exitCode": "-1" if code is None else code,
        "lastRetry.duration": str(seconds),
        "lastRetry.status": str(last.phase),
        "lastRetry.message": last.message,
    }


def scope_of(draft: Draft, node: Node, source: sources.Source) -> Scope:
    """Everything the body of a node's template may name before its own children exist."""
    values = own_names(draft, _plain_name(draft, node), node.task, source) | binding.body_scope(source.template, node.inputs)
    scope = ChainScope(FlatScope(values), GlobalScope(draft))
    for key in [key for key, value in values.items() if key.endswith(".path") and isinstance(value, str) and "{{" in value]:
        values[key] = tags.render_plain(str(values[key]), scope, Unresolved.KEEP, draft.chance(node.name))
    return scope


def _plain_name(draft: Draft, node: Node) -> str:
    return draft.node(node.owner).name if node.role is Role.ATTEMPT else node.name


def keep(draft: Draft, node: Node, source: sources.Source, template: Template) -> None:
    """Keep the body of a large template in which something was replaced until the node's plan is made: to read it again takes long."""
    if template is not source.template and len(source.text.text) > LARGE:
        draft.state.bodies[node.id] = template


def kept(draft: Draft, node: Node, source: sources.Source) -> Template:
    """The node's template, as it was kept or else made again; it is kept no longer."""
    return draft.state.bodies.pop(node.id, None) or body(draft, node, source)


def body(draft: Draft, node: Node, source: sources.Source) -> Template:
    """The node's template with its variables replaced. Raises ExpressionError where an expression in it fails."""
    if source.text.plain:
        return source.template
    chance = draft.chance(node.name)
    scope = scope_of(draft, node, source)
    if node.role is not Role.ATTEMPT and len(source.text.text) > LARGE and source.text.stays(scope):
        return source.template
    if node.role is not Role.ATTEMPT:
        return _rendered(source, scope, chance)
    text = source.text.render(scope, Unresolved.KEEP, chance)
    if "{{" in text:
        scope = ChainScope(FlatScope(attempt_scope(draft, node)), scope)
        text = tags.compile(text).render(scope, Unresolved.KEEP, chance)
    return msgspec.json.decode(text, type=Template)


def _rendered(source: sources.Source, scope: Scope, chance: Chance) -> Template:
    """A template with its variables replaced. A large value is left out of the text of a small one while that is rendered and read."""
    if len(source.text.text) > LARGE:
        return _decode(source.text.render(scope, Unresolved.KEEP, chance))
    asides = Asides()
    text = source.text.render(scope, Unresolved.KEEP, chance, asides)
    if not asides.values:
        return _decode(text)
    with suppress(msgspec.MsgspecError):
        used: list[str] = []
        found: Template = _whole(_decode(text), asides.values, used)
        if asides.exact(text) and len(used) == len(asides.values):
            return found
    return _decode(source.text.render(scope, Unresolved.KEEP, chance))


def _whole(part: Any, values: Mapping[str, str], used: list[str]) -> Any:
    """A part of a template with the `values` in the place of their marks; which marks those were."""
    if isinstance(part, str):
        if part in values:
            used.append(part)
            return values[part]
    elif isinstance(part, tuple | list):
        made = [_whole(one, values, used) for one in part]
        if any(one is not other for one, other in zip(made, part, strict=True)):
            return type(part)(made)
    elif isinstance(part, dict):
        found = {key: _whole(one, values, used) for key, one in part.items()}
        return found if any(found[key] is not one for key, one in part.items()) else part
    elif isinstance(part, msgspec.Struct):
        fields = {name: (getattr(part, name), _whole(getattr(part, name), values, used)) for name in part.__struct_fields__}
        changed = {name: one for name, (other, one) in fields.items() if one is not other}
        return structs.replace(part, **changed) if changed else part
    return part
