"""Label selectors mean what they mean to Kubernetes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiphys.spec import selectors

LABELS = {"app": "web", "tier": "front", "empty": "", "example.com/team": "a.b_c-d", "in": "in", "size": "12"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  \t\n", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=api", False),
        ("absent=web", False),
        ("absent=", False),
        ("empty=", True),
        ("empty=,app=web", True),
        ("app=", False),
        ("app!=web", False),
        ("app!=api", True),
        ("absent!=web", True),
        ("app!=", True),
        ("absent!=", True),
        ("empty!=", False),
        ("app in (web)", True),
        ("app in (api,web)", True),
        ("app in(api , web )", True),
        ("app in (api)", False),
        ("app in ()", False),
        ("empty in ()", True),
        ("empty in (,x)", True),
        ("empty in (x,)", True),
        ("empty in (x,,y)", True),
        ("absent in ()", False),
        ("app notin (api)", True),
        ("app notin (api,web)", False),
        ("absent notin (web)", True),
        ("absent notin ()", True),
        ("empty notin ()", False),
        ("app", True),
        ("empty", True),
        ("absent", False),
        ("!absent", True),
        ("! absent", True),
        ("!app", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app=web,!absent,tier in (front),absent notin (x)", True),
        ("app,app=web,app!=api", True),
        ("example.com/team=a.b_c-d", True),
        ("in in (in)", True),
        ("in=in", True),
        ("in", True),
        ("notin", False),
        ("app in (in,notin,web)", True),
        ("size>11", True),
        ("size>12", False),
        ("size<13", True),
        ("size < 12", False),
        ("app>1", False),
        ("absent<1", False),
        ("empty>0", False),
        ("App=web", False),
    ],
)
def test_a_selector_matches_as_in_kubernetes(text: str, matches: bool) -> None:
    assert selectors.labels_match(text, LABELS) is matches


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        (",", 1, "a label's name"),
        ("app,", 5, "the selector ends here, expected a label's name"),
        ("app,,tier", 5, "found ',', expected a label's name"),
        ("=web", 1, "found '=', expected a label's name"),
        ("app web", 5, "found 'web', expected one of =, ==, !=, in, notin, <, >"),
        ("app=web tier=front", 9, "found 'tier', expected a comma or the end"),
        ("app===web", 6, "found '=', expected a value"),
        ("app=!web", 5, "found '!', expected a value"),
        ("!app=web", 5, "found '=', expected a comma or the end"),
        ("!", 2, "the selector ends here"),
        ("!!app", 2, "found '!'"),
        ("app in", 7, "the selector ends here, expected '('"),
        ("app in web", 8, "found 'web', expected '('"),
        ("app in (web", 12, "the selector ends here, expected ',' or ')'"),
        ("app in (a b)", 11, "found 'b', expected ',' or ')'"),
        ("app in (a=b)", 10, "found '='"),
        ("app in (a) b", 12, "found 'b'"),
        ("app not in (a)", 5, "found 'not'"),
        ("app IN (a)", 5, "found 'IN'"),
        ("(app)", 1, "found '('"),
        ("app>", 5, "a whole number"),
        ("app>x", 5, "found 'x', expected a whole number"),
        ("app>9223372036854775808", 5, "a whole number"),
        ("app=we*b", 5, "not a label's value"),
        ("app=-web", 5, "not a label's value"),
        ("app=web-", 5, "not a label's value"),
        ("app=größe", 5, "not a label's value"),
        ("app=" + "x" * 64, 5, "not a label's value"),
        ("-app=web", 1, "not a label's name"),
        ("a/b/c=web", 1, "not a label's name"),
        ("/app", 1, "not a label's name"),
        ("Example.com/app", 1, "not a label's name"),
        ("example..com/app", 1, "not a label's name"),
        ("app/", 1, "not a label's name"),
        ("app=web\0", 5, "not a label's value"),
        ("x" * 64, 1, "not a label's name"),
        ("x" * 254 + "/y", 1, "not a label's name"),
    ],
)
def test_what_is_no_selector_is_refused_with_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(selectors.SelectorError, match=rf"^column {column}: ") as caught:
        selectors.parse_selector(text)
    assert caught.value.column == column
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


KEYS = st.sampled_from(["a", "b", "in", "notin", "x.y/z"])
VALUES = st.sampled_from(["", "1", "2", "in", "notin", "v-1"])
SPACE = st.sampled_from(["", " ", "\t "])


@st.composite
def requirement(draw):
    """The text of one requirement, and what it says about labels."""
    key, space = draw(KEYS), draw(SPACE)
    value, several = draw(VALUES), draw(st.lists(VALUES, max_size=3))
    listed = f"({space}{f'{space},'.join(several)}{space})"
    meant = set(several) or {""}
    return draw(
        st.sampled_from(
            [
                (f"{key}{space}={space}{value}", lambda labels: labels.get(key) == value),
                (f"{key}{space}=={space}{value}", lambda labels: labels.get(key) == value),
                (f"{key}{space}!={space}{value}", lambda labels: labels.get(key) != value),
                (f"{key} in{space}{listed}", lambda labels: labels.get(key) in meant),
                (f"{key} notin{space}{listed}", lambda labels: labels.get(key) not in meant),
                (key, lambda labels: key in labels),
                (f"!{space}{key}", lambda labels: key not in labels),
            ]
        )
    )


@given(st.lists(requirement(), max_size=4), SPACE, st.dictionaries(KEYS, VALUES))
def test_a_selector_holds_where_all_its_requirements_hold(requirements, space, labels) -> None:
    text = f"{space},{space}".join(text for text, _ in requirements)
    assert selectors.labels_match(text, labels) is all(holds(labels) for _, holds in requirements)


@given(st.text(alphabet=st.sampled_from("ab=!<>(),in notin\t-./é\0"), max_size=20) | st.text(max_size=20))
@example("a in (((((")
@example("é" * 10)
def test_any_text_is_a_selector_or_refused_with_a_place_in_it(text: str) -> None:
    column = 1
    try:
        selectors.parse_selector(text).matches({"a": "b"})
    except selectors.SelectorError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1
