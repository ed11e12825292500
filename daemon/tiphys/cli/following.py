"""What is done after a workflow was started or started again: wait for its end, watch it, show what it prints."""

from collections.abc import Sequence

from tiphys.cli import logs, spectating, waiting
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote


def to_the_end(remote: Remote, names: Sequence[str], *, wait: bool = False, watch: bool = False, log: bool = False) -> Exit:
    """Do what is asked for; 1 where it comes to the end and one did not succeed."""
    if watch:
        return max((spectating.main(remote, name) for name in names), default=Exit.SUCCEEDED)
    if log:
        for name in names:
            logs.main(remote, name, "", logs.Wish(follow=True))
    return waiting.main(remote, names) if wait or log else Exit.SUCCEEDED
