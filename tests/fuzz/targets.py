"""What fuzzing asks of the parser and of the expression languages: any bytes give an answer or one of our own errors, soon.

`hunt.py` feeds these with coverage guidance; `test_targets.py` feeds them a small seeded share in every test run.
"""

import time
from datetime import UTC, datetime

from tiphys import manifests
from tiphys.errors import TiphysError
from tiphys.expressions import conditions, depends, durations, expr, gojson, sequences, tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.depends import TaskResult
from tiphys.expressions.expr import parser, printer
from tiphys.expressions.expr.program import BUILTINS
from tiphys.expressions.scope import ABSENT, FlatScope
from tiphys.expressions.tags import Unresolved
from tiphys.manifests import linting
from tiphys.settings import LimitSettings
from tiphys.spec.templates import Sequence

SLOW_SECONDS = 5.0
CHANCE = Chance(now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), seed="fuzz")
SCOPE = FlatScope(
    {
        "inputs.parameters.n": "5",
        "inputs.parameters.list": "[1, 2, 3]",
        "inputs.parameters.text": 'a "quoted" text\n',
        "steps.a.outputs.result": "heads",
        "tasks.b-c.outputs.parameters.x": ABSENT,
        "workflow.name": "wf",
        "item": '{"a": 1}',
    }
)
VARIABLES = {
    "inputs": {"parameters": {"n": "5", "list": "[1, 2, 3]", "text": "some text"}},
    "data": ["a.txt", "b.log", "c"],
    "nums": [3, 1.5, -2, 0],
    "people": [{"name": "Ann", "age": 30}, {"name": "Bob", "age": 25}],
    "nothing": None,
    "yes": True,
}
LIMITS = LimitSettings(file_bytes=1 << 20)


def manifest(data: bytes) -> None:
    """Parse and lint a file of these bytes."""
    report = linting.lint([("fuzz.yaml", data)], limits=LIMITS)
    for diagnostic in report.diagnostics:
        assert diagnostic.line >= 0
        assert manifests.render(diagnostic)


def expression(data: bytes) -> None:
    """Read these bytes as text of each of the languages."""
    kind, text = data[:1], data[1:].decode(errors="replace")
    target = LANGUAGES[kind[0] % len(LANGUAGES)] if kind else _expr
    try:
        target(text)
    except TiphysError:
        return


def _expr(text: str) -> None:
    program = expr.compile(text)
    printed = printer.show(parser.parse(text, BUILTINS))
    assert printer.show(parser.parse(printed, BUILTINS)) == printed, (text, printed)
    value = program.run(VARIABLES, CHANCE)
    gojson.go_format(value)
    gojson.compact(value)


def _tag(text: str) -> None:
    for unresolved in Unresolved:
        tags.render_plain("{{=" + text + "}}", SCOPE, unresolved, CHANCE)


def _template(text: str) -> None:
    for unresolved in Unresolved:
        tags.render_plain(text, SCOPE, unresolved, CHANCE)


def _json_template(text: str) -> None:
    tags.compile(gojson.compact({"a": text})).render(SCOPE, Unresolved.KEEP, CHANCE)


def _condition(text: str) -> None:
    conditions.evaluate(text)


def _depends(text: str) -> None:
    parsed = depends.parse(text)
    result = TaskResult(
        succeeded=True, failed=False, errored=False, skipped=False, omitted=False, daemoned=False, any_succeeded=False, all_failed=False
    )
    assert isinstance(parsed.evaluate(lambda _: result), bool)


def _sequence(text: str) -> None:
    words = [*text.split("\0"), "", "", ""]
    sequences.expand(Sequence(count=words[0] or None, start=words[1] or None, end=words[2] or None, format=words[3]))


def _duration(text: str) -> None:
    durations.humanize(durations.parse_loose(text))


def _json(text: str) -> None:
    try:
        gojson.compact(gojson.parse(text))
    except gojson.InvalidJSON:
        return


LANGUAGES = (_expr, _expr, _tag, _template, _json_template, _condition, _depends, _sequence, _duration, _json)
TARGETS = {"manifests": manifest, "expressions": expression}


def timed(name: str, data: bytes) -> None:
    """One input of a target; slow is wrong."""
    began = time.process_time()
    TARGETS[name](data)
    assert time.process_time() - began < SLOW_SECONDS, f"{name}: slow"
