"""The commands of what is in force (cron workflows, templates) and of the archive. What a command needs is imported when it runs."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiphys.cli import leading
from tiphys.cli.control import (
    EVERYWHERE,
    FIELD_SELECTOR,
    MEMOIZED,
    PARAMETERS,
    RESTART,
    SELECTOR,
    STRICT,
    asking,
    beginning,
    offering,
    output,
)
from tiphys.cli.exits import Exit

if TYPE_CHECKING:
    from tiphys.cli.remote import Remote
    from tiphys.cli.wiring import Wiring

FILES = click.argument("files", metavar="FILE|DIR|-...", nargs=-1, required=True, type=click.Path(allow_dash=True))


@click.group(cls=leading.Group)
def cron() -> None:
    """Cron workflows in force."""


@click.group(cls=leading.Group)
def template() -> None:
    """Workflow templates in force."""


@click.group("cluster-template", cls=leading.Group)
def cluster_template() -> None:
    """Cluster workflow templates in force."""


def _standing(group: click.Group, kind: str, what: str, name: str) -> None:
    names = offering(kind)

    @group.command("list", help=f"List {what}.")
    @EVERYWHERE
    @SELECTOR
    @output()
    @asking
    def listed(daemon: "Remote", *, everywhere: bool, selector: str, output: str) -> Exit:
        from tiphys.cli import standing

        return standing.listed(daemon, kind, everywhere=everywhere, selector=selector, form=output)

    @group.command("get", help=f"Show {what}.")
    @click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=names)
    @output()
    @asking
    def got(daemon: "Remote", *, names: tuple[str, ...], output: str) -> Exit:
        from tiphys.cli import standing

        return standing.got(daemon, kind, names, output)

    @group.command("update", help=f"Put {what} from files in the place of those of the same names.")
    @FILES
    @STRICT
    @output()
    @asking
    def updated(daemon: "Remote", *, files: tuple[str, ...], strict: bool, output: str) -> Exit:
        from tiphys.cli import defining

        del strict
        return defining.keep(daemon, kind, "update", files, output)

    @group.command("delete", help=f"Take {what} out of force; workflows that run go on.")
    @click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=names)
    @click.option("--all", "all_", is_flag=True, help="All of the namespace.")
    @asking
    def deleted(daemon: "Remote", *, names: tuple[str, ...], all_: bool) -> Exit:
        from tiphys.cli import defining

        return defining.delete(daemon, kind, names, all_=all_)

    @group.command("lint", help=f"Say what is wrong with {what} in files; what is in force elsewhere is not looked at.")
    @click.argument("paths", metavar="FILE|DIR|-...", nargs=-1, required=True, type=click.Path(allow_dash=True))
    @click.option("-o", "--output", "form", type=click.Choice(("pretty", "simple")), default="pretty", help="How findings are shown.")
    @STRICT
    @click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings file, in place of the usual one.")
    @click.option("--no-color", is_flag=True, help="No colours.")
    @click.pass_obj
    def linted(wiring: "Callable[[], Wiring]", /, *, no_color: bool, strict: bool, **typed: Any) -> Exit:
        from tiphys.cli import lint

        del strict
        return lint.main(lint.Request(colours=not no_color, offline=True, kinds=frozenset({name}), **typed), wiring())


def _creating(group: click.Group, kind: str, what: str) -> None:
    @group.command("create", help=f"Have {what} from files in force.")
    @FILES
    @STRICT
    @output()
    @asking
    def created(daemon: "Remote", *, files: tuple[str, ...], strict: bool, output: str) -> Exit:
        from tiphys.cli import defining

        del strict
        return defining.keep(daemon, kind, "create", files, output)


_standing(cron, "cron-workflows", "cron workflows", "CronWorkflow")
_standing(template, "workflow-templates", "workflow templates", "WorkflowTemplate")
_standing(cluster_template, "cluster-workflow-templates", "cluster workflow templates", "ClusterWorkflowTemplate")
_creating(template, "workflow-templates", "workflow templates")
_creating(cluster_template, "cluster-workflow-templates", "cluster workflow templates")


CRON = click.argument("name", metavar="NAME", shell_complete=offering("cron-workflows"))
CRONS = click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=offering("cron-workflows"))


@cron.command("create")
@FILES
@click.option("--name", default="", metavar="NAME", help="Its name, in place of the file's.")
@click.option("--generate-name", default="", metavar="PREFIX", help="A prefix that five letters are added to, in place of the file's name.")
@click.option("--entrypoint", default="", metavar="TEMPLATE", help="The template to begin with, in place of the file's.")
@PARAMETERS
@click.option("-f", "--parameter-file", default="", metavar="FILE", help="Parameters from a YAML or JSON map; -p wins.")
@click.option("-l", "--labels", default="", metavar="NAME=VALUE,...", help="Labels of the cron workflow.")
@click.option("--serviceaccount", "service_account", default="", metavar="NAME", help="The service account's name.")
@click.option("--schedule", default="", metavar="SCHEDULE", help="When it starts workflows, in place of the file's.")
@STRICT
@output()
@asking
def cron_create(daemon: "Remote", *, files: tuple[str, ...], strict: bool, output: str, **typed: Any) -> Exit:
    """Have cron workflows from files in force."""
    from tiphys.cli import defining

    del strict
    return defining.keep(daemon, "cron-workflows", "create", files, output, defining.Overrides(**typed))


@cron.command("suspend")
@CRONS
@asking
def cron_suspend(daemon: "Remote", *, names: tuple[str, ...]) -> Exit:
    """Have cron workflows start nothing until they are resumed."""
    from tiphys.cli import defining

    return defining.pause(daemon, "suspend", names)


@cron.command("resume")
@CRONS
@asking
def cron_resume(daemon: "Remote", *, names: tuple[str, ...]) -> Exit:
    """Have suspended cron workflows go on with their schedules."""
    from tiphys.cli import defining

    return defining.pause(daemon, "resume", names)


@cron.command("backfill")
@CRON
@click.option("--start", required=True, metavar="TIME", help="From when on, as 2026-01-02 or 2026-01-02T15:04:05Z.")
@click.option("--end", default="", metavar="TIME", help="Until when; now otherwise.")
@click.option("--name", "backfill", default="", metavar="NAME", help="How the workflows' names begin; NAME-backfill otherwise.")
@click.option("--parallel", is_flag=True, help="All at once, in place of one after another.")
@click.option("--argname", "argument", default="cronScheduleTime", metavar="NAME", help="The parameter that gets the time.")
@click.option("--format", "format", default="RFC1123", metavar="FORMAT", help="How it is written: RFC1123, RFC1123Z, RFC3339.")
@click.option(
    "--maxworkflowcount", "most", type=click.IntRange(1, 10_000), default=1000, metavar="N", help="How many at the most; 1000 otherwise."
)
@asking
def cron_backfill(daemon: "Remote", **typed: Any) -> Exit:
    """Start the workflows that a cron workflow would have started from one time to another."""
    from tiphys.cli import backfilling

    return backfilling.main(daemon, backfilling.Wish(**typed))


@cron.command("run")
@CRON
@output()
@asking
def cron_run(daemon: "Remote", *, name: str, output: str) -> Exit:
    """Start a workflow of a cron workflow now, whatever its schedule says."""
    from tiphys.cli import standing

    return standing.run(daemon, name, output)


@click.group(cls=leading.Group)
def archive() -> None:
    """Records of workflows that were deleted."""


ARCHIVED = click.argument("names", metavar="UID|NAME...", nargs=-1, required=True, shell_complete=offering("archived-workflows"))


@archive.command("list")
@EVERYWHERE
@SELECTOR
@click.option("--chunk-size", type=click.IntRange(0), default=0, metavar="N", help="Ask for so many at a time.")
@output()
@asking
def archive_list(daemon: "Remote", *, everywhere: bool, selector: str, chunk_size: int, output: str) -> Exit:
    """List the records."""
    from tiphys.cli import archived

    return archived.listed(daemon, selector=selector, everywhere=everywhere, chunk_size=chunk_size, form=output)


@archive.command("get")
@ARCHIVED
@output()
@asking
def archive_get(daemon: "Remote", *, names: tuple[str, ...], output: str) -> Exit:
    """Show records, by uid or name."""
    from tiphys.cli import archived

    return archived.got(daemon, names, output)


@archive.command("delete")
@ARCHIVED
@asking
def archive_delete(daemon: "Remote", *, names: tuple[str, ...]) -> Exit:
    """Delete records for good."""
    from tiphys.cli import archived

    return archived.delete(daemon, names)


@archive.command("retry")
@ARCHIVED
@PARAMETERS
@RESTART
@FIELD_SELECTOR
@beginning
@asking
def archive_retry(daemon: "Remote", **typed: Any) -> Exit:
    """Make workflows again that were deleted, with what succeeded in them, and go on from their failed nodes."""
    from tiphys.cli import steering

    return steering.retry(daemon, kind="archived-workflows", **typed)


@archive.command("resubmit")
@ARCHIVED
@PARAMETERS
@MEMOIZED
@beginning
@asking
def archive_resubmit(daemon: "Remote", **typed: Any) -> Exit:
    """Start the same work anew, under new names."""
    from tiphys.cli import steering

    return steering.resubmit(daemon, kind="archived-workflows", **typed)


@archive.command("list-label-keys")
@EVERYWHERE
@asking
def archive_label_keys(daemon: "Remote", *, everywhere: bool) -> Exit:
    """List the labels that records have."""
    from tiphys.cli import archived

    return archived.label_keys(daemon, everywhere=everywhere)


@archive.command("list-label-values")
@click.option("-l", "--selector", "key", required=True, metavar="LABEL", help="The label.")
@EVERYWHERE
@asking
def archive_label_values(daemon: "Remote", *, key: str, everywhere: bool) -> Exit:
    """List the values that a label has among the records."""
    from tiphys.cli import archived

    return archived.label_values(daemon, key, everywhere=everywhere)


@click.group(cls=leading.Group)
def sync() -> None:
    """Limits of semaphores."""


def limited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which limit."""
    options = (
        click.argument("key", metavar="KEY"),
        click.option("--type", "kind", type=click.Choice(("configmap", "database")), default="configmap", help="Where it is kept."),
        click.option("--cm-name", "config_map", default="", metavar="NAME", help="The ConfigMap that holds it."),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


LIMIT = click.option("--limit", type=click.IntRange(0, 2**31 - 1), required=True, metavar="N", help="How many may hold it at once.")


@sync.command("create")
@limited
@LIMIT
@asking
def sync_create(daemon: "Remote", *, limit: int, **typed: Any) -> Exit:
    """Set a limit that there was not."""
    from tiphys.cli import syncing

    return syncing.keep(daemon, "create", syncing.Which(**typed), limit)


@sync.command("update")
@limited
@LIMIT
@asking
def sync_update(daemon: "Remote", *, limit: int, **typed: Any) -> Exit:
    """Change a limit; whoever waits looks again at once."""
    from tiphys.cli import syncing

    return syncing.keep(daemon, "update", syncing.Which(**typed), limit)


@sync.command("get")
@limited
@asking
def sync_get(daemon: "Remote", **typed: Any) -> Exit:
    """Show a limit."""
    from tiphys.cli import syncing

    return syncing.got(daemon, syncing.Which(**typed))


@sync.command("delete")
@limited
@asking
def sync_delete(daemon: "Remote", **typed: Any) -> Exit:
    """Take a limit away."""
    from tiphys.cli import syncing

    return syncing.delete(daemon, syncing.Which(**typed))


COMMANDS = (archive, cron, template, cluster_template, sync)
