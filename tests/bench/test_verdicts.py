"""What the soak calls level, and that the picture of costs can be read."""

import random
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from tests.bench import load, plot, samples


def series(values: list[float]) -> list[samples.Sample]:
    return [{series.name: value for series in samples.SERIES} | {"at": 30.0 * number} for number, value in enumerate(values)]


def verdict(values: list[float], name: str) -> samples.Verdict:
    return next(one for one in samples.judged(series(values)) if one.series.name == name)


CHANCE = random.Random(1)
NOISE = [CHANCE.uniform(-2e6, 2e6) for _ in range(240)]


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ([80e6] * 240, True),
        ([80e6 + noise for noise in NOISE], True),
        ([80e6 - 30e6 * 0.95**number for number in range(240)], True),
        ([80e6 + (200e6 if number % 50 == 49 else 0) for number in range(240)], True),
        ([80e6 + 50e3 * number + noise for number, noise in enumerate(NOISE)], False),
        ([80e6 - 50e3 * number for number in range(240)], True),
    ],
    ids=["flat", "noisy", "rising at the start", "with outliers", "growing under noise", "shrinking"],
)
def test_a_series_levels_off_if_its_last_half_does_not_grow(values, level):
    assert verdict(values, "daemon_rss").levels_off is level


def test_small_counts_have_room():
    assert verdict([20.0 + (number % 3) for number in range(100)], "daemon_fds").levels_off
    assert not verdict([20.0 + number / 10 for number in range(100)], "daemon_fds").levels_off


def test_few_samples_are_shown_too():
    assert verdict([1.0, 2.0, 3.0], "live").shown == (1.0, 1.0, 2.0, 3.0)


def test_each_shape_is_a_workflow_that_can_be_told_by_its_label():
    for shape in load.SHAPES:
        made = load.made(shape, "w1", random.Random(1), url="http://localhost/", place="/tmp/soak")
        assert made["metadata"] == {"name": "w1", "labels": {load.LABEL: "w1"}}
        assert made["spec"]["ttlStrategy"]
    assert len({shape.name for shape in load.SHAPES}) == len(load.SHAPES)


def test_names_beside_lines_do_not_cover_each_other():
    heights = plot.apart({"a": 100.0, "b": 101.0, "c": 102.0, "d": 300.0, "e": 479.0, "f": 480.0}, 16.0)
    assert list(heights) == list("abcdef")
    assert all(below - above > 15 for above, below in pairwise(heights.values()))


def test_the_picture_has_a_line_for_each_tool_in_each_panel():
    rows = [
        {"name": f"growth {kind}: {tool}", "work": f"{size:,} × true, P=8", "ours": cost}
        for kind in plot.KINDS
        for tool, cost in (("make", 700.0), ("tiphysd", 1100.0), ("an <unknown> tool", 5.0))
        for size in (1000, 10_000, 100_000)
    ]
    machine = {"cpu": "a & b", "cores": 2, "kernel": "6", "date": "2031-05-06", "commit": "abc"}
    tree = ET.fromstring(plot.picture({"rows": rows, "machine": machine}))
    assert len(tree.findall(".//{*}polyline")) == 6
    assert [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")].count("100,000") == 2
