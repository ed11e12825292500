"""`tiphys logs`: what steps printed, each line behind its pod's name; `-f` goes on over restarts of the daemon."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tiphys.cli import listing
from tiphys.cli.client import Unreachable
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.cli.waiting import STOPPING, Patience

SINCE = "logOptions.sinceSeconds"


class _Entry(msgspec.Struct, frozen=True):
    content: str = ""
    line: int = 0
    podName: str = ""  # noqa: N815 (as in the JSON)


class _Error(msgspec.Struct):
    message: str = ""


class _Line(msgspec.Struct):
    result: _Entry = _Entry()
    error: _Error | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which lines."""

    follow: bool = False
    tail: int | None = None
    grep: str = ""
    container: str = ""
    selector: str = ""
    since: str = ""
    since_time: str = ""
    timestamps: bool = False


def main(remote: Remote, given: str, node: str, wish: Wish) -> Exit:
    """Print the lines. Raises BadInput."""
    if wish.since and wish.since_time:
        raise BadInput("at most one of --since and --since-time may be given")
    name = remote.name(given)
    wanted = {
        "podName": node,
        "logOptions.follow": "true" if wish.follow else "",
        "logOptions.tailLines": "" if wish.tail is None else str(wish.tail),
        "logOptions.container": wish.container,
        SINCE: str(int(listing.age(wish.since, "--since").total_seconds())) if wish.since else "",
        "logOptions.sinceTime": wish.since_time,
        "logOptions.timestamps": "true" if wish.timestamps else "",
        "grep": wish.grep,
        "selector": wish.selector,
    }
    query = {key: value for key, value in wanted.items() if value}
    if not wish.follow:
        return _once(remote, name, query, {})
    return _followed(remote, name, query)


def _once(remote: Remote, name: str, query: Mapping[str, str], printed: dict[str, int]) -> Exit:
    """Print what comes. `printed` is the number of each pod's last line; those before it are left out."""
    for text in remote.client.stream(remote.path(name, "log"), query):
        line = msgspec.json.decode(text, type=_Line)
        if line.error is not None:
            remote.tell(line.error.message)
            return Exit.FAILED
        pod, number = line.result.podName, line.result.line
        if not number or number > printed.get(pod, 0):
            printed[pod] = number
            remote.print(remote.out.prefixed(pod, line.result.content))
    return Exit.SUCCEEDED


def _followed(remote: Remote, name: str, query: Mapping[str, str]) -> Exit:
    patience, began = Patience(remote), time.monotonic()
    printed: dict[str, int] = {}
    remote.workflow(name, "apiVersion,kind,metadata.name")  # a daemon that was never there is not waited for
    while True:
        before = dict(printed)
        try:
            code = _once(remote, name, _again(query, time.monotonic() - began, tail=not printed), printed)
            status = remote.workflow(name, "apiVersion,kind,metadata.name,status.phase").status
            if code is not Exit.SUCCEEDED or (status is not None and status.phase.completed):
                return code
            patience.wait(STOPPING)
        except Unreachable as error:
            if printed != before:
                patience.renew()
            patience.wait(error)


def _again(query: Mapping[str, str], seconds: float, *, tail: bool) -> dict[str, str]:
    """What is asked for so long after the beginning: since the same moment, and `tail` only if nothing was printed yet."""
    made = {key: value for key, value in query.items() if tail or key != "logOptions.tailLines"}
    if SINCE in made:
        made[SINCE] = str(int(made[SINCE]) + int(seconds))
    return made
