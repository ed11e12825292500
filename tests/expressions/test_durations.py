"""Go's durations: what is read, what is refused and in which words, and what people are shown."""

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import durations

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5s", 5),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("-1m", -60),
        ("+1m", 60),
        ("300ms", 0.3),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("250μs", 0.00025),
        ("2000ns", 0.000002),
        ("1m1m", 120),
        ("2562047h47m16s", 9223372036),
    ],
)
def test_go_syntax_is_read(text, seconds):
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1 h", 'time: unknown unit " h" in duration "1 h"'),
        ("abc", 'time: invalid duration "abc"'),
        (".s", 'time: invalid duration ".s"'),
        ('"', 'time: invalid duration "\\""'),
        ("9999999h", 'time: invalid duration "9999999h"'),
        ("1" * 5000, None),
        ("1h" * 100_000, None),
    ],
)
def test_other_text_is_refused_in_the_words_of_go(text, message):
    with pytest.raises(durations.InvalidDuration) as caught:
        durations.parse(text)
    assert message is None or str(caught.value) == message
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("-3", -3), ("+4", 4), ("010", 10), ("2m", 120), ("0", 0)])
def test_loose_durations_take_bare_seconds(text, seconds):
    assert durations.parse_loose(text) == timedelta(seconds=seconds)


def test_loose_durations_are_refused_in_the_words_of_argo():
    with pytest.raises(durations.InvalidDuration) as caught:
        durations.parse_loose("1d")
    assert str(caught.value) == 'unable to parse 1d as a duration: time: unknown unit "d" in duration "1d"'
    for text in ("99999999999999999", "9" * 100_000):
        with pytest.raises(durations.InvalidDuration):
            durations.parse_loose(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (0.9, "0 seconds"),
        (1.5, "1 second"),
        (59.99, "59 seconds"),
        (60, "1 minute 0 seconds"),
        (80, "1 minute 20 seconds"),
        (121, "2 minutes 1 seconds"),
        (3600, "1 hour 0 minutes"),
        (7260, "2 hours 1 minutes"),
        (86400, "1 day 0 hours"),
        (2 * 86400 + 3600, "2 days 1 hours"),
        (8 * 86400, "1 week 0 hours"),
        (45 * 86400, "1 month 0 hours"),
        (400 * 86400, "1 year 0 hours"),
        (50 * 360 * 86400, "a long while 0 hours"),
        (-5, "5 seconds"),
    ],
)
def test_people_read_at_most_two_units(seconds, text):
    assert durations.humanize(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=7), "7µs"),
        (timedelta(milliseconds=1.5), "1.5ms"),
        (1.5 * SECOND, "1.5s"),
        (100 * SECOND, "1m40s"),
        (timedelta(hours=1), "1h0m0s"),
        (-timedelta(minutes=1), "-1m0s"),
        (timedelta(days=2, microseconds=10), "48h0m0.00001s"),
    ],
)
def test_go_text_is_that_of_go(duration, text):
    assert durations.go_text(duration) == text


@given(st.timedeltas(min_value=-timedelta(days=30_000), max_value=timedelta(days=30_000)))
def test_what_is_printed_is_read_back(duration):
    assert durations.parse(durations.go_text(duration)) == duration


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    for read in (durations.parse, durations.parse_loose):
        with contextlib.suppress(durations.InvalidDuration):
            assert isinstance(read(text), timedelta)
