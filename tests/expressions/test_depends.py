"""`depends`: which results of which tasks let a task run, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import depends
from tiphys.expressions.depends import TaskResult
from tiphys.spec.templates import ContinueOn

SUCCEEDED = TaskResult(succeeded=True)
FAILED = TaskResult(failed=True)
ERRORED = TaskResult(errored=True)
SKIPPED = TaskResult(skipped=True)
OMITTED = TaskResult(omitted=True)
DAEMONED = TaskResult(daemoned=True)


def attempt(text):
    """The condition, or why it is none."""
    try:
        return depends.parse(text)
    except depends.DependsError as error:
        return error


def holds(text, **results):
    return depends.parse(text).evaluate(lambda name: results[name.replace("-", "_")])


@pytest.mark.parametrize(
    ("text", "results", "expected"),
    [
        ("A", {"A": SUCCEEDED}, True),
        ("A", {"A": SKIPPED}, True),
        ("A", {"A": DAEMONED}, True),
        ("A", {"A": FAILED}, False),
        ("A", {"A": ERRORED}, False),
        ("A", {"A": OMITTED}, False),
        ("A.Succeeded", {"A": SKIPPED}, False),
        ("A.Failed", {"A": FAILED}, True),
        ("A.Errored", {"A": ERRORED}, True),
        ("A.Skipped", {"A": SKIPPED}, True),
        ("A.Omitted", {"A": OMITTED}, True),
        ("A.Daemoned", {"A": DAEMONED}, True),
        ("A.AnySucceeded", {"A": TaskResult(failed=True, any_succeeded=True)}, True),
        ("A.AllFailed", {"A": TaskResult(failed=True, all_failed=True)}, True),
        ("A.AllFailed", {"A": FAILED}, False),
        ("!A.Succeeded", {"A": FAILED}, True),
        ("!A", {"A": SKIPPED}, False),
        ("!!A", {"A": SKIPPED}, True),
        ("A && B", {"A": SUCCEEDED, "B": FAILED}, False),
        ("A || B", {"A": SUCCEEDED, "B": FAILED}, True),
        ("A && !B", {"A": SUCCEEDED, "B": FAILED}, True),
        ("A || B && C", {"A": SUCCEEDED, "B": FAILED, "C": FAILED}, True),
        ("(A || B) && C", {"A": SUCCEEDED, "B": FAILED, "C": FAILED}, False),
        ("A == B", {"A": FAILED, "B": ERRORED}, True),
        ("A != B", {"A": FAILED, "B": SUCCEEDED}, True),
        ("!A == B", {"A": FAILED, "B": SUCCEEDED}, True),
        ("A && B == C", {"A": SUCCEEDED, "B": FAILED, "C": FAILED}, True),
        ("A.Succeeded||(B.Succeeded&&C)", {"A": FAILED, "B": SUCCEEDED, "C": SKIPPED}, True),
        ("split && map && filter", {"split": SUCCEEDED, "map": SUCCEEDED, "filter": SKIPPED}, True),
        ("odd-or-even.Succeeded", {"odd_or_even": SUCCEEDED}, True),
        ("true.Succeeded", {"true": SUCCEEDED}, True),
        ("5A", {"5A": SUCCEEDED}, True),
        (" \n A \t", {"A": SUCCEEDED}, True),
        ("", {}, True),
    ],
)
def test_conditions(text, results, expected):
    assert holds(text, **results) is expected


@pytest.mark.parametrize(
    ("tolerated", "errored", "failed"),
    [
        (None, False, False),
        (ContinueOn(), False, False),
        (ContinueOn(error=True), True, False),
        (ContinueOn(failed=True), False, True),
        (ContinueOn(error=True, failed=True), True, True),
    ],
)
def test_continue_on_widens_bare_names_only(tolerated, errored, failed):
    continue_on = {} if tolerated is None else {"A": tolerated}
    for condition in (depends.parse("A", continue_on), depends.from_dependencies(["A"], continue_on)):
        assert condition.evaluate(lambda _: ERRORED) is errored
        assert condition.evaluate(lambda _: FAILED) is failed
        assert not condition.evaluate(lambda _: OMITTED)
    assert not depends.parse("A.Succeeded", continue_on).evaluate(lambda _: FAILED)


def test_what_a_condition_says_of_itself():
    condition = depends.parse("b-1 && (A.Failed || !c.AnySucceeded) && b-1.AllFailed", {"b-1": ContinueOn(failed=True)})
    assert condition.tasks == ("b-1", "A", "c")
    assert condition.items == ("c", "b-1")
    assert condition.text == (
        "(b-1.Succeeded || b-1.Skipped || b-1.Daemoned || b-1.Failed) && (A.Failed || !c.AnySucceeded) && b-1.AllFailed"
    )


def test_dependencies_are_all_wanted():
    condition = depends.from_dependencies(["A", "B", "C"])
    assert condition.tasks == ("A", "B", "C")
    assert condition.text == depends.parse("A && B && C").text
    assert condition.evaluate(lambda _: SUCCEEDED)
    assert not condition.evaluate(lambda name: FAILED if name == "B" else SUCCEEDED)
    assert depends.from_dependencies([]).evaluate(lambda _: FAILED)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("A and B", "dependency 'and' not defined", 2),
        ("A or B", "dependency 'or' not defined", 2),
        ("not A", "dependency 'not' not defined", 0),
        ("A.succeeded", "dependency 'succeeded' not defined", 1),
        ("A.S", "dependency 'S' not defined", 1),
        ("A.Succeeded.Failed", "dependency 'Succeeded' not defined", 1),
        ("A.Foo", "task result 'Foo' for task 'A' is invalid", 2),
        ("A B", "unable to evaluate expression 'A B': unexpected token Identifier(\"B\")", 2),
        ("A &&", "unable to evaluate expression 'A &&': unexpected token EOF", 4),
        ("&& A", "unable to evaluate expression '&& A': unexpected token Operator(\"&&\")", 0),
        ("A && || B", "unable to evaluate expression 'A && || B': unexpected token Operator(\"||\")", 5),
        ("A ! B", "unable to evaluate expression 'A ! B': unexpected token Operator(\"!\")", 2),
        ("(A", "unable to evaluate expression '(A': unclosed bracket", 0),
        ("A)", "unable to evaluate expression 'A)': unexpected token Bracket(\")\")", 1),
        ("()", "unable to evaluate expression '()': unexpected token Bracket(\")\")", 1),
        ("'5A'", "unable to evaluate expression ''5A'': unrecognized character: U+0027 \"'\"", 0),
        ("a_b", "unable to evaluate expression 'a_b': unrecognized character: U+005F '_'", 1),
        ("A & B", "unable to evaluate expression 'A & B': unrecognized character: U+0026 '&'", 2),
        ("-A", "unable to evaluate expression '-A': unrecognized character: U+002D '-'", 0),
    ],
)
def test_what_is_refused_says_why_and_where(text, message, offset):
    with pytest.raises(depends.DependsError) as caught:
        depends.parse(text)
    assert str(caught.value) == message
    assert caught.value.offset == offset
    assert caught.value.caret().endswith("^")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000 + "A" + ")" * 50_000,
        "!" * 50_000 + "A",
        " && ".join(f"A{i}" for i in range(20_000)),
        "(" * 100_000,
        "a-" * 100_000,
        "x" * 2_000_000,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_text_ends_in_an_answer_or_a_complaint(text):
    found = attempt(text)
    assert len(str(found)) < 1_000 if isinstance(found, depends.DependsError) else found.evaluate(lambda _: SUCCEEDED)


@given(st.text(max_size=30) | st.text(alphabet="AB.ab-01 !&|=()Succeeded", max_size=30))
def test_any_text_is_a_condition_or_refused(text):
    found = attempt(text)
    if isinstance(found, depends.DependsError):
        assert 0 <= found.offset <= len(text)
    else:
        assert found.evaluate(lambda _: SUCCEEDED) in {True, False}
        assert depends.parse(found.text).tasks == found.tasks


terms = st.sampled_from(["A.Succeeded", "B.Failed", "C.Skipped"])
trees = st.recursive(
    terms,
    lambda inner: st.tuples(inner, st.sampled_from(["&&", "||", "==", "!="]), inner) | st.tuples(st.just("!"), inner),
    max_leaves=8,
)


@given(trees, st.booleans(), st.booleans(), st.booleans())
def test_logic_agrees_with_python(tree, first, second, third):
    results = {"A": TaskResult(succeeded=first), "B": TaskResult(failed=second), "C": TaskResult(skipped=third)}

    def spell(node):
        if isinstance(node, str):
            return node
        return f"!({spell(node[1])})" if len(node) == 2 else f"({spell(node[0])}) {node[1]} ({spell(node[2])})"

    text = spell(tree)
    python = text.replace("!=", "<>").replace("!", " not ").replace("<>", "!=").replace("&&", " and ").replace("||", " or ")
    for name, value in (("A.Succeeded", first), ("B.Failed", second), ("C.Skipped", third)):
        python = python.replace(name, str(value))
    assert depends.parse(text).evaluate(results.__getitem__) is eval(python)
