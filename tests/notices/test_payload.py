"""Everyone is told the same JSON, whatever the workflow's message holds."""

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tests.notices.told import PAYLOAD, notice
from tiphys.notices import payload


def test_the_payload_has_the_documented_fields() -> None:
    assert payload.payload(notice()) == PAYLOAD
    assert json.loads(payload.encoded(notice())) == PAYLOAD


def test_a_time_of_another_zone_is_told_in_utc() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone(timedelta(hours=2)))
    assert payload.payload(notice(at=at))["at"] == "2026-03-01T10:00:00.000Z"
    assert payload.payload(notice(at=at.astimezone(UTC)))["at"] == "2026-03-01T10:00:00.000Z"


def test_a_huge_message_is_cut_so_that_the_json_fits_into_a_message_of_sqs() -> None:
    body = payload.encoded(notice(message="\U0001f600" * 1_000_000))
    assert len(body) < 256 * 1024
    assert json.loads(body)["message"].endswith("…")


@given(st.text(alphabet=st.characters(), max_size=20))
def test_any_message_survives_as_one_line_of_ascii(message: str) -> None:
    body = payload.encoded(notice(message=message))
    assert body.isascii()
    assert body.decode().isprintable() or "\x7f" in message
    assert json.loads(body)["message"] == message
