"""A step or task becomes calls: `when`, its own tags, its loop (semantics 2.5.2, stages 2 to 4; 2.6.2)."""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import conditions, environment, expr, gojson, sequences, tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ABSENT, ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding
from tiphys.scheduler import resolved as texts
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.plans import Plan, StepsPlan, TaskPlan
from tiphys.scheduler.records import Node
from tiphys.scheduler.resolved import Rendered, Resolved
from tiphys.spec.artifacts import Artifact
from tiphys.spec.objects import JSON
from tiphys.spec.templates import Arguments, Sequence

EMPTY_LOOP = "Skipped, empty params"
_resolved = msgspec.json.Decoder(Resolved)


class ResolveError(TiphysError):
    """A step or task cannot be resolved; the text is for its node."""


class UnresolvedArtifact(ResolveError):
    """There is no artifact of that name."""


def calls(draft: Draft, boundary: Node, plan: Plan, task: TaskPlan, scope: Scope) -> Iterator[Call]:
    """The calls of a step or task: one, or one for each item of its loop; a call with `skipped` becomes a Skipped node.

    Names are the tasks' expanded ones; the caller completes names, roles, owners and edges. Going on raises a TiphysError whose text
    is for the node.
    """
    chance = draft.chance(f"{boundary.name}.{task.name}")
    base = Call(name=task.name, role="task", task=task.name, scope=plan.source.scope, depth=boundary.depth + 1, in_exit=boundary.in_exit)  # type: ignore[arg-type] # the caller sets the role
    condition = tags.render_plain(task.when, scope, Unresolved.WAIT, chance) if task.when else ""
    found = _looped(plan, task, condition, scope, chance)
    if found is None:
        yield _single(base, task, condition, scope, chance)
    elif found:
        yield from _expanded(base, task, condition, found, scope, chance)
    else:
        yield _named(structs.replace(base, skipped=EMPTY_LOOP), task, scope, chance)


def count(draft: Draft, boundary: Node, plan: Plan, task: TaskPlan, scope: Scope) -> int:
    """How many calls there are. Raises a TiphysError."""
    chance = draft.chance(f"{boundary.name}.{task.name}")
    condition = tags.render_plain(task.when, scope, Unresolved.WAIT, chance) if task.when else ""
    return len(_looped(plan, task, condition, scope, chance) or (None,))


def _looped(plan: Plan, task: TaskPlan, condition: str, scope: Scope, chance: Chance) -> Items[JSON] | None:
    """The items of a loop; None where it is none."""
    if not task.looped:
        return None
    wanted = "{{" in condition or not condition or conditions.evaluate(condition)
    try:
        if isinstance(plan, StepsPlan) and task.param and not tags.render_plain(task.param, scope, Unresolved.WAIT, chance):
            return None  # a step whose withParam turns out to be the empty text is no loop
        return items(task, scope, chance)
    except TiphysError:
        if wanted:
            raise
        return []


def _single(base: Call, task: TaskPlan, condition: str, scope: Scope, chance: Chance) -> Call:
    if condition and not conditions.evaluate(condition):
        return _named(structs.replace(base, skipped=_when_false(condition)), task, scope, chance)
    text, absent = _without_absent(task, scope)
    resolved = Rendered(text, task.left_out, scope, Unresolved.WAIT, chance).read()
    return _filled(base, task, resolved, absent, scope, chance)


def _when_false(condition: str) -> str:
    return f"when '{condition}' evaluated false"


def written(task: TaskPlan) -> Resolved:
    """The step or task as it is written, tags and all."""
    return texts.written(task.text.text, task.left_out)


def _named(call: Call, task: TaskPlan, scope: Scope, chance: Chance) -> Call:
    """A skipped call still says which template it would have used: its outputs' defaults are visible to others."""
    resolved = structs.replace(written(task), arguments=None)
    text = msgspec.json.encode(resolved).decode()
    if "{{" in text:
        resolved = _resolved.decode(tags.compile(text).render(scope, Unresolved.KEEP, chance))
    return structs.replace(call, template=resolved.template, reference=resolved.template_ref, inline=task.inline)


def _without_absent(task: TaskPlan, scope: Scope) -> tuple[tags.Tagged, tuple[str, ...]]:
    """The task's text less the arguments that are exactly one tag of an absent optional (semantics 2.5.4)."""
    absent = tuple(name for name, tag in task.sole if scope.get(tag) is ABSENT)
    if not absent:
        return task.text, absent
    return tags.compile(texts.without(task.text.text, absent)), absent


def _filled(base: Call, task: TaskPlan, resolved: Resolved, absent: tuple[str, ...], scope: Scope, chance: Chance) -> Call:
    arguments = resolved.arguments
    if task.artifacts:
        artifacts = tuple(found for a in task.artifacts if (found := artifact(a, scope, chance)) is not None)
        arguments = structs.replace(arguments or Arguments(), artifacts=artifacts)
    inline = tags.compile(task.inline).render(scope, Unresolved.KEEP, chance) if task.inline else ""
    return structs.replace(
        base, template=resolved.template, reference=resolved.template_ref, inline=inline, arguments=arguments, absent=absent
    )


# artifacts


def artifact(given: Artifact, scope: Scope, chance: Chance) -> Artifact | None:
    """An argument or output artifact with its `from` or `fromExpression` followed; None where it is optional and not there."""
    if "{{" in given.sub_path:
        given = structs.replace(given, sub_path=tags.render_plain(given.sub_path, scope, Unresolved.WAIT, chance))
    if given.from_:
        return _followed(given, _referred(given.from_, scope, chance), given.from_)
    if given.from_expression:
        text = tags.render_plain(given.from_expression, scope, Unresolved.KEEP, chance)
        program = expr.compile(text)
        return _followed(given, program.run(environment.nested(program, scope), chance), text)
    encoded = msgspec.json.encode(given).decode()
    if "{{" not in encoded:
        return given
    return msgspec.json.decode(tags.compile(encoded).render(scope, Unresolved.WAIT, chance), type=Artifact)


def _referred(reference: str, scope: Scope, chance: Chance) -> object:
    name = tags.sole_tag(reference)
    if name is None:
        reference = tags.render_plain(reference, scope, Unresolved.KEEP, chance)
        name = tags.sole_tag(reference)
    if name is None and "{{" in reference:
        raise ResolveError(f"unable to resolve reference: {reference}")
    return scope.get(reference if name is None else name)  # the braces may be left out


def _followed(given: Artifact, found: object, reference: str) -> Artifact | None:
    if isinstance(found, Artifact):
        followed = binding.placed(given, found)
        archive = given.archive or found.archive
        followed = structs.replace(followed, archive=archive)
        return _sub(followed, given.sub_path) if given.sub_path else followed
    if given.optional:
        return None
    if found is ABSENT:
        return structs.replace(given, from_="", from_expression="")
    raise UnresolvedArtifact(f'Unable to resolve: "{tags.sole_tag(reference) or reference}"')


def _sub(found: Artifact, path: str) -> Artifact:
    """The artifact at a key below another's (semantics 2.16.4)."""
    for name in ("s3", "gcs", "oss", "plugin"):
        place = getattr(found, name)
        if place is not None:
            return structs.replace(found, sub_path="", **{name: structs.replace(place, key=f"{place.key.rstrip('/')}/{path}")})
    if found.azure is not None:
        return structs.replace(found, sub_path="", azure=structs.replace(found.azure, blob=f"{found.azure.blob.rstrip('/')}/{path}"))
    raise ResolveError(f"artifact {found.name} has no key that subPath could follow")


# loops


def items(task: TaskPlan, scope: Scope, chance: Chance) -> Items[JSON]:
    """The items of a step's or task's loop. Raises a TiphysError where they cannot be known, or are no list."""
    if task.items is not None:
        encoded = msgspec.json.encode(task.items).decode()
        if "{{" not in encoded:
            return list(task.items)
        rendered: list[JSON] = msgspec.json.decode(tags.compile(encoded).render(scope, Unresolved.WAIT, chance))
        return rendered
    if task.param:
        return _param_items(tags.render_plain(task.param, scope, Unresolved.WAIT, chance))
    assert task.sequence is not None
    text = msgspec.json.encode(task.sequence).decode()
    sequence = msgspec.json.decode(tags.compile(text).render(scope, Unresolved.WAIT, chance), type=Sequence)
    return sequences.expand(sequence)


def item_variables(item: JSON) -> dict[str, object]:
    """What an item of a loop is called in its step or task, and in the hooks of that."""
    values: dict[str, object] = {"item": gojson.item_text(item)}
    if isinstance(item, dict):
        values |= {f"item.{key}": value for key, value in gojson.item_fields(item).items()}
    return values


def _param_items(text: str) -> list[JSON]:
    try:
        value = gojson.parse(text)
    except gojson.InvalidJSON as error:
        raise ResolveError(f"withParam value could not be parsed as a JSON list: {text.strip()}: {error}") from error
    if value is None:
        return []
    if not isinstance(value, list):
        raise ResolveError(f"withParam value could not be parsed as a JSON list: {text.strip()}")
    return value


def _expanded(base: Call, task: TaskPlan, condition: str, items: Iterable[JSON], scope: Scope, chance: Chance) -> Iterator[Call]:
    lenient = bool(condition) and "{{" not in condition and not conditions.evaluate(condition)
    text, absent = _without_absent(task, scope)
    once = Rendered(text, task.left_out, scope, Unresolved.WAIT if not lenient else Unresolved.KEEP, chance)
    tagged = tags.compile(once.text)
    same = once.read() if tagged.plain else None
    varies = "{{" in condition
    inline = tags.compile(task.inline) if task.inline else None
    for index, item in enumerate(items):
        inner = ChainScope(FlatScope(item_variables(item)), scope)
        name = f"{task.name}({index}:{gojson.item_name(item)})"
        if lenient:
            yield _named(structs.replace(base, name=name, task=name, skipped=_when_false(condition)), task, inner, chance)
            continue
        if varies:
            rendered = tags.render_plain(condition, inner, Unresolved.FAIL, chance)
            if not conditions.evaluate(rendered):
                yield _named(structs.replace(base, name=name, task=name, skipped=_when_false(rendered)), task, inner, chance)
                continue
        resolved = same if same is not None else once.read_again(tagged, inner, chance)
        call = structs.replace(
            base,
            name=name,
            task=name,
            template=resolved.template,
            reference=resolved.template_ref,
            arguments=resolved.arguments,
            absent=absent,
        )
        if inline is not None:
            call = structs.replace(call, inline=inline.render(inner, Unresolved.KEEP, chance))
        if task.artifacts:
            artifacts = tuple(found for a in task.artifacts if (found := artifact(a, inner, chance)) is not None)
            call = structs.replace(call, arguments=structs.replace(call.arguments or Arguments(), artifacts=artifacts))
        yield call
