"""`{{tags}}` in text: simple ones are looked up, `{{=expressions}}` are evaluated (semantics 2.5).

A text is compiled once into literal pieces and tags and rendered many times, with other scopes. One render is one pass: what is
pasted is not scanned again; a later stage compiles the result anew, which is how values that hold tags are replaced one level
for each stage. Texts are the JSON of whole objects, so that what is pasted is escaped as the inside of a JSON string.
"""

import enum
import functools
import json
import re
from typing import Final

from tiphys import errors
from tiphys.expressions import environment, expr, gojson, scans
from tiphys.expressions.asides import LARGE, Asides, may_be_left_out
from tiphys.expressions.chance import Chance
from tiphys.expressions.errors import ExpressionError
from tiphys.expressions.scope import ABSENT, MISSING, Scope

OPEN: Final = "{{"
CLOSE: Final = "}}"
MOST_TEXT: Final = 64_000_000
"""The most characters that one render may give."""

_WAITED_FOR: Final = frozenset({"steps", "tasks"})
_POSTPONED: Final = frozenset({"item", "retries"})
_POSTPONED_MEMBERS: Final = frozenset(
    {
        ("lastRetry", "exitCode"),
        ("lastRetry", "status"),
        ("lastRetry", "duration"),
        ("lastRetry", "message"),
        ("workflow", "status"),
        ("workflow", "failures"),
    }
)
_LONGEST_SHOWN: Final = 500
_SMALL: Final = 4_096
_LARGE: Final = 262_144

_needs_escape = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]').search
_encode = json.JSONEncoder(ensure_ascii=False).encode


class Unresolved(enum.Enum):
    """What becomes of a tag that cannot be resolved yet."""

    KEEP = "keep"
    WAIT = "wait"
    FAIL = "fail"


class SubstitutionError(ExpressionError):
    """A tag cannot be replaced, now or later. The text of the error is Argo's; `caret()` shows the place."""

    def __str__(self) -> str:
        return self.reason


class NotYet(errors.TiphysError):
    """A tag names a result of a step or task that is not there yet."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)

    def __reduce__(self) -> tuple[type["NotYet"], tuple[str, str]]:
        return NotYet, (self.key, str(self))


class _Simple:
    """`{{ name }}`. `before` and `inner` are the halves of a tag that holds the beginning of another (`{{a.{{b}}`)."""

    __slots__ = ("before", "inner", "kept", "name", "offset", "waited")

    def __init__(self, raw: str, offset: int) -> None:
        self.kept = f"{OPEN}{raw}{CLOSE}"
        self.name = raw.strip()
        self.offset = offset
        at = raw.rfind(OPEN)
        self.before, self.inner = (raw[:at], raw[at + 2 :]) if at > 0 else ("", "")
        self.waited = self.name.partition(".")[0] in _WAITED_FOR and ".outputs.artifacts." not in self.name


class _Expression:
    """`{{=source}}`."""

    __slots__ = ("_needs", "_program", "kept", "offset", "raw", "source")

    def __init__(self, raw: str, offset: int, *, escaped: bool) -> None:
        self.kept = f"{OPEN}{raw}{CLOSE}"
        self.raw = raw[1:]
        self.offset = offset
        self.source = _unescaped(self.raw) if escaped else self.raw
        self._program: expr.Program | None = None
        self._needs: tuple[_Need, ...] = ()

    def program(self) -> expr.Program:
        """The compiled expression; raises ExpressionError."""
        if self._program is None:
            if self.source is None:
                raise ExpressionError(self.raw, 0, "not the inside of a JSON string")
            program = expr.compile(self.source)
            self._needs = tuple(_Need(path, guarded=path in program.optional) for path in sorted(program.references))
            self._program = program
        return self._program

    def missing(self, scope: Scope, unresolved: Unresolved) -> list["_Need"]:
        """What the expression needs and `scope` does not have."""
        self.program()
        return [need for need in self._needs if not need.met(scope, unresolved)]


class _Need:
    """A path that an expression reads. Where it is guarded (by `??` or `?.`) only its root has to exist."""

    __slots__ = ("guarded", "key", "path", "postponed", "waited")

    def __init__(self, path: tuple[str, ...], *, guarded: bool) -> None:
        self.path = path
        self.key = ".".join(path)
        self.guarded = guarded
        self.waited = path[0] in _WAITED_FOR
        self.postponed = path[0] in _POSTPONED or path[:2] in _POSTPONED_MEMBERS

    def met(self, scope: Scope, unresolved: Unresolved) -> bool:
        if environment.present(self.path, scope):
            return True
        if not self.guarded or (self.postponed and unresolved is not Unresolved.FAIL) or not environment.present(self.path[:1], scope):
            return False
        return not (self.waited and unresolved is Unresolved.KEEP) or environment.present(self.path[:2], scope)


class Tagged:
    """A compiled text."""

    __slots__ = ("_escaped", "_nested", "_pieces", "expressions", "names", "plain", "text")

    def __init__(self, text: str, *, escaped: bool = True) -> None:
        """`escaped`: the text is JSON. Raises SubstitutionError for a `{{` that is never closed."""
        self.text = text
        self._escaped = escaped
        self._pieces = tuple(_pieces(text, escaped=escaped))
        simple = [piece for piece in self._pieces if type(piece) is _Simple]
        self.names: tuple[str, ...] = tuple(dict.fromkeys(tag.inner or tag.name for tag in simple))
        """The names of simple tags; of a tag inside a tag only the inner one, which is what this pass would replace."""
        self._nested = any(tag.before for tag in simple)
        self.expressions: tuple[str, ...] = tuple(
            dict.fromkeys(piece.source or piece.raw for piece in self._pieces if type(piece) is _Expression)
        )
        """The sources of expression tags."""
        self.plain: bool = len(self._pieces) <= 1 and not self.names and not self.expressions
        """Whether there is no tag at all."""

    def stays(self, scope: Scope) -> bool:
        """Whether a render that keeps what cannot be resolved yet leaves every tag as it is; no, where that would take long to tell."""
        return not self.expressions and not self._nested and all(scope.get(name) is MISSING for name in self.names)

    def render(self, scope: Scope, unresolved: Unresolved, chance: Chance, asides: Asides | None = None) -> str:
        """The text with its tags replaced from `scope`.

        Tags that cannot be resolved yet are left as they are, or `unresolved` says otherwise: WAIT raises NotYet for what comes
        from steps and tasks (artifacts excepted), FAIL raises SubstitutionError. With both of these an expression that fails, or
        has no value, although all it reads is there raises SubstitutionError too. It is raised in any case for what can never be
        resolved: an absent optional, a text that is no expression. `asides` takes large values, where a tag is all of a JSON string.
        """
        if self.plain:
            return self.text
        get = scope.get
        escaped = self._escaped
        texts: list[str] = []
        size = 0
        for piece in self._pieces:
            if type(piece) is str:
                text = piece
            elif type(piece) is _Simple:
                value = get(piece.name)
                if type(value) is not str:
                    text = self._unusual(piece, value, scope, unresolved)
                elif asides is not None and len(value) >= LARGE and self._is_alone(len(texts)) and may_be_left_out(value):
                    text = asides.mark(value)
                    size += len(value)
                elif escaped and _needs_escape(value) is not None:
                    text = self._escape(value, piece.offset)
                else:
                    text = value
            else:
                assert type(piece) is _Expression
                text = self._evaluated(piece, scope, unresolved, chance)
            texts.append(text)
            size += len(text)
            if size > MOST_TEXT:
                raise SubstitutionError(self.text, 0, f"template replacement would give more than {MOST_TEXT} characters")
        return "".join(texts)

    def _is_alone(self, index: int) -> bool:
        """Whether a piece is between quotation marks."""
        before, after = (self._pieces[index - 1 : index] or ("",))[0], (self._pieces[index + 1 : index + 2] or ("",))[0]
        return type(before) is str and before.endswith('"') and type(after) is str and after.startswith('"')

    def _unusual(self, tag: _Simple, value: object, scope: Scope, unresolved: Unresolved) -> str:
        """The text for a simple tag whose value is no text: nothing, absent, or a thing."""
        if value is ABSENT:
            raise SubstitutionError(
                self.text,
                tag.offset,
                f"unable to substitute {_shown(tag.kept)}: output is an absent optional (skipped/omitted node with no default)",
            )
        if value is not MISSING:
            if unresolved is not Unresolved.FAIL and ".artifacts." in tag.name:
                return tag.kept  # artifacts are handed over as things, not pasted
            raise SubstitutionError(self.text, tag.offset, f"failed to resolve {_shown(tag.kept)} to string")
        if tag.before:
            inner = scope.get(tag.inner)
            if inner is ABSENT:
                reason = f'unable to substitute nested tag {_shown(tag.kept)}: "{tag.inner}" is an absent optional'
                raise SubstitutionError(self.text, tag.offset, reason)
            if isinstance(inner, str):
                return f"{OPEN}{tag.before}{self._escape(inner, tag.offset) if self._escaped else inner}"
        if unresolved is Unresolved.FAIL:
            raise SubstitutionError(self.text, tag.offset, f"failed to resolve {_shown(tag.kept)}")
        if unresolved is Unresolved.WAIT and tag.waited:
            raise NotYet(tag.name, f"failed to resolve {_shown(tag.kept)}")
        return tag.kept

    def _evaluated(self, tag: _Expression, scope: Scope, unresolved: Unresolved, chance: Chance) -> str:
        """The text for an expression tag (semantics 2.5.3)."""
        try:
            program = tag.program()
        except ExpressionError as error:
            what = "evaluate expression" if tag.source is not None else "unmarshall JSON expression"
            raise SubstitutionError(self.text, tag.offset, f"failed to {what}: {error}") from error
        missing = tag.missing(scope, unresolved)
        if missing:
            self._refuse(tag, missing, unresolved)
            if any(need.postponed or not environment.present(need.path[:1], scope) for need in missing):
                return tag.kept
            if any(need.guarded for need in missing):
                return tag.kept
        try:
            result = program.run(environment.nested(program, scope), chance.child(str(tag.offset)))
            if result is None:
                raise SubstitutionError(
                    self.text, tag.offset, f"failed to evaluate expression {json.dumps(_shown(tag.raw), ensure_ascii=False)}"
                )
            text = gojson.compact(result)
        except (ExpressionError, gojson.Unprintable) as error:
            if missing or unresolved is Unresolved.KEEP:
                return tag.kept
            if isinstance(error, SubstitutionError):
                raise
            what = "evaluate" if isinstance(error, ExpressionError) else "marshal evaluated"
            raise SubstitutionError(self.text, tag.offset, f"failed to {what} expression: {error}") from error
        if text.startswith('"'):
            return text[1:-1] if self._escaped else str(json.loads(text))
        return _encode(text)[1:-1] if self._escaped else text

    def _refuse(self, tag: _Expression, missing: list[_Need], unresolved: Unresolved) -> None:
        """Raise for a missing name where this stage does not let it pass."""
        for need in missing:
            message = f"failed to evaluate expression: {need.key} is missing"
            if unresolved is Unresolved.FAIL:
                raise SubstitutionError(self.text, tag.offset, message)
            if unresolved is Unresolved.WAIT and need.waited:
                raise NotYet(need.key, message)

    def _escape(self, value: str, offset: int) -> str:
        """`value` as the inside of a JSON string; raises for the control characters that Go quotes in a way that JSON does not know."""
        if _needs_escape(value) is None:
            return value
        if scans.unescapable(value):
            reason = "cannot finish template replacement because the result was invalid JSON"
            raise SubstitutionError(self.text, offset, reason)
        return _encode(value)[1:-1]


def compile(text: str) -> Tagged:  # noqa: A001 - used qualified, as `re.compile` is
    """The tags of a JSON text, ready to render; kept for the next time. Raises SubstitutionError for a `{{` without `}}`."""
    if len(text) <= _SMALL:
        return _small(text)
    return _large(text) if len(text) <= _LARGE else Tagged(text)


def render_plain(text: str, scope: Scope, unresolved: Unresolved, chance: Chance) -> str:
    """As `compile(text).render(…)` for text that is not JSON: values are pasted as they are."""
    if OPEN not in text:
        return text
    tagged = _small_plain(text) if len(text) <= _SMALL else Tagged(text, escaped=False)
    return tagged.render(scope, unresolved, chance)


def sole_tag(text: str) -> str | None:
    """The name, where `text` is one simple tag and nothing else."""
    if not (text.startswith(OPEN) and text.endswith(CLOSE)) or len(text) < 4:
        return None
    inner = text[2:-2]
    return None if inner.startswith("=") or OPEN in inner or CLOSE in inner or text.find(CLOSE) != len(text) - 2 else inner.strip()


def _pieces(text: str, *, escaped: bool) -> list[str | _Simple | _Expression]:
    """The scanner of semantics 2.5.1: the first `{{`, then the next `}}`, and all between them is the tag."""
    pieces: list[str | _Simple | _Expression] = []
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        end = text.find(CLOSE, start + 2)
        if end < 0:
            shown = text[start : start + 120]
            reason = f'unable to parse argo variable: Cannot find end tag="{CLOSE}" starting from {json.dumps(shown, ensure_ascii=False)}'
            raise SubstitutionError(text, start, reason)
        if start > position:
            pieces.append(text[position:start])
        raw = text[start + 2 : end]
        pieces.append(_Expression(raw, start, escaped=escaped) if raw.startswith("=") else _Simple(raw, start))
        position = end + 2
    if position < len(text):
        pieces.append(text[position:])
    return pieces


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _unescaped(raw: str) -> str | None:
    """The text that is written as the inside of a JSON string; None where it is not one."""
    try:
        value = json.loads(f'"{raw}"')
    except ValueError:
        return None
    return value if isinstance(value, str) else None


_small = functools.lru_cache(maxsize=4_096)(Tagged)
_large = functools.lru_cache(maxsize=64)(Tagged)


@functools.lru_cache(maxsize=1_024)
def _small_plain(text: str) -> Tagged:
    return Tagged(text, escaped=False)
