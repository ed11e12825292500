"""How long ago something was, as people type it; and what a follower that was cut off asks for then."""

from datetime import timedelta

import pytest

from tiphys.cli import listing, logs
from tiphys.cli.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("3h", 10800), ("2d", 172800), ("1w", 604800), ("1h30m", 5400), ("0s", 0)]
)
def test_an_age_is_numbers_and_units(text, seconds):
    assert listing.age(text, "--since") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "-5m", "5m ", "1234567s", "٣m", "1.5h", "1m" * 6])
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(BadInput, match="--since is"):
        listing.age(text, "--since")


def test_who_was_cut_off_asks_since_the_same_moment():
    query = {"logOptions.follow": "true", logs.SINCE: "60", "logOptions.tailLines": "5"}
    assert logs._again(query, 12.9, tail=True) == {**query, logs.SINCE: "72"}
    assert logs._again(query, 0.5, tail=False) == {"logOptions.follow": "true", logs.SINCE: "60"}
    assert logs._again({"logOptions.sinceTime": "T"}, 9, tail=True) == {"logOptions.sinceTime": "T"}
