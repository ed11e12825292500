"""What the expr language says, line by line in corpus.txt."""

import json
import pathlib
from datetime import UTC, datetime

import pytest

from tiphys.expressions import expr
from tiphys.expressions.chance import Chance
from tiphys.expressions.errors import ExpressionError

CHANCE = Chance(now=datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC), seed="seed")
VARIABLES = {
    "inputs": {
        "parameters": {"n": "5", "name": "argo", "my-param": "x", "json": '{"a": [1, 2, {"b": "c"}], "n": 1.5}'},
    },
    "steps": {"a-b": {"outputs": {"result": "heads", "parameters": {"msg": None}}}, "split": {"status": "Succeeded"}},
    "split": {"Succeeded": True},
    "filter": {"Failed": False},
    "map": {"Succeeded": True},
    "item": {"os": "debian", "version": "9.1"},
    "nums": [3, 1, 2],
    "data": ["a.txt", "main.log", "b.txt"],
    "people": [{"name": "Ann", "age": 30}, {"name": "Bob", "age": 25}, {"name": "Cid", "age": 40}],
    "request": {"bodyBytes": b"hi"},
    "lastScheduledTime": datetime(2024, 3, 4, 4, 0, tzinfo=UTC),
}
LINES = pathlib.Path(__file__).with_name("corpus.txt").read_text(encoding="utf-8").splitlines()
CASES = [line.split(" ⇒ ", 1) for line in LINES if " ⇒ " in line and not line.startswith("# One case")]


def typed(value: object) -> object:
    """The value with its kinds written out, so that 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize(("source", "wanted"), CASES, ids=[source for source, _ in CASES])
def test_each_line_of_the_corpus(source: str, wanted: str) -> None:
    if wanted.startswith("error: "):
        with pytest.raises(ExpressionError) as caught:
            expr.compile(source).run(VARIABLES, CHANCE)
        assert wanted.removeprefix("error: ") in str(caught.value)
        return
    assert typed(expr.compile(source).run(VARIABLES, CHANCE)) == typed(json.loads(wanted))
