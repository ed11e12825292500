"""Looking through large texts by bytes finds what the regular expressions would find."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tiphys.expressions import gojson, scans

UNESCAPABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f\ud800-\udfff]")
TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x00\x08\t\n\x0b\x0c\r\x1f\x7f\ud800<>&\u2028\ue000"))


@given(TEXTS)
def test_what_json_cannot_escape_is_found(text: str) -> None:
    assert scans.unescapable(text) == bool(UNESCAPABLE.search(text))


@given(TEXTS)
def test_only_what_stays_as_it_is_is_called_safe(text: str) -> None:
    if not scans.unsafe(text):
        assert re.search("[<>&\u2028\u2029\ud800-\udfff]", text) is None
    assert re.search("[<>&\u2028\u2029\ud800-\udfff]", gojson.safe(text)) is None
