"""Whether the machine's clock can be right: cron, deadlines, retries and the ages of things go by it."""

from datetime import UTC, datetime, timedelta

from tiphys.care.finding import Found, error, ok
from tiphys.care.host import Host

FIRST_RELEASE = datetime(2025, 1, 1, tzinfo=UTC)
"""This program is younger."""
UNPACKED_LATE = timedelta(days=2)
"""The dates of installed files may be in another time zone."""
AHEAD = timedelta(minutes=1)
SET = "set it: `timedatectl set-ntp true` (or chrony, ntpd), `timedatectl status` shows whether it is in step; then restart the daemon"


def check(newest: datetime | None, host: Host) -> list[Found]:
    """`newest` is the latest time in the journal."""
    now = host.now
    shown = f"clock: it says {now:%Y-%m-%d %H:%M:%S} UTC"
    if now < FIRST_RELEASE:
        return [error(f"{shown}, and this program was not made before {FIRST_RELEASE:%Y}; {_trusts()}", SET)]
    installed = _installed(host)
    if installed is not None and now < installed - UNPACKED_LATE:
        return [error(f"{shown}, and this program's files are of {installed:%Y-%m-%d}, which is later; {_trusts()}", SET)]
    if newest is not None and newest > now + AHEAD:
        ahead = timedelta(seconds=int((newest - now).total_seconds()))
        what = (
            f"{shown}, and the newest entry of the journal is of {newest:%Y-%m-%d %H:%M:%S} UTC, {ahead} later. "
            f"The daemon starts and loses nothing, but what is due (deadlines, suspends, retries) comes up to {ahead} late, "
            "and cron ticks that were recorded already are not fired again"
        )
        return [error(what, f"{SET}. If the clock was ahead before and is right now, there is nothing to do but wait")]
    return [ok(shown)]


def _trusts() -> str:
    return "the daemon would take it at its word: cron ticks would come at wrong times, and TLS certificates would not be valid yet"


def _installed(host: Host) -> datetime | None:
    try:
        return datetime.fromtimestamp(host.program.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None
