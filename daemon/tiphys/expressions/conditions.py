"""`when`: conditions in the language of Argo's govaluate (semantics 2.6.2), on text in which all tags are replaced already.

Not the expr language: bare words are text, equality is strict about types (`5 == '5'` is false), quoted text that looks like a date
is a moment. The tokens become a flat program for a small stack machine, with jumps where an operator need not look at its right
side: no depth of brackets costs more than their length, and nothing here calls itself.
"""

import enum
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, assert_never

from tiphys.expressions import condition_operators as operators
from tiphys.expressions import condition_tokens as lexer
from tiphys.expressions.condition_tokens import Kind, Token
from tiphys.expressions.errors import ExpressionError

MOST_WORK: Final = 16_000_000
"""The most characters that all `+` of one condition may make."""

_HINT: Final = ' (hint: try wrapping the affected expression in quotes ("))'
_KEPT: Final = 4_096
_KEPT_LENGTH: Final = 512
_SHOWN: Final = 2_000


class ConditionError(ExpressionError):
    """The condition cannot be evaluated. The text of the error is Argo's; `caret()` shows the place."""

    def __str__(self) -> str:
        return self.reason


def evaluate(text: str, *, bare_words: bool = True) -> bool:
    """Whether the condition holds; an empty text does. `bare_words=False` is the form of cron's `when`, where words are errors.

    Raises ConditionError for what is not a condition, cannot be evaluated, or gives something other than a boolean.
    """
    if not text:
        return True
    return _kept(text, bare_words) if len(text) <= _KEPT_LENGTH else _evaluated(text, bare_words)


class _Do(enum.Enum):
    PUSH = enum.auto()
    FAIL = enum.auto()
    PREFIX = enum.auto()
    SKIP = enum.auto()
    APPLY = enum.auto()


class _Step(NamedTuple):
    """One instruction; `target` is where SKIP goes on."""

    do: _Do
    value: object
    at: int
    target: int = 0


class _Waiting(NamedTuple):
    """An operator, or an opening bracket, whose right side is still being read. `skip` is the index of its jump."""

    symbol: str
    level: int
    at: int
    skip: int = -1


def _evaluated(text: str, bare_words: bool) -> bool:
    wording = "Invalid 'when' expression"
    try:
        found = lexer.tokens(text)
        lexer.check(found, len(text))
        _check_patterns(found)
        if bare_words:
            wording = "Failed to parse 'when' expression"
            found = [token._replace(kind=Kind.STRING) if token.kind is Kind.VARIABLE else token for token in found]
            lexer.check(found, len(text))
            _check_patterns(found)
    except lexer.Unreadable as error:
        hint = _HINT if "Invalid token" in error.reason else ""
        detail = _short(error.reason)
        reason = f"{wording} '{_short(text)}': {detail}{hint}" if bare_words else detail
        raise ConditionError(text, error.at, reason) from None
    result = _run(_program(found), text, bare_words)
    if not isinstance(result, bool):
        raise ConditionError(text, 0, f"Expected boolean evaluation for '{_short(text)}'. Got {_short(operators.printed(result))}")
    return result


_kept = functools.lru_cache(maxsize=_KEPT)(_evaluated)


def _check_patterns(found: Sequence[Token]) -> None:
    """A regular expression that is written out is looked at before anything is evaluated."""
    for sign, following in itertools.pairwise(found):
        if sign.value in {"=~", "!~"} and sign.kind is Kind.COMPARATOR and following.kind is Kind.STRING:
            try:
                operators.pattern(str(following.value))
            except operators.Refused as error:
                raise lexer.Unreadable(str(error).partition("': ")[2], following.at) from None


def _program(found: Sequence[Token]) -> list[_Step]:
    """The condition as instructions in the order of work: operands first, then what is done to them."""
    steps: list[_Step] = []
    waiting: list[_Waiting] = []
    empty = True  # no operand has been read since the last operator
    remaining = iter(found)
    for token in remaining:
        match token.kind:
            case Kind.NUMERIC | Kind.BOOLEAN | Kind.STRING | Kind.TIME:
                steps.append(_Step(_Do.PUSH, token.value, token.at))
                empty = False
            case Kind.VARIABLE | Kind.ACCESSOR:
                name = token.value[0] if isinstance(token.value, tuple) else token.value
                steps.append(_Step(_Do.FAIL, f"No parameter '{name}' found.", token.at))
                empty = False
            case Kind.PREFIX:
                waiting.append(_Waiting(str(token.value), operators.PREFIX_LEVEL, token.at))
            case Kind.CLAUSE if not empty:  # the arguments of a method, which can belong to no parameter
                _skip_arguments(remaining)
            case Kind.CLAUSE:
                waiting.append(_Waiting("(", -1, token.at))
            case Kind.CLAUSE_CLOSE:
                if empty:
                    steps.append(_Step(_Do.PUSH, None, token.at))
                _settle(steps, waiting, 0)
                if waiting:
                    waiting.pop()
                empty = False
            case Kind.COMPARATOR | Kind.LOGICALOP | Kind.MODIFIER | Kind.TERNARY | Kind.SEPARATOR:
                if empty:
                    steps.append(_Step(_Do.PUSH, None, token.at))
                symbol = str(token.value)
                level = operators.LEVELS[symbol]
                _settle(steps, waiting, level)
                waiting.append(_Waiting(symbol, level, token.at, len(steps)))
                steps.append(_Step(_Do.SKIP, symbol, token.at))
                empty = True
            case Kind.UNKNOWN:
                raise AssertionError("no token is of this kind")
            case unreachable:
                assert_never(unreachable)
    _settle(steps, waiting, -1)
    return steps


def _settle(steps: list[_Step], waiting: list[_Waiting], level: int) -> None:
    """Emit the operators that bind at least as tightly as `level`, back to the last opening bracket."""
    while waiting and waiting[-1].level >= level and waiting[-1].symbol != "(":
        top = waiting.pop()
        if top.skip < 0:
            steps.append(_Step(_Do.PREFIX, top.symbol, top.at))
        else:
            steps.append(_Step(_Do.APPLY, top.symbol, top.at))
            steps[top.skip] = steps[top.skip]._replace(target=len(steps))


def _skip_arguments(remaining: Iterator[Token]) -> None:
    depth = 1
    for token in remaining:
        depth += (token.kind is Kind.CLAUSE) - (token.kind is Kind.CLAUSE_CLOSE)
        if depth == 0:
            return


def _run(steps: Sequence[_Step], text: str, bare_words: bool) -> object:
    stack: list[object] = []
    position = work = 0
    while position < len(steps):
        step = steps[position]
        position += 1
        try:
            match step.do:
                case _Do.PUSH:
                    stack.append(step.value)
                case _Do.FAIL:
                    raise operators.Refused(str(step.value))
                case _Do.PREFIX:
                    stack.append(operators.prefix(str(step.value), stack.pop()))
                case _Do.SKIP:
                    if operators.skips(str(step.value), stack[-1]):
                        stack.append(operators.skipped(str(step.value), stack.pop()))
                        position = step.target
                case _Do.APPLY:
                    right = stack.pop()
                    result = operators.apply(str(step.value), stack.pop(), right)
                    stack.append(result)
                    work += len(result) if isinstance(result, str) else 0
                    if work > MOST_WORK:
                        raise operators.Refused(f"more than {MOST_WORK} characters of text would be made")
                case unreachable:
                    assert_never(unreachable)
        except (operators.Refused, RecursionError) as error:
            detail = "lists are nested too deeply" if isinstance(error, RecursionError) else str(error)
            reason = f"Failed to evaluate 'when' expresion '{_short(text)}': {_short(detail)}" if bare_words else detail
            raise ConditionError(text, step.at, reason) from None
    return stack.pop() if stack else None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
