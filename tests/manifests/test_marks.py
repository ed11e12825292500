"""Positions of JSON paths."""

import hypothesis
import yaml
from hypothesis import strategies

from tiphys.manifests import marks, source

NAMES = strategies.text("abcdefghij", min_size=1, max_size=4).map(lambda text: "k" + text)
LEAVES = strategies.one_of(strategies.text(max_size=30), strategies.integers(), strategies.booleans(), strategies.none())
TREES = strategies.dictionaries(
    NAMES,
    strategies.recursive(
        LEAVES, lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(NAMES, inner, max_size=4), max_leaves=25
    ),
    max_size=5,
)


def paths(tree, prefix=()):
    for step, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*prefix, step)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*prefix, step))


@hypothesis.given(tree=TREES, flow=strategies.sampled_from([None, True, False]), width=strategies.sampled_from([10, 80, 10_000]))
@hypothesis.settings(max_examples=80)
def test_the_position_of_a_path_is_where_its_key_stands(tree, flow, width):
    text = yaml.safe_dump(tree, default_flow_style=flow, width=width, sort_keys=False, allow_unicode=True)
    found = marks.Marks(source.Source(text.encode(), ""), 1)
    wanted = list(paths(tree))
    places = found.locate(wanted)
    file = source.Source(text.encode(), "")
    for path in wanted:
        step = path[-1]
        if isinstance(step, str):
            assert file.at(*places[path], len(step)) == step
        else:
            before = [places[(*path[:-1], index)] for index in range(step)]
            assert all(place < places[path] for place in before)


def test_an_unknown_path_has_the_position_of_its_deepest_known_part():
    text = b"a:\n  b:\n  - c: 1\n  - d\n"
    found = marks.Marks(source.Source(text, ""), 1)
    assert found.at(()) == (1, 1)
    assert found.at(("x",)) == (1, 1)
    assert found.at(("a", "x", "y")) == (1, 1)
    assert found.at(("a", "b")) == (2, 3)
    assert found.at(("a", "b", 0)) == (3, 5)
    assert found.at(("a", "b", 0, "c", "z")) == (3, 5)
    assert found.at(("a", "b", 1)) == (4, 5)
    assert found.at(("a", "b", 7)) == (2, 3)


def test_keys_are_known_by_the_names_they_have_as_json():
    found = marks.Marks(source.Source(b"x: 1\non: 2\n010: 3\n'on': 4\n", ""), 1)
    assert found.at(("true",)) == (2, 1)
    assert found.at(("8",)) == (3, 1)
    assert found.at(("on",)) == (4, 1)


def test_a_place_behind_an_alias_is_the_alias_and_the_rest_is_not_disturbed():
    found = marks.Marks(source.Source(b"a: &a {x: [1, {y: 2}]}\nb: *a\nc: [*a, {z: 3}]\n", ""), 1)
    assert found.at(("b", "x", 1)) == (2, 1)
    assert found.at(("c", 0)) == (3, 5)
    assert found.at(("c", 1, "z")) == (3, 10)
