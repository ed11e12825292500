"""Links are judged as the kernel would follow them."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.artifacts import trees

PIECES = st.sampled_from(["a", "b", "c", "..", ".", ""])
TARGETS = st.lists(PIECES, min_size=1, max_size=5).map("/".join).filter(bool)
PLACES = st.sampled_from([("a",), ("b",), ("c",), ("d", "a"), ("d", "b"), ("d", "c")])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(PLACES, TARGETS, min_size=1, max_size=5))
def test_no_link_that_is_let_pass_leads_out(links):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "x", "root")
        (root / "d").mkdir(parents=True)
        for parts, target in links.items():
            root.joinpath(*parts).symlink_to(target)
        if trees.escaping(links) is None:
            for parts in links:
                real = os.path.realpath(root.joinpath(*parts))
                assert real == str(root) or real.startswith(f"{root}/")


def test_a_circle_of_links_leads_nowhere_and_is_named():
    assert trees.escaping({("a",): "b", ("b",): "a"}) == ("a",)


def test_a_plain_link_inside_is_no_escape_and_one_out_is_named():
    assert trees.escaping({("d", "l"): "../a"}) is None
    assert trees.escaping({("d", "l"): "../a"}, ("d",)) == ("d", "l")
    assert trees.escaping({("ok",): "d", ("l",): "/etc"}) == ("l",)
