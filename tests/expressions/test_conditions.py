"""`when`: the language of govaluate, its traps, and the words in which it complains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import conditions


def attempt(text, **options):
    """The answer, or the complaint."""
    try:
        return conditions.evaluate(text, **options)
    except conditions.ConditionError as error:
        return error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        "!false",
        "foo == foo",
        "foo != bar",
        "heads == heads",
        "(foo == bar) || (bar == bar)",
        "Error in (Failed, Error)",
        "IN_x == 'IN_x'",
        "a IN (a, b)",
        "!(Succeeded in (Failed, Error))",
        "'ref/branch/master' == 'ref/branch/master'",
        "\"a-b\" == 'a-b'",
        "\"\" == ''",
        "1 == 1",
        "1 == 1.0",
        "0x10 == 16",
        ".5 == 0.5",
        "1/2 == 0.5",
        "1 < 2",
        "a < b",
        "'10' < '9'",
        "(1 > 0) && (1 < 2)",
        "1 + 2 * 3 == 7",
        "2 ** 3 ** 2 == 64",
        "10 - 3 - 2 == 5",
        "-2 ** 2 == 4",
        "7 % 4 == 3",
        "-7 % 4 == -3",
        "6 & 3 == 2",
        "6 | 3 == 7",
        "6 ^ 3 == 5",
        "1 << 4 == 16",
        "256 >> 4 == 16",
        "~0 == -1",
        "1 << 64 == 0",
        "heads =~ hea",
        "'abc' =~ '^a.c$'",
        "tails !~ hea",
        "foo + 1 == foo1",
        "1 + foo == '1foo'",
        "1.5 + foo == '1.5foo'",
        "1000000 + foo == '1e+06foo'",
        "true ? true : false",
        "false ? false : true",
        "(true ? 1 : 2) == 1",
        "(false ? 1) ?? true",
        "true == true",
        "(1, 2) == (1, 2)",
        "1 / 0 > 1",
        "'2024-01-02' == '2024-01-02 00:00'",
        "'2024-01-02T03:04:05Z' == '2024-01-02T05:04:05+02:00'",
        "'2024-01-02' < '2024-01-10'",
        "'2024-01-02' == 1704153600",
        "'Mon Jan  2 15:04:05 2006' == '2006-01-02 15:04:05'",
        "'Mon Jan 02 15:04:05 -0700 2006' == '2006-01-02T22:04:05Z'",
        "'3:04PM' == '3:04PM'",
        "'2024-02-30' == '2024-02-30'",
        "[two words] == 'two words'",
        r"a\-b == 'a-b'",
        r"'it\'s' == 'it\'s'",
        "  true  ",
        "true || a < 1",
        "!(false && a < 1)",
        "a\n==\ta",
        "été == 'été'",
        "false == (a == )",
        "'13:04PM' != 4",
        "0 ** -1 > 1",
        "(-8) ** 0.5 != 1",
        "5 % 0 != 5",
        "(9 ** 999 | 0) < 0",
        "true in (1, true ? , 2) || true",
        "(a =~ a) == true",
        "true || notabool",
    ],
)
def test_holds(text):
    assert conditions.evaluate(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "false",
        "5 == '5'",
        "1 == true",
        "'true' == true",
        "True == False",
        "foo == bar",
        "a in (b, c)",
        "a in (1, 2)",
        "1 in ('1', '2')",
        "'2024-01-02' == '2024-1-2'",
        "'24-01-02' == 1",
        "0 / 0 == 0 / 0",
        "false && notabool",
        "5 != 5.0",
        "(1, 2) == (1, '2')",
        "(1, 2) == (1, 2, 3)",
    ],
)
def test_does_not_hold(text):
    assert conditions.evaluate(text) is False


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        (" == x", "Invalid 'when' expression ' == x': Cannot transition token types from UNKNOWN [<nil>] to COMPARATOR [==]", 1),
        ("x ==", "Invalid 'when' expression 'x ==': Unexpected end of expression", 4),
        ("  ", "Invalid 'when' expression '  ': Unexpected end of expression", 2),
        ("foo bar", "Invalid 'when' expression 'foo bar': Cannot transition token types from VARIABLE [foo] to VARIABLE [bar]", 4),
        ("5A == x", "Invalid 'when' expression '5A == x': Cannot transition token types from NUMERIC [5] to VARIABLE [A]", 1),
        ("f(x)", "Invalid 'when' expression 'f(x)': Undefined function f", 1),
        ("(a == a", "Invalid 'when' expression '(a == a': Unbalanced parenthesis", 0),
        ("a == a)", "Invalid 'when' expression 'a == a)': Unbalanced parenthesis", 6),
        ("'a == a", "Invalid 'when' expression ''a == a': Unclosed string literal", 0),
        ("[a == a", "Invalid 'when' expression '[a == a': Unclosed parameter bracket", 0),
        ("1.2.3 == x", "Invalid 'when' expression '1.2.3 == x': Unable to parse numeric value '1.2.3' to float64\n", 0),
        ("0xg == x", "Invalid 'when' expression '0xg == x': Unable to parse hex value '' to uint64\n", 0),
        ("a. == x", "Invalid 'when' expression 'a. == x': Hanging accessor on token 'a.'", 0),
        ("'a' =~ '['", "Invalid 'when' expression ''a' =~ '['': error parsing regexp: missing ]: [", 7),
        (
            "a@b == c",
            "Invalid 'when' expression 'a@b == c': Invalid token: '@' (hint: try wrapping the affected expression in quotes (\"))",
            1,
        ),
        (
            "_a == b",
            "Invalid 'when' expression '_a == b': Invalid token: '_' (hint: try wrapping the affected expression in quotes (\"))",
            0,
        ),
        (
            "1 ==-1",
            "Invalid 'when' expression '1 ==-1': Invalid token: '==-' (hint: try wrapping the affected expression in quotes (\"))",
            2,
        ),
        ("!foo", "Failed to parse 'when' expression '!foo': Cannot transition token types from PREFIX [!] to STRING [foo]", 1),
        (
            "a-b == 'a-b'",
            "Failed to evaluate 'when' expresion 'a-b == 'a-b'': Value 'a' cannot be used with the modifier '-', it is not a number",
            1,
        ),
        ("v1.2.3 == x", "Failed to evaluate 'when' expresion 'v1.2.3 == x': No parameter 'v1' found.", 0),
        ("a.b(c) == x", "Failed to evaluate 'when' expresion 'a.b(c) == x': No parameter 'a' found.", 0),
        ("a < 1", "Failed to evaluate 'when' expresion 'a < 1': Value 'a' cannot be used with the comparator '<', it is not a number", 2),
        (
            "x in (x)",
            "Failed to evaluate 'when' expresion 'x in (x)': Value 'x' cannot be used with the comparator 'in', it is not a number",
            2,
        ),
        (
            "a && true",
            "Failed to evaluate 'when' expresion 'a && true': Value 'a' cannot be used with the logical operator '&&', it is not a bool",
            2,
        ),
        (
            "true && b",
            "Failed to evaluate 'when' expresion 'true && b': Value 'b' cannot be used with the logical operator '&&', it is not a bool",
            5,
        ),
        (
            "(a, b) in (c, d)",
            "Failed to evaluate 'when' expresion '(a, b) in (c, d)': a list cannot be looked for with the comparator 'in'",
            7,
        ),
        (
            "1 =~ a",
            "Failed to evaluate 'when' expresion '1 =~ a': Value '1' cannot be used with the comparator '=~', it is not a number",
            2,
        ),
        ("!5", "Failed to evaluate 'when' expresion '!5': Value '5' cannot be used with the prefix '!'", 0),
        (
            "1 ? a : b",
            "Failed to evaluate 'when' expresion '1 ? a : b': Value '1' cannot be used with the ternary operator '?', it is not a bool",
            2,
        ),
        (
            "(1 + )",
            "Failed to evaluate 'when' expresion '(1 + )': Value '<nil>' cannot be used with the modifier '+', it is not a number",
            3,
        ),
        ("foo", "Expected boolean evaluation for 'foo'. Got foo", 0),
        ("1 + 1", "Expected boolean evaluation for '1 + 1'. Got 2", 0),
        ("(a, 1)", "Expected boolean evaluation for '(a, 1)'. Got [a 1]", 0),
        ("()", "Expected boolean evaluation for '()'. Got <nil>", 0),
    ],
)
def test_complaints_are_argos_and_know_their_place(text, message, offset):
    with pytest.raises(conditions.ConditionError) as caught:
        conditions.evaluate(text)
    assert str(caught.value) == message
    assert caught.value.offset == offset
    assert caught.value.caret().endswith("^")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo == foo", "No parameter 'foo' found."),
        ("a@b", "Invalid token: '@'"),
        ("1", "Expected boolean evaluation for '1'. Got 1"),
        ("1 ==", "Unexpected end of expression"),
    ],
)
def test_words_are_errors_in_the_form_of_cron(text, message):
    with pytest.raises(conditions.ConditionError) as caught:
        conditions.evaluate(text, bare_words=False)
    assert str(caught.value) == message


def test_the_form_of_cron_knows_all_the_rest():
    assert conditions.evaluate("'a' == \"a\" && 1 < 2", bare_words=False)
    assert conditions.evaluate("true || foo", bare_words=False)
    assert conditions.evaluate("", bare_words=False)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9_000 + "true" + ")" * 9_000,
        "(" * 500_000,
        " && ".join(["true"] * 9_000),
        "true" + " ? true : true" * 5_000,
        "(1," * 3_000 + "1" + ")" * 3_000,
        "(1," * 3_000 + "1" + ")" * 3_000 + " == " + "(1," * 3_000 + "1" + ")" * 3_000,
        "'" + "x" * 400_000 + "'" + "+'a'" * 9_000 + " == a",
        "'" + "\\" * 300_001,
        "&" * 1_000_000,
        "1." * 500_000,
        "9**9**9**9 > 1",
        "'" + "a" * 20_000 + "' =~ '(a*)*b'",
        "a =~ '((x{1000}){1000}){1000}'",
        "! " * 9_000 + "true",
        "'" + "0" * 200_000 + "-' == a",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_ends_in_an_answer_or_a_complaint(text):
    answer = attempt(text)
    assert answer in {True, False} or len(str(answer)) < 5_000


@given(st.text(max_size=40) | st.text(alphabet="ab01 .()[]'\"\\!=<>~&|?:,+-*/%^in", max_size=40))
def test_any_text_gives_an_answer_or_a_complaint(text):
    for bare_words in (True, False):
        answer = attempt(text, bare_words=bare_words)
        assert isinstance(answer, bool) or 0 <= answer.offset <= len(text)


words = st.text(alphabet="abcXYZ_019", min_size=1, max_size=8).filter(
    lambda word: word[0].isalpha() and word not in {"true", "false", "in", "IN"},
)


@given(words, words)
def test_bare_words_are_equal_where_they_are_the_same(left, right):
    assert conditions.evaluate(f"{left} == {right}") is (left == right)
    assert conditions.evaluate(f"'{left}' != {right}") is (left != right)


quotable = st.text(max_size=20).filter(lambda text: not set(text) & set("'\"\\") and "-" not in text and ":" not in text)


@given(quotable, quotable)
def test_quoted_text_is_compared_as_it_is(left, right):
    assert conditions.evaluate(f"'{left}' == '{right}'") is (left == right)
    assert conditions.evaluate(f"'{left}' in ('{right}', 'x y')") is (left in {right, "x y"})


numbers = st.integers(-1000, 1000)


@given(numbers, numbers, numbers, st.sampled_from(["+", "-", "*"]), st.sampled_from(["+", "-", "*"]))
def test_arithmetic_agrees_with_python(first, second, third, one, other):
    terms = [f"({number})" for number in (first, second, third)]
    text = f"{terms[0]} {one} {terms[1]} {other} {terms[2]}"
    assert conditions.evaluate(f"{text} == ({eval(text)})")


@given(st.recursive(st.sampled_from(["true", "false"]), lambda inner: st.tuples(inner, st.sampled_from(["&&", "||", "=="]), inner)))
def test_logic_agrees_with_python(tree):
    def spell(node, signs):
        return node if isinstance(node, str) else f"({spell(node[0], signs)} {signs[node[1]]} {spell(node[2], signs)})"

    text = spell(tree, {"&&": "&&", "||": "||", "==": "=="})
    python = spell(tree, {"&&": "and", "||": "or", "==": "is"}).replace("true", "True").replace("false", "False")
    assert conditions.evaluate(text) is eval(python.replace(" is ", " == "))
