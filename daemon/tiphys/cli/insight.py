"""The commands that look into a running daemon: why something is as it is, what happened, what goes on. Argo has none of them."""

from typing import TYPE_CHECKING

import click

from tiphys.cli.control import NAME, asking, output
from tiphys.cli.definitions import CRON, cron
from tiphys.cli.exits import Exit

if TYPE_CHECKING:
    from tiphys.cli.remote import Remote


@click.command()
@NAME
@click.argument("node", metavar="[NODE]", default="")
@output("json", "yaml")
@asking
def explain(daemon: "Remote", *, name: str, node: str, output: str) -> Exit:
    """Say why a workflow, or one node of it, is as it is: what it waits for, who is in the way, when that can change.

    Of a workflow also where its time went. NODE is a node's name, display name or id, or the name of a step or task that has not begun.
    """
    from tiphys.cli import explaining

    return explaining.main(daemon, name, node, output)


@click.command()
@NAME
@click.option("-f", "--follow", is_flag=True, help="Go on until the workflow has ended.")
@output("json")
@asking
def events(daemon: "Remote", *, name: str, follow: bool, output: str) -> Exit:
    """Show what happened to a workflow, each event with what was decided on it, one a line."""
    from tiphys.cli import eventlog

    return eventlog.main(daemon, name, follow=follow, form=output)


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Look again and again.")
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, metavar="SECONDS", help="How long between two looks; 2 otherwise.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="Only so many looks.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, metavar="N", help="The most lines of each list; 20 otherwise.")
@output("json", "yaml")
@asking
def top(daemon: "Remote", *, watch: bool, interval: float, count: int | None, limit: int, output: str) -> Exit:
    """Show what runs and what waits in all workflows, and how busy the machine is."""
    from tiphys.cli import top as looking

    return looking.main(daemon, looks=count if count or watch else 1, interval=interval, limit=limit, form=output)


@cron.command("explain")
@CRON
@output("json", "yaml")
@asking
def explain_cron(daemon: "Remote", *, name: str, output: str) -> Exit:
    """Say whether the next tick of a cron workflow starts something and why, and what became of the last ones."""
    from tiphys.cli import explaining

    return explaining.cron(daemon, name, output)


COMMANDS = (explain, events, top)
