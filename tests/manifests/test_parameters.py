"""Parameters from the command line and from files."""

import pytest

from tiphys import settings
from tiphys.manifests import parameters
from tiphys.spec.parameters import Parameter, ValueFrom, override

LIMITS = settings.LimitSettings()


def test_a_flag_is_cut_at_its_first_equals_sign():
    given = parameters.from_arguments(["a=b=c", "empty=", "text=x y"])
    assert given.ok
    assert given.values == {"a": "b=c", "empty": "", "text": "x y"}


def test_a_flag_without_an_equals_sign_is_refused_in_argos_words():
    given = parameters.from_arguments(["a"])
    assert [item.message for item in given.diagnostics] == ["expected parameter of the form: NAME=VALUE. Received: a"]


def test_a_flag_given_twice_is_refused():
    assert [item.message for item in parameters.from_arguments(["a=1", "a=2"]).diagnostics] == ["parameter 'a' is given twice"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("'1.0'", "1.0"),
        ("1.0", "1"),
        ("0644", "420"),
        ("yes", "true"),
        ("null", "null"),
        ("2024-01-01", "2024-01-01"),
        ("0.1", "0.1"),
        ("[1, two, {b: 3, a: 4}]", '[1,"two",{"a":4,"b":3}]'),
        ("{b: [], a: '<'}", '{"a":"\\u003c","b":[]}'),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_a_files_values_become_text_and_its_maps_and_lists_json(text, value):
    given = parameters.from_file(f"name: {text}\n".encode(), "p.yaml", LIMITS)
    assert given.diagnostics == ()
    assert given.values == {"name": value}


def test_a_json_file_is_read_in_its_order():
    given = parameters.from_file(b'{"z": 1, "a": "x", "m": true}', "p.json", LIMITS)
    assert list(given.values.items()) == [("z", "1"), ("a", "x"), ("m", "true")]


def test_an_empty_file_gives_nothing():
    assert parameters.from_file(b"# none\n", "p.yaml", LIMITS) == parameters.Given()


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"- a\n", 1, 1, "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        (b"text\n", 1, 1, "json: cannot unmarshal string into Go value of type map[string]json.RawMessage"),
        (b"a: 1\na: 2\n", 2, 1, 'key "a" already set in map'),
        (b"a: [\n", 1, 5, "yaml: did not find expected node content"),
        (b"a: .inf\n", 1, 4, "json: unsupported value: +Inf"),
        (b"a: 1\n---\nb: 2\n", 3, 1, "a file of parameters is one document"),
        (b"a: {{x}}\n", 1, 5, "a map key must be text"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(data, line, column, message):
    given = parameters.from_file(data, "p.yaml", LIMITS)
    assert not given.ok
    assert [(item.file, item.line, item.column, item.message) for item in given.diagnostics] == [("p.yaml", line, column, message)]


def test_a_file_over_the_limit_is_refused():
    given = parameters.from_file(b"a: 1\n", "p.yaml", settings.LimitSettings(file_bytes=2))
    assert [item.message for item in given.diagnostics] == ["the file has 5 bytes; the limit is 2"]


def test_given_values_come_first_and_unknown_names_are_added():
    own = (
        Parameter(name="a", value="1"),
        Parameter(name="b", value_from=ValueFrom(path="/x"), enum=("2", "3"), description="what"),
        Parameter(name="c", default="4"),
    )
    assert override(own, {"new": "n", "b": "2"}) == (
        Parameter(name="new", value="n"),
        Parameter(name="b", value="2", enum=("2", "3"), description="what"),
        Parameter(name="a", value="1"),
        Parameter(name="c", default="4"),
    )
