"""The commands that ask a running daemon, and their options. What a command needs is imported when it runs."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiphys.cli import leading
from tiphys.cli.exits import Exit

if TYPE_CHECKING:
    from tiphys.cli.remote import Remote
    from tiphys.cli.wiring import Wiring

FORMS = ("json", "yaml", "name", "wide")
Command = Callable[..., Any]


def asking(command: Command) -> Command:
    """The options that every command here has; the command is called with the daemon to ask."""

    @functools.wraps(command)
    def called(wiring: "Callable[[], Wiring]", /, **typed: Any) -> Exit:
        from tiphys.cli import reaching, remote

        way = reaching.Typed(**{name: typed.pop(name) for name in ("socket", "server", "token", "base", "secure", "skip_verify")})
        config, namespace = typed.pop("config"), typed.pop("namespace")
        colours, utf8 = not typed.pop("no_color"), not typed.pop("no_utf8")
        options = remote.Asking(config=config, way=way, namespace=namespace, colours=colours, utf8=utf8)
        return remote.run(wiring(), options, lambda daemon: command(daemon, **typed))

    options = (
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings file, in place of the usual one."),
        click.option(
            "--socket",
            type=click.Path(path_type=Path, readable=False),
            metavar="PATH",
            help="The daemon's socket; $TIPHYS_SOCKET otherwise.",
        ),
        click.option(
            "-s", "--server", "--argo-server", default="", metavar="HOST:PORT", help="Ask over the network; $ARGO_SERVER otherwise."
        ),
        click.option("--token", default="", metavar="TOKEN", help="Who asks over the network; better in $ARGO_TOKEN."),
        click.option(
            "-e", "--secure", type=bool, flag_value="true", is_flag=False, metavar="BOOL", help="TLS or not; $ARGO_SECURE, or true."
        ),
        click.option("-k", "--insecure-skip-verify", "skip_verify", is_flag=True, default=None, help="Trust any certificate."),
        click.option("--base-href", "--argo-base-href", "base", default="", metavar="PATH", help="Before every path; $ARGO_BASE_HREF."),
        click.option("-n", "--namespace", default="", metavar="NAME", help="The namespace; $ARGO_NAMESPACE or the setting otherwise."),
        click.option("--no-color", is_flag=True, help="No colours."),
        click.option("--no-utf8", is_flag=True, help="Words and plain lines in place of icons."),
    )
    return functools.reduce(lambda made, option: option(made), options, click.pass_obj(called))


class Form(click.Choice[str]):
    """One of some words, or none."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word; none is as good as nothing typed."""
        return super().convert(value, param, ctx) if value else ""


def output(*forms: str) -> Callable[[Command], Command]:
    """The option `-o`."""
    return click.option("-o", "--output", default="", type=Form(forms or FORMS), metavar="|".join(forms or FORMS))


def offering(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell offers for an argument: the names of this kind that the daemon knows."""

    def offered(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
        from tiphys.cli import completing

        return completing.names(context, kind, begun)

    return offered


def _sources(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    from tiphys.cli import completing

    return completing.sources(context, begun)


WORKFLOWS = offering("workflows")
NAMES = click.argument("names", metavar="NAME|@latest...", nargs=-1, required=True, shell_complete=WORKFLOWS)
NAME = click.argument("name", metavar="NAME|@latest", shell_complete=WORKFLOWS)
PARAMETERS = click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
SELECTOR = click.option("-l", "--selector", default="", metavar="SELECTOR", help="Only those whose labels match, as colour=red,!old.")
FIELD_SELECTOR = click.option("--node-field-selector", default="", metavar="SELECTOR", help="Only these nodes, as displayName=approve.")
WAIT = click.option("-w", "--wait", is_flag=True, help="Wait until it has ended; the exit code is 0 only if it succeeded.")
STRICT = click.option("--strict", is_flag=True, help="For Argo's sake: unknown fields are errors anyway.")
EVERYWHERE = click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")


def beginning(command: Command) -> Command:
    """What may be done once it has begun."""
    options = (
        WAIT,
        click.option("--watch", is_flag=True, help="Watch it until it has ended."),
        click.option("--log", is_flag=True, help="Show what it prints until it has ended."),
        output(),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


@click.command()
@click.argument("files", metavar="[FILE|DIR|-]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--from",
    "source",
    default="",
    metavar="KIND/NAME",
    shell_complete=_sources,
    help="In place of files: workflowtemplate/NAME, cronwf/NAME, cwft/NAME.",
)
@PARAMETERS
@click.option("-f", "--parameter-file", default="", metavar="FILE", help="Parameters from a YAML or JSON map; -p wins.")
@click.option("--name", default="", metavar="NAME", help="The workflow's name, in place of the file's.")
@click.option("--generate-name", default="", metavar="PREFIX", help="A prefix that five letters are added to, in place of the file's name.")
@click.option("--entrypoint", default="", metavar="TEMPLATE", help="The template to begin with, in place of the file's.")
@click.option("-l", "--labels", default="", metavar="NAME=VALUE,...", help="Labels of the workflow.")
@click.option("--serviceaccount", "service_account", default="", metavar="NAME", help="The service account's name.")
@click.option("--priority", type=click.IntRange(-(2**31), 2**31 - 1), metavar="NUMBER", help="The workflow's priority.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted; the daemon is not asked.")
@click.option("--server-dry-run", is_flag=True, help="Have the daemon judge it, but not start it.")
@click.option("--scheduled-time", default="", metavar="TIME", help="What {{workflow.scheduledTime}} is, as 2026-01-02T15:04:05Z.")
@STRICT
@beginning
@asking
def submit(daemon: "Remote", *, strict: bool, **typed: Any) -> Exit:
    """Start workflows from files, or from what is in force."""
    from tiphys.cli import submitting

    del strict
    return submitting.main(daemon, submitting.Wish(**typed))


def choosing(command: Command) -> Command:
    """The options that choose workflows."""
    options = (
        EVERYWHERE,
        click.option("--status", "statuses", default="", metavar="PHASE,...", help="Only those in these phases."),
        click.option("--running", is_flag=True, help="Only those that have not ended."),
        click.option("--completed", is_flag=True, help="Only those that have ended."),
        click.option("--resubmitted", is_flag=True, help="Only those that were resubmitted from others."),
        click.option("--prefix", default="", metavar="TEXT", help="Only those whose names begin so."),
        click.option("--older", default="", metavar="AGE", help="Only those that ended longer ago, as 10m, 3h, 2d."),
        SELECTOR,
        click.option("--field-selector", default="", metavar="SELECTOR", help="Only those with these fields, as metadata.name=x."),
        click.option(
            "--chunk-size", "--query-chunk-size", type=click.IntRange(0), default=0, metavar="N", help="Ask for so many at a time."
        ),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


@click.command("list")
@choosing
@click.option("--since", default="", metavar="AGE", help="Only those made since then, as 10m, 3h, 2d.")
@click.option("--no-headers", is_flag=True, help="No names above the columns.")
@output()
@asking
def list_(daemon: "Remote", *, no_headers: bool, **typed: Any) -> Exit:
    """List workflows."""
    from tiphys.cli import listing

    return listing.main(daemon, listing.Wish(headers=not no_headers, **typed))


def rows(command: Command) -> Command:
    """Which nodes of a tree are shown."""
    status = click.option("--status", default="", metavar="PHASE,...", help="Of the tree only nodes in these phases.")
    selector = click.option("--node-field-selector", default="", metavar="SELECTOR", help="Of the tree only these, as displayName=build.")
    return status(selector(command))


@click.command()
@NAMES
@rows
@output("json", "yaml", "name", "wide", "short")
@asking
def get(daemon: "Remote", *, names: tuple[str, ...], output: str, **typed: Any) -> Exit:
    """Show workflows: what they are, and the tree of their nodes."""
    from tiphys.cli import showing

    return showing.main(daemon, names, output, **typed)


@click.command()
@NAME
@click.argument("node", metavar="[NODE|POD]", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on until the workflow has ended.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last lines of each step.")
@click.option("--grep", default="", metavar="REGEX", help="Only lines that match.")
@click.option("-c", "--container", default="", metavar="NAME", help="Of this container; main otherwise.")
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="Only of steps whose labels match.")
@click.option("--since", default="", metavar="AGE", help="Only what was printed since then, as 10m.")
@click.option("--since-time", default="", metavar="TIME", help="Only what was printed since then, as 2006-01-02T15:04:05Z.")
@click.option("--timestamps", is_flag=True, help="Say when each line was printed.")
@asking
def logs(daemon: "Remote", *, name: str, node: str, **typed: Any) -> Exit:
    """Show what steps printed: of a whole workflow, or of a node and what is below it."""
    from tiphys.cli import logs as logging

    return logging.main(daemon, name, node, logging.Wish(**typed))


@click.command()
@NAMES
@click.option("--ignore-not-found", is_flag=True, help="What is not there is not waited for.")
@asking
def wait(daemon: "Remote", *, names: tuple[str, ...], ignore_not_found: bool) -> Exit:
    """Wait until workflows have ended; the exit code is 0 only if all succeeded."""
    from tiphys.cli import waiting

    return waiting.main(daemon, names, ignore_not_found=ignore_not_found)


@click.command()
@NAME
@rows
@asking
def watch(daemon: "Remote", *, name: str, **typed: Any) -> Exit:
    """Watch a workflow until it has ended; the exit code is 0 only if it succeeded."""
    from tiphys.cli import spectating

    return spectating.main(daemon, name, **typed)


@click.command()
@NAMES
@asking
def suspend(daemon: "Remote", *, names: tuple[str, ...]) -> Exit:
    """Start no further steps of workflows; what runs goes on."""
    from tiphys.cli import steering

    return steering.main(daemon, "suspend", steering.Chosen(names=names))


@click.command()
@NAMES
@FIELD_SELECTOR
@asking
def resume(daemon: "Remote", *, names: tuple[str, ...], node_field_selector: str) -> Exit:
    """Let suspended workflows, or single suspend nodes, go on."""
    from tiphys.cli import steering

    return steering.main(daemon, "resume", steering.Chosen(names=names), nodeFieldSelector=node_field_selector)


def matching(command: Command) -> Command:
    """Workflows by name, or those that match."""
    options = (
        click.argument("names", metavar="[NAME|@latest]...", nargs=-1, shell_complete=WORKFLOWS),
        SELECTOR,
        click.option("--field-selector", default="", metavar="SELECTOR", help="Only those with these fields, as metadata.name=x."),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), command)


@click.command()
@matching
@FIELD_SELECTOR
@click.option("-m", "--message", default="", metavar="TEXT", help="Why.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@asking
def stop(daemon: "Remote", *, node_field_selector: str, message: str, dry_run: bool, **typed: Any) -> Exit:
    """End workflows; their exit handlers run. With --node-field-selector: let these suspend nodes fail."""
    from tiphys.cli import steering

    wish = {"nodeFieldSelector": node_field_selector, "message": message}
    return steering.main(daemon, "stop", steering.Chosen(**typed, dry=dry_run), **wish)


@click.command()
@matching
@click.option("--dry-run", is_flag=True, help="Only say which.")
@asking
def terminate(daemon: "Remote", *, dry_run: bool, **typed: Any) -> Exit:
    """End workflows at once; nothing else runs."""
    from tiphys.cli import steering

    return steering.main(daemon, "terminate", steering.Chosen(**typed, dry=dry_run))


RESTART = click.option("--restart-successful", is_flag=True, help="Also run nodes again that succeeded, with --node-field-selector.")
MEMOIZED = click.option("--memoized", is_flag=True, help="Take over what had succeeded.")


@click.command()
@matching
@PARAMETERS
@RESTART
@FIELD_SELECTOR
@beginning
@asking
def retry(daemon: "Remote", **typed: Any) -> Exit:
    """Go on from the failed nodes of workflows."""
    from tiphys.cli import steering

    return steering.retry(daemon, **typed)


@click.command()
@matching
@PARAMETERS
@MEMOIZED
@beginning
@asking
def resubmit(daemon: "Remote", **typed: Any) -> Exit:
    """Start workflows anew, under new names."""
    from tiphys.cli import steering

    return steering.resubmit(daemon, **typed)


@click.command()
@click.argument("names", metavar="[NAME|@latest]...", nargs=-1, shell_complete=WORKFLOWS)
@click.option("--all", "all_", is_flag=True, help="All of the namespace.")
@choosing
@click.option("--force", is_flag=True, help="Artifacts that were to be deleted with it stay.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@asking
def delete(daemon: "Remote", *, names: tuple[str, ...], all_: bool, force: bool, dry_run: bool, **typed: Any) -> Exit:
    """Delete workflows, by name or those that are chosen; one that goes on is terminated first."""
    from tiphys.cli import listing, steering

    chosen = {key: value for key, value in typed.items() if value and key != "chunk_size"}
    wish = listing.Wish(**typed) if all_ or chosen else None
    return steering.delete(daemon, names, wish, force=force, dry_run=dry_run)


@click.group(cls=leading.Group)
def node() -> None:
    """Single nodes of a workflow."""


@node.command("set")
@NAME
@click.option("-p", "--output-parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="An output; may be repeated.")
@click.option("--phase", default="", metavar="PHASE", help="Succeeded, Failed or Error.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The node's message.")
@FIELD_SELECTOR
@asking
def node_set(daemon: "Remote", *, name: str, parameters: tuple[str, ...], phase: str, message: str, node_field_selector: str) -> Exit:
    """Give suspend nodes outputs, a message, a phase."""
    from tiphys.cli import steering

    wish = {"phase": phase, "message": message, "nodeFieldSelector": node_field_selector}
    return steering.main(daemon, "set", steering.Chosen(names=[name]), outputParameters=steering.outputs(parameters), **wish)


@click.command()
@click.option("--short", is_flag=True, help="Only this command's own number.")
@asking
def version(daemon: "Remote", *, short: bool) -> Exit:
    """Show the versions of this command and of the daemon."""
    from tiphys.cli import about

    return about.version(daemon, short=short)


@click.command()
@asking
def health(daemon: "Remote") -> Exit:
    """Say whether the daemon is well; the exit code is 0 only then."""
    from tiphys.cli import about

    return about.health(daemon)


@click.group(cls=leading.Group)
def auth() -> None:
    """Who asks over the network."""


@auth.command("token")
@asking
def auth_token(daemon: "Remote") -> Exit:
    """Print the token as a request shows it: $ARGO_TOKEN, or --token."""
    from tiphys.cli import about

    return about.token(daemon)


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(*, shell: str) -> Exit:
    """Print what makes a shell complete this command's words, and the names that the daemon knows.

    bash: source <(tiphys completion bash); zsh: the same after compinit; fish: tiphys completion fish | source
    """
    from tiphys.cli import shells

    click.echo(shells.script(shell), nl=False)
    return Exit.SUCCEEDED


@click.command()
@NAME
@click.argument("directory", metavar="DIRECTORY", type=click.Path(path_type=Path, file_okay=False))
@click.option("-t", "--template-name", default="", metavar="NAME", help="Only of nodes of this template.")
@click.option("--node-id", default="", metavar="ID", help="Only of this node.")
@click.option("--artifact-name", default="", metavar="NAME", help="Only artifacts of this name.")
@click.option(
    "--path",
    default="{namespace}/{workflowName}/{nodeId}/outputs/{artifactName}",
    metavar="PATTERN",
    show_default=True,
    help="Where each goes below the folder; there is {templateName} too.",
)
@asking
def cp(daemon: "Remote", **typed: Any) -> Exit:
    """Copy a workflow's output artifacts into a folder."""
    from tiphys.cli import copying

    return copying.main(daemon, copying.Wish(**typed))


COMMANDS = (
    cp,
    completion,
    auth,
    submit,
    list_,
    get,
    logs,
    wait,
    watch,
    suspend,
    resume,
    stop,
    terminate,
    retry,
    resubmit,
    delete,
    node,
    version,
    health,
)
