"""`depends` and `dependencies`: which ends of which tasks let a task run (semantics 2.6.3).

Only `&&`, `||`, `!`, `==`, `!=` and brackets; every bare word is the name of a task (gotcha 17). A condition is kept in the order of
work (operands first), so that evaluating it is one loop, whatever its depth. Whether the tasks it names exist is for others to say.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from tiphys.expressions.errors import ExpressionError
from tiphys.spec.templates import ContinueOn


class DependsError(ExpressionError):
    """The `depends` cannot be evaluated. The text of the error is Argo's; `caret()` shows the place."""

    def __str__(self) -> str:
        return self.reason


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended. `any_succeeded` and `all_failed` speak of the children of a loop."""

    succeeded: bool = False
    failed: bool = False
    errored: bool = False
    skipped: bool = False
    omitted: bool = False
    daemoned: bool = False
    any_succeeded: bool = False
    all_failed: bool = False


RESULTS: Final[Mapping[str, Callable[[TaskResult], bool]]] = {
    "Succeeded": lambda result: result.succeeded,
    "Failed": lambda result: result.failed,
    "Errored": lambda result: result.errored,
    "Skipped": lambda result: result.skipped,
    "Omitted": lambda result: result.omitted,
    "Daemoned": lambda result: result.daemoned,
    "AnySucceeded": lambda result: result.any_succeeded,
    "AllFailed": lambda result: result.all_failed,
}
"""The words that may follow a task's name, and what they ask."""

OF_ITEMS: Final = frozenset({"AnySucceeded", "AllFailed"})
MOST_TEXT: Final = 1_000_000

_TOKEN = re.compile(
    r"(?P<task>[a-zA-Z0-9][-a-zA-Z0-9]*)(?:\.(?P<result>[A-Z][a-zA-Z]+)(?![-a-zA-Z0-9.])|(?P<odd>\.[-.a-zA-Z0-9]*))?"
    r"|(?P<operator>&&|\|\||==|!=|!|\(|\))"
    r"|(?P<blank>\s+)"
)
_LEVELS: Final = {"||": 1, "&&": 2, "==": 3, "!=": 3, "!": 4}
_SPELLED: Final = frozenset({"and", "or", "not", "true", "false"})


PLAIN = ("Succeeded", "Skipped", "Daemoned")
"""What a bare name means."""


class Term(NamedTuple):
    """One operand: the task and the results any of which makes it true."""

    task: str
    results: tuple[str, ...]

    def holds(self, result: TaskResult) -> bool:
        """Whether the task ended so."""
        return any(RESULTS[name](result) for name in self.results)

    def __str__(self) -> str:
        texts = [f"{self.task}.{name}" for name in self.results]
        return texts[0] if len(texts) == 1 else f"({' || '.join(texts)})"


class Depends:
    """A condition over the results of tasks. `tasks` are their names in the order of the text, each once."""

    __slots__ = ("_steps", "_text", "items", "tasks")

    def __init__(self, text: str | None, steps: tuple[Term | str, ...], bare: tuple[str, ...] | None = None) -> None:
        """`text` is the condition with its bare names expanded (None: all terms with `&&` between); `steps` are terms and operators,
        operands first. `bare`: the tasks, where nothing but bare names is in it.
        """
        self._text = text
        self._steps = steps
        if bare is not None:
            self.tasks: tuple[str, ...] = tuple(dict.fromkeys(bare)) if len(bare) > 1 else bare
            self.items: tuple[str, ...] = ()
            return
        terms = [step for step in steps if isinstance(step, Term)]
        self.tasks = tuple(dict.fromkeys(term.task for term in terms))
        self.items = tuple(dict.fromkeys(term.task for term in terms if not OF_ITEMS.isdisjoint(term.results)))
        """The tasks that must be loops, for their children's results are asked."""

    @property
    def text(self) -> str:
        """The condition with its bare names expanded."""
        if self._text is None:
            self._text = " && ".join(str(step) for step in self._steps if isinstance(step, Term))
        return self._text

    def evaluate(self, results: Callable[[str], TaskResult]) -> bool:
        """Whether the condition holds, given how each of `tasks` ended; without any it does."""
        stack: list[bool] = []
        for step in self._steps:
            if isinstance(step, Term):
                stack.append(step.holds(results(step.task)))
            elif step == "!":
                stack.append(not stack.pop())
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_applied(step, left, right))
        return stack.pop() if stack else True


class _Token(NamedTuple):
    symbol: str
    task: str
    result: str
    at: int


def parse(text: str, continue_on: Mapping[str, ContinueOn] | None = None) -> Depends:
    """The condition that `text` means.

    A bare `A` means `A.Succeeded || A.Skipped || A.Daemoned`, and `|| A.Errored`, `|| A.Failed` where `continue_on` says so for it.
    Raises DependsError.
    """
    continue_on = continue_on or {}
    steps: list[Term | str] = []
    spelled: list[str] = []
    waiting: list[tuple[str, int]] = []
    before: _Token | None = None
    for token in _tokens(text):
        operand = before is None or before.symbol not in {"", ")"}
        if operand is not (token.symbol in {"", "(", "!"}):
            raise _misplaced(text, before, token)
        if not token.symbol:
            term = Term(token.task, (token.result,)) if token.result else _bare(token.task, continue_on)
            steps.append(term)
            spelled.append(str(term))
        else:
            spelled.append(token.symbol)
            _operate(text, token, steps, waiting)
        before = token
    if before is not None and before.symbol not in {"", ")"}:
        raise _invalid(text, len(text), "unexpected token EOF")
    for symbol, at in reversed(waiting):
        if symbol == "(":
            raise _invalid(text, at, "unclosed bracket")
        steps.append(symbol)
    return Depends(_joined(spelled), tuple(steps))


def from_dependencies(names: Iterable[str], continue_on: Mapping[str, ContinueOn] | None = None) -> Depends:
    """`dependencies: [A, B]`, which is `depends: A && B`."""
    names = tuple(names)
    steps: list[Term | str] = []
    for name in names:
        steps.append(_bare(name, continue_on or {}))
        if len(steps) > 1:
            steps.append("&&")
    return Depends(None, tuple(steps), names)


def _bare(name: str, continue_on: Mapping[str, ContinueOn]) -> Term:
    tolerated = continue_on.get(name)
    if tolerated is None:
        return Term(name, PLAIN)
    errored = ("Errored",) if tolerated.error else ()
    failed = ("Failed",) if tolerated.failed else ()
    return Term(name, (*PLAIN, *errored, *failed))


@functools.lru_cache(maxsize=256)
def _short_tokens(text: str) -> tuple[_Token, ...]:
    return _read(text)


def _tokens(text: str) -> tuple[_Token, ...]:
    return _short_tokens(text) if len(text) <= 4_096 else _read(text)


def _read(text: str) -> tuple[_Token, ...]:
    if len(text) > MOST_TEXT:
        raise DependsError(text[:200], 0, f"depends of {len(text)} characters; the most is {MOST_TEXT}")
    found: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(text, position, f"unrecognized character: U+{ord(text[position]):04X} {text[position]!r}")
        if match["odd"] is not None:
            word = match["odd"][1:].partition(".")[0]
            raise DependsError(text, match.start("odd"), f"dependency '{word}' not defined")
        if match["result"] is not None and match["result"] not in RESULTS:
            reason = f"task result '{match['result']}' for task '{match['task']}' is invalid"
            raise DependsError(text, match.start("result"), reason)
        if match["blank"] is None:
            found.append(_Token(match["operator"] or "", match["task"] or "", match["result"] or "", position))
        position = match.end()
    return tuple(found)


def _operate(text: str, token: _Token, steps: list[Term | str], waiting: list[tuple[str, int]]) -> None:
    """Take an operator or a bracket: what binds at least as tightly and stands before it is done first."""
    symbol = token.symbol
    if symbol == ")":
        while waiting and waiting[-1][0] != "(":
            steps.append(waiting.pop()[0])
        if not waiting:
            raise _invalid(text, token.at, 'unexpected token Bracket(")")')
        waiting.pop()
        return
    if symbol not in {"(", "!"}:
        level = _LEVELS[symbol]
        while waiting and waiting[-1][0] != "(" and _LEVELS[waiting[-1][0]] >= level:
            steps.append(waiting.pop()[0])
    waiting.append((symbol, token.at))


def _applied(symbol: str, left: bool, right: bool) -> bool:
    match symbol:
        case "&&":
            return left and right
        case "||":
            return left or right
        case "==":
            return left is right
        case _:
            return left is not right


def _misplaced(text: str, before: _Token | None, token: _Token) -> DependsError:
    for word in (before, token):
        if word is not None and word.task in _SPELLED and not word.result:
            return DependsError(text, word.at, f"dependency '{word.task}' not defined")
    shown = token.symbol or token.task
    kind = "Identifier" if not token.symbol else "Bracket" if token.symbol in {"(", ")"} else "Operator"
    return _invalid(text, token.at, f'unexpected token {kind}("{shown}")')


def _invalid(text: str, at: int, reason: str) -> DependsError:
    shown = text if len(text) <= 500 else text[:500] + "…"
    return DependsError(text, at, f"unable to evaluate expression '{shown}': {reason}")


def _joined(spelled: list[str]) -> str:
    return " ".join(spelled).replace("( ", "(").replace(" )", ")").replace("! ", "!")
