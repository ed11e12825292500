"""Laws of the expr language: what is printed parses to the same tree, and hostile text ends soon, in an ExpressionError."""

import contextlib
import json
import string
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.expressions import expr
from tiphys.expressions.chance import Chance
from tiphys.expressions.errors import ConditionError, ExpressionError
from tiphys.expressions.expr import argo, builtins, grammar, limits, printer, sprig, tree
from tiphys.expressions.expr.program import BUILTINS

CHANCE = Chance(now=datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC), seed="seed")


def run(source: str, /, **variables: object) -> object:
    return expr.compile(source).run(variables, CHANCE)


# --- printing

_WORDS = {"nil", "true", "false", "in", "or", "and", "not", "matches", "contains", "let", "if", "else"}
names = st.text(string.ascii_letters + "_", min_size=1, max_size=4).filter(lambda name: name not in _WORDS | BUILTINS)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
leaves = st.one_of(
    st.just(tree.Nil()),
    st.booleans().map(tree.Boolean),
    st.integers(0, (1 << 63) - 1).map(tree.Integer),
    st.floats(0, allow_infinity=False, allow_nan=False).map(abs).map(tree.Float),
    texts.map(tree.String),
    names.map(tree.Name),
)


def inner(nodes: st.SearchStrategy[tree.Node]) -> st.SearchStrategy[tree.Node]:
    some = st.lists(nodes, max_size=3).map(tuple)
    keys = st.one_of(names.map(tree.String), texts.map(tree.String), nodes)
    within = st.one_of(nodes, st.sampled_from(["", "index"]).map(tree.Pointer))
    links = st.lists(st.tuples(st.sampled_from(["member", "slice", "call"]), keys, some, st.booleans()), min_size=1, max_size=3)
    return st.one_of(
        st.builds(tree.Unary, st.sampled_from(["!", "-", "+"]), nodes),
        st.builds(
            tree.Binary, st.sampled_from(sorted({grammar.SPELLINGS.get(name, name) for name in grammar.BINARY} - {"|"})), nodes, nodes
        ),
        st.builds(access, nodes, links),
        st.builds(tree.Call, names.map(tree.Name), some),
        st.builds(tree.Builtin, st.sampled_from(["len", "upper", "concat"]), some),
        st.builds(lambda array, body: tree.Builtin("filter", (array, tree.Predicate(body))), nodes, within),
        st.builds(tree.Conditional, nodes, nodes, nodes),
        st.builds(tree.Let, names, nodes, nodes),
        st.lists(nodes, min_size=2, max_size=3).map(tuple).map(tree.Sequence),
        some.map(tree.Array),
        st.lists(st.tuples(keys, nodes), max_size=3).map(tuple).map(tree.Map),
    )


def access(target: tree.Node, links: list[tuple[str, tree.Node, tuple[tree.Node, ...], bool]]) -> tree.Node:
    """A postfix expression as the parser builds it: one Chain around all links where any of them is `?.`."""
    node = target
    for kind, key, items, optional in links:
        if kind == "slice":
            node = tree.Slice(node, *(*items, None, None)[:2])
            continue
        node = tree.Member(node, key, optional)
        if kind == "call":
            node = tree.Call(node, items)
    return tree.Chain(node) if any(kind != "slice" and optional for kind, _key, _items, optional in links) else node


def chained(node: tree.Node) -> bool:
    """Whether a `?.` link stands right below another access, where the parser would join both chains."""
    match node:
        case tree.Member(target=target) | tree.Slice(target=target) | tree.Call(callee=target) | tree.Chain(body=target):
            return isinstance(target, tree.Member | tree.Slice | tree.Call) or any(map(chained, tree.children(node)))
    return any(map(chained, tree.children(node)))


@settings(max_examples=400, deadline=None)
@given(st.recursive(leaves, inner, max_leaves=12))
def test_what_is_printed_parses_to_the_same_tree(node: tree.Node) -> None:
    once = expr.parse(printer.show(node))
    if not chained(node):
        assert once == node
    assert expr.parse(printer.show(once)) == once


@pytest.mark.parametrize(
    "source",
    [
        "a?.b.c[0]?.d(1)[1:]",
        "(a?.b).c",
        "(a; b) + (let x = 1; x)",
        "let x = (let y = 1; y); x; 2",
        "a < b < c == !d ** -e",
        "(a ?? b) + c ?? d",
        "[1, 2] | filter({# > 1; .x}) | map(#acc)",
        'x not in {a: 1, "b c": 2, (d): {}}',
        "reduce(a, {{k: #acc}}, 1..2)",
        "sortBy(a, .b, 'desc') ? a ? 1 : 2 : if c { 1 } else { 2 }",
    ],
)
def test_handwritten_expressions_survive_printing(source: str) -> None:
    node = expr.parse(source)
    assert expr.parse(printer.show(node)) == node


# --- what a program reads

REFERENCES = {
    "tasks.a.outputs.result": ({"tasks.a.outputs.result"}, set()),
    "tasks['a-b'].x + tasks.c": ({"tasks.a-b.x", "tasks.c"}, set()),
    "steps.a?.outputs.x": ({"steps.a.outputs.x"}, {"steps.a.outputs.x"}),
    "steps.a.x ?? steps.b.y": ({"steps.a.x", "steps.b.y"}, {"steps.a.x"}),
    "(steps.a.x ?? 1) + steps.a.x": ({"steps.a.x"}, set()),
    "upper(steps.a.x ?? '') ?? b": ({"steps.a.x", "b"}, {"steps.a.x"}),
    "let x = item.a; x.b + y.c": ({"item.a", "y.c"}, set()),
    "(let x = 1; x) + x": ({"x"}, set()),
    "filter(data, #.a > .b && c.d)": ({"data", "c.d"}, set()),
    "inputs.parameters[name].x": ({"inputs.parameters", "name"}, set()),
    "nums[0].x": ({"nums"}, set()),
    "nums[1:].x": ({"nums"}, set()),
    "sprig.upper(item) + asInt(n) + len(m)": ({"item", "n", "m"}, set()),
    "(now() - cron.last).Seconds() > 3": ({"cron.last"}, set()),
    "cron.last.Format('x')": ({"cron.last"}, set()),
    "cron?.last.Format('x')": ({"cron.last"}, {"cron.last"}),
    "$env.a.b": ({"a.b"}, set()),
    "{a: b.c, (d): 1}": ({"b.c", "d"}, set()),
    "fromJSON(item).k.l": ({"item"}, set()),
    "split.Succeeded && map.Failed": ({"split.Succeeded", "map.Failed"}, set()),
    "a['b'].c ? d : e": ({"a.b.c", "d", "e"}, set()),
    "'text' + \"x\"": (set(), set()),
}


@pytest.mark.parametrize("source", REFERENCES)
def test_the_variables_a_program_reads_are_known_without_running_it(source: str) -> None:
    program = expr.compile(source)
    found = {".".join(path) for path in program.references}, {".".join(path) for path in program.optional}
    assert found == REFERENCES[source]


# --- hostile text

DEEP = [
    "(" * 40_000,
    "(" * 40_000 + "1" + ")" * 40_000,
    "[" * 40_000,
    "{a:" * 10_000,
    "-" * 40_000 + "1",
    "!" * 5_000 + "true",
    "not " * 5_000 + "true",
    "1" + "+1" * 5_000,
    "1" + "+1" * 100_000,
    "1" + "**1" * 5_000,
    "a" + ".a" * 5_000,
    "a" + "?.a" * 5_000,
    "a" + "[0]" * 5_000,
    "len(" * 5_000,
    "map([1]," * 2_000 + "#",
    "true ? " * 5_000 + "1",
    "true ? 1 : " * 5_000 + "1",
    "let a = 1; " * 5_000 + "1",
    "let a = " * 5_000,
    "if true { " * 5_000,
    "1 | " * 5_000,
    "'a' | upper()" + " | upper()" * 5_000,
    "1 < 2" + " < 3" * 5_000,
    "[" + "1," * 100_000 + "]",
    "x" * (limits.MAX_SOURCE + 1),
    "/*" * 100_000,
    '"' + "\\" * 100_001,
]


@pytest.mark.parametrize("source", DEEP, ids=[source[:12] for source in DEEP])
def test_too_deep_or_too_long_an_expression_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        run(source)
    assert len(str(caught.value)) < 500


HEAVY = {
    "1..1000000000": "memory budget exceeded",
    "map(1..1000000, # * 2)": "evaluation budget exceeded",
    "map(1..1000, map(1..1000, map(1..1000, 1)))": "evaluation budget exceeded",
    "repeat('x', 1000000000)": "memory budget exceeded",
    "sprig.repeat(1000000000, 'x')": "memory budget exceeded",
    "repeat(repeat('ab', 10000), 10000)": "memory budget exceeded",
    "reduce(1..100, #acc + #acc, 'x')": "budget exceeded",
    "reduce(1..100, [#acc, #acc], 1)": "budget exceeded",
    "reduce(1..100, [#acc, #acc], 1) | toJSON()": "budget exceeded",
    "reduce(1..100, [#acc, #acc], 1) | string()": "budget exceeded",
    "reduce(1..100, [#acc, #acc], 1) | flatten()": "budget exceeded",
    "reduce(1..60, [#acc, #acc], 1) == reduce(1..60, [#acc, #acc], 1)": "budget exceeded",
    "reduce(1..100, concat(#acc, #acc), [1])": "budget exceeded",
    "reduce(1..5000, [#acc], 1)": "nested too deeply",
    "reduce(1..5000, [#acc], 1) | toJSON()": "nested too deeply",
    "reduce(1..5000, [#acc], 1) == reduce(1..5000, [#acc], 1)": "nested too deeply",
    "sprig.deepEqual(reduce(1..5000, [#acc], 1), reduce(1..5000, [#acc], 1))": "nested too deeply",
    "let d = sprig.dict(); sprig.set(d, 'd', d); d": "nested too deeply",
    "let d = sprig.dict(); sprig.set(d, 'd', d); toJson(d)": "nested too deeply",
    "replace(repeat('a', 100000), 'a', repeat('b', 100000))": "memory budget exceeded",
    "join(map(1..1000, repeat('x', 100000)), '')": "budget exceeded",
    "split(repeat('a', 2000000), '')": "memory budget exceeded",
    "sprig.seq(1000000000)": "memory budget exceeded",
    "sprig.until(1000000000)": "memory budget exceeded",
    "sprig.untilStep(0, 1000000000, 1)": "memory budget exceeded",
    "sprig.randAlphaNum(1000000000)": "memory budget exceeded",
    "sprig.randBytes(1000000000)": "memory budget exceeded",
    "sprig.indent(1000000000, 'x')": "memory budget exceeded",
    "sprig.wrapWith(1, repeat('x', 10000), repeat('y', 10000))": "budget exceeded",
    "sprig.regexReplaceAll('', repeat('a', 100000), repeat('b', 100000))": "budget exceeded",
    "uniq(map(1..5000, [#]))": "budget exceeded",
    "map(1..10, sprig.derivePassword(1, 'long', 'p', 'u', 's'))": "budget exceeded",
    "fromJSON(repeat('[', 100000))": "exceeded max depth",
    "fromJSON(repeat('[', 1000) + repeat(']', 1000))": "exceeded max depth",
    "jsonpath(repeat('[', 150) + repeat(']', 150), '$' + repeat('..*', 300))": "budget exceeded",
    "'a' matches repeat('a?', 3000)": "the pattern is longer",
    "repeat('a', 50) matches '((a{100}){100}){100}'": "error parsing regexp",
    "bitshl(1, 9000000000000000000)": None,
    "2 ** 1e308": None,
    "9223372036854775807 * 9223372036854775807": None,
    "date('2024-01-01').Add(duration('2000000h') * 100000)": "out of range",
    "now().AddDate(999999999, 0, 0)": "out of range",
    "sprig.date('2006', 9223372036854775807)": "out of range",
    "sprig.duration(9223372036854775807)": "out of range",
    "sprig.round(1.5, 9000000000)": None,
    "sprig.toDecimal(repeat('7', 1000))": None,
    "sprig.atoi(repeat('9', 100000))": None,
    "int(repeat('9', 100000))": "invalid operation: int(",
    "float(repeat('9', 100000))": "invalid operation: float(",
    "fromJSON(repeat('9', 100000))": "cannot unmarshal number",
}


@pytest.mark.parametrize("source", HEAVY)
@pytest.mark.timeout(10)
def test_a_greedy_expression_ends_soon(source: str) -> None:
    wanted = HEAVY[source]
    if wanted is None:
        run(source)
        return
    with pytest.raises(ExpressionError, match=wanted.replace("(", "\\(")):
        run(source)


words = st.sampled_from(
    [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        "?.",
        ",",
        ":",
        ";",
        "?",
        "??",
        "|",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "==",
        "!=",
        "<",
        "<=",
        "&&",
        "||",
        "!",
        "not",
        "in",
        "let",
        "if",
        "else",
        "x",
        "y",
        "#",
        "#acc",
        "nil",
        "true",
        "1",
        "2.5",
        "'a'",
        '"b"',
        "`c`",
        "filter",
        "map",
        "reduce",
        "len",
        "get",
        "sprig",
        ".a",
        "=",
        "matches",
        "..",
        "sprig.dict",
        "now()",
        "toJSON",
        "$env",
        "item.os",
        "0x1",
        "1e400",
        "//",
        "/*",
    ]
)
variables = {"item": {"os": "x"}, "x": [1, "a", None, 2.5, {"a": 1}], "y": b"hi"}


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.lists(words, max_size=14).map(" ".join), st.text(max_size=30)))
def test_any_text_gives_a_value_or_an_expression_error(source: str) -> None:
    try:
        value: object = expr.compile(source).run(variables, CHANCE)
    except ExpressionError as error:
        value = error
    if isinstance(value, ExpressionError):
        assert value.source == source
        assert 0 <= value.offset <= len(source)
        assert value.caret().endswith("^")


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10, 10), st.floats(allow_nan=False), texts, st.just(datetime(2024, 1, 1, tzinfo=UTC))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
functions = st.sampled_from(sorted([*BUILTINS, *argo.TABLE, *(f"sprig.{name}" for name in sprig.TABLE if name != "derivePassword")]))


@settings(max_examples=800, deadline=None)
@given(functions, st.lists(anything, max_size=4))
def test_any_function_with_any_arguments_gives_a_value_or_an_expression_error(name: str, given_values: list[object]) -> None:
    source = f"{name}({', '.join(f'a{index}' for index in range(len(given_values)))})"
    if name in grammar.PREDICATES and len(given_values) > 1:
        source = f"{name}(a0, #)"
    with contextlib.suppress(ExpressionError):  # any other error fails the test
        expr.compile(source).run({f"a{index}": value for index, value in enumerate(given_values)}, CHANCE)


@given(st.lists(st.integers(-50, 50)), st.lists(st.text(max_size=3)))
def test_functions_agree_with_python(numbers: list[int], parts: list[str]) -> None:
    assert run("sort(a)", a=numbers) == sorted(numbers)
    assert run("reverse(sort(a, 'desc'))", a=numbers) == sorted(numbers)
    assert run("sum(a)", a=numbers) == sum(numbers)
    assert run("map(filter(a, # > 0), # * 2)", a=numbers) == [number * 2 for number in numbers if number > 0]
    assert run("uniq(a)", a=numbers) == list(dict.fromkeys(numbers))
    assert run("join(a, '-')", a=parts) == "-".join(parts)
    assert run("fromJSON(toJSON(a))", a=parts) == parts
    assert json.loads(str(run("toJSON(a)", a={"k": parts}))) == {"k": parts}


# --- chance, caches, errors


def test_chance_is_replayed_and_differs_between_seeds_and_expressions() -> None:
    program = expr.compile("sprig.uuidv4()")
    other = Chance(now=CHANCE.now, seed="other")
    assert program.run({}, CHANCE) == program.run({}, CHANCE)
    assert program.run({}, CHANCE) != program.run({}, other)
    assert program.run({}, CHANCE) != program.run({}, CHANCE.child("1"))
    assert program.run({}, CHANCE) != expr.compile(" sprig.uuidv4()").run({}, CHANCE)


def test_plain_expressions_have_the_builtins_only() -> None:
    assert expr.compile("upper('a')").run({}, CHANCE, functions="plain") == "A"
    for source in ("asInt('1')", "toJson(1)", "jsonpath('{}', '$')", "sprig.upper('a')"):
        with pytest.raises(ExpressionError, match="unknown name"):
            expr.compile(source).run({}, CHANCE, functions="plain")


def test_an_evaluation_changes_none_of_its_variables() -> None:
    variables = {"item": {"a": [1], "n": {}}}
    run(
        "sprig.set(item, 'b', 1); sprig.unset(item, 'a'); sprig.merge(item, {n: {x: 1}}); sprig.mergeOverwrite(item.n, {y: 2})", **variables
    )
    assert variables == {"item": {"a": [1], "n": {}}}


def test_the_caret_stands_under_the_place_in_its_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        run("1 +\n  'a'")
    error = caught.value
    assert (error.line, error.column, error.offset) == (1, 3, 2)
    assert str(error) == "invalid operation: + (mismatched types int and string) (1:3)\n | 1 +\n | ..^"
    with pytest.raises(ExpressionError) as caught:
        expr.compile("\n\n  a b")
    assert str(caught.value) == 'unexpected token Identifier("b") (3:5)\n |   a b\n | ....^'


def test_a_failed_compilation_fails_again() -> None:
    for _ in range(2):
        with pytest.raises(ExpressionError, match="unexpected token EOF"):
            expr.compile("1 +")


def test_every_function_says_which_types_it_takes():
    for table in (builtins.TABLE, argo.TABLE, sprig.TABLE):
        for name in table:
            table.get(name).learn()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("lastRetry.x.y == 1", "unable to evaluate expression 'lastRetry.x.y == 1': cannot fetch y from <nil> (1:13)"),
        ("true || nope", "unknown name nope (1:9)"),
        ("sprig.nope(1)", "unknown name sprig.nope (1:7)"),
        ("retries", "unable to cast expression result '0' to bool"),
        ("asInt(lastRetry.status) > 1", "unable to evaluate expression 'asInt(lastRetry.status) > 1': invalid operation: int(Error) (1:1)"),
    ],
)
def test_a_condition_without_an_answer_says_why_in_argos_words(expression: str, said: str) -> None:
    env = {"retries": "0", "lastRetry": {"status": "Error"}}
    with pytest.raises((ConditionError, ExpressionError)) as raised:
        expr.compile(expression).holds(env, CHANCE)
    assert str(raised.value).startswith(said)
    assert expr.compile("let x = 1; retries == '0' && x > 0").holds(env, CHANCE)
