"""Answers that ask for patience: the statuses that say "later", and how much later (RFC 9110, 10.2.3)."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TRANSIENT_STATUSES = frozenset({408, 425, 429, 502, 503, 504})


def retry_after_seconds(headers: Mapping[str, list[str]], now: datetime) -> float | None:
    """Seconds to wait by `Retry-After`, a number or an HTTP date; None where it is absent or says nothing sensible."""
    values = headers.get("Retry-After")
    if not values:
        return None
    text = values[0].strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
