"""The conditions of a step or task, shown with the values that are in them: `depends`, `when`, loops, expressions of hooks and retries."""

import re
from collections.abc import Iterator

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import conditions, environment, expr, tags
from tiphys.expressions import depends as language
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ABSENT, MISSING, Scope
from tiphys.expressions.tags import NotYet, Unresolved
from tiphys.scheduler import dag, resolving
from tiphys.scheduler import why_limits as limits
from tiphys.scheduler.dag import OMITTED
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.lone import Lone
from tiphys.scheduler.planning import TAG, UPSTREAM
from tiphys.scheduler.plans import DagPlan
from tiphys.scheduler.reasons import Expression, Kind, Operand, Reason
from tiphys.scheduler.records import Node

LONGEST = 2000
NOT_BEGUN = "not begun"
TERM = re.compile(r"(?P<task>[a-zA-Z0-9][-a-zA-Z0-9]*)\.(?P<result>[A-Z][a-zA-Z]+)")


def cut(text: str) -> str:
    """A text as it can be shown."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


# depends


def depends(lone: Lone) -> Reason | None:
    """What a task depends on, with how each of it is now; None: on nothing."""
    draft = lone.draft
    try:
        parsed = lone.depends
    except TiphysError as error:
        return Reason(kind=Kind.DEPENDS, text=f"its dependencies cannot be read: {error}")
    if not parsed.tasks:
        return None
    wanted: dict[str, list[str]] = {}
    for found in TERM.finditer(parsed.text):
        wanted.setdefault(found["task"], []).append(found["result"])
    operands = tuple(_operand(draft, lone.boundary, name, tuple(dict.fromkeys(wanted.get(name, ())))) for name in parsed.tasks)
    open_ = [one for one in operands if one.holds is None]
    result = ""
    if not open_:
        result = str(parsed.evaluate(lambda name: _result(draft, lone.boundary, name))).lower()
    expression = Expression(
        written=_written(lone), value=cut(parsed.text), result=result, values={one.task: one.status for one in operands[: limits.MOST]}
    )
    if open_:
        text = f"of the {len(operands)} tasks that it depends on these have not ended: {limits.listed(one.task for one in open_)}"
        if len(operands) == 1:
            text = f"it depends on {operands[0].task}, which has not ended"
    else:
        text = f"what it depends on has ended, and its condition is {result}: {cut(parsed.text)}"
    return Reason(
        kind=Kind.DEPENDS,
        text=text,
        lines=tuple(_line(one) for one in operands[: limits.MOST]),
        changes=f"the end of {limits.listed(one.task for one in open_)}" if open_ else "",
        expression=expression,
        operands=operands,
    )


def _written(lone: Lone) -> str:
    declared = lone.declared
    assert isinstance(lone.plan, DagPlan)
    text = getattr(declared, "depends", "")
    return str(text) or ", ".join(getattr(declared, "dependencies", ()))


def _line(one: Operand) -> str:
    words = " || ".join(f"{one.task}.{word}" for word in one.wanted)
    message = f" ({one.message})" if one.message else ""
    verdict = f"{words} is not known" if one.holds is None else f"{words} is {str(one.holds).lower()}"
    return f"{one.task}: {one.status}{message}, so {verdict}"


def _operand(draft: Draft, boundary: Node, name: str, wanted: tuple[str, ...]) -> Operand:
    node = draft.named(f"{boundary.name}.{name}")
    if node is None:
        return Operand(task=name, status=NOT_BEGUN, wanted=wanted)
    if not node.settled:
        status = str(node.phase)
        return Operand(task=name, status=f"{status}, its hooks are open" if node.phase.fulfilled else status, wanted=wanted)
    result = _result(draft, boundary, name)
    holds = any(language.RESULTS[word](result) for word in wanted)
    return Operand(task=name, status=str(node.phase), wanted=wanted, holds=holds, message=cut(node.message))


def _result(draft: Draft, boundary: Node, name: str) -> language.TaskResult:
    return dag._result(draft, boundary, name, items=True)  # noqa: SLF001 (what `depends` saw is to be shown, not something like it)


def omitted(lone: Lone) -> Reason:
    """Why a task was omitted, and which dependency made it so."""
    found = depends(lone)
    if found is None:
        return Reason(kind=Kind.OMITTED, text=OMITTED)
    turned = found.expression is not None and any(sign in found.expression.value for sign in "!=")
    guilty = [one for one in found.operands if turned or one.holds is False]
    text = f"what it depends on ended otherwise: {limits.listed(f'{one.task} is {one.status}' for one in guilty)}"
    nodes = tuple(
        limits.who(lone.draft.run, node)
        for one in guilty[: limits.MOST]
        if (node := lone.draft.named(f"{lone.boundary.name}.{one.task}")) is not None
    )
    return Reason(kind=Kind.OMITTED, text=text, lines=found.lines, expression=found.expression, operands=found.operands, nodes=nodes)


# when and loops


def chance(lone: Lone) -> Chance:
    """The chance that the step's or task's own texts had."""
    return lone.draft.chance(f"{lone.boundary.name}.{lone.task.name}")


def substituted(text: str, scope: Scope, given: Chance) -> tuple[str, dict[str, str]]:
    """A text with the values that are known now, and the tags that stay open with why."""
    try:
        value = tags.render_plain(text, scope, Unresolved.KEEP, given)
    except (TiphysError, NotYet) as error:
        return text, {tag: str(error) for tag in TAG.findall(text)}
    return value, dict.fromkeys(dict.fromkeys(TAG.findall(value)), "it has no value yet")


def values(text: str, scope: Scope) -> dict[str, str]:
    """The simple tags of a text with what they stand for."""
    found: dict[str, str] = {}
    for tag in TAG.findall(text):
        value = scope.get(tag.strip())
        if value is not MISSING:
            found[tag.strip()] = "(absent)" if value is ABSENT else cut(str(value))
    return found


def when(lone: Lone) -> Reason | None:
    """A step's or task's condition with its values; None: it has none."""
    if not lone.task.when:
        return None
    scope = lone.scope()
    value, open_ = substituted(lone.task.when, scope, chance(lone))
    open_ |= _unended(lone, str(lone.task.when))
    result = "" if open_ else _judged(value)
    expression = Expression(
        written=str(lone.task.when), value=cut(value), result=result, open=open_, values=values(str(lone.task.when), scope)
    )
    text = f"its condition is {result}: {cut(value)}"
    if open_:
        text = f"its condition is not known yet; with what there is so far: {cut(value)}"
    lines = [f"written: {lone.task.when}"] if value != lone.task.when else []
    lines += [f"{tag.strip()}: {why}" for tag, why in open_.items()]
    return Reason(kind=Kind.WHEN, text=text, lines=tuple(lines), expression=expression)


def _unended(lone: Lone, text: str) -> dict[str, str]:
    """The tags of a text that speak of steps or tasks which have not ended, with what they wait for."""
    found: dict[str, str] = {}
    for tag in TAG.findall(text):
        for dotted, quoted in UPSTREAM.findall(tag):
            name = dotted or quoted
            if name in lone.plan.tasks and not lone.ended(name):
                found[tag] = f"the end of {name}"
    return found


def _judged(text: str) -> str:
    try:
        return "true" if conditions.evaluate(text) else "false"
    except TiphysError as error:
        return f"an error: {error}"


def loop(lone: Lone) -> Reason | None:
    """A step's or task's loop, and how many items it has; None: it has none."""
    task = lone.task
    if not task.looped:
        return None
    kind = "withParam" if task.param else "withItems" if task.items else "withSequence"
    written = str(task.param) if task.param else msgspec.json.encode(task.items or task.sequence).decode()
    scope = lone.scope()
    value, open_ = substituted(written, scope, chance(lone))
    open_ |= _unended(lone, written)
    try:
        count = len(resolving.items(task, scope, chance(lone))) if not open_ else None
        text = f"{kind} gives {limits.counted(count or 0, 'item')}"
    except (TiphysError, NotYet) as error:
        count, text = None, f"the items of {kind} are not known: {error}"
    if count is None and open_:
        text = f"the items of {kind} are not known yet: {limits.listed(open_)}"
    expression = Expression(written=cut(written), value=cut(value), result="" if count is None else str(count), open=open_)
    return Reason(kind=Kind.LOOP, text=text, expression=expression)


# hooks


def program(text: str, scope: Scope, given: Chance) -> Expression:
    """An expr expression with what its names stand for and what it comes to."""
    try:
        rendered = tags.render_plain(text, scope, Unresolved.KEEP, given)
        compiled = expr.compile(rendered)
        seen = environment.nested(compiled, scope)
        value = compiled.run(seen, given)
    except TiphysError as error:
        return Expression(written=text, result=f"an error: {error}")
    result = str(value).lower() if isinstance(value, bool) else repr(value)
    return Expression(written=text, value=cut(rendered), result=result, values=dict(_flat(compiled.references, scope)))


def _flat(paths: frozenset[tuple[str, ...]], scope: Scope) -> Iterator[tuple[str, str]]:
    for path in sorted(paths):
        key = ".".join(path)
        value = scope.get(key)
        if value is not MISSING:
            yield key, "(absent)" if value is ABSENT else cut(str(value))
