"""`tiphys run --dry-run`: what would start first, what is known of the rest, and what it waits for. Nothing is run or written."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import yaml

from tiphys.cli import inputs, tree, views
from tiphys.cli import lint as linting
from tiphys.cli.exits import Exit
from tiphys.cli.requests import Request, Work
from tiphys.cli.wiring import Wiring
from tiphys.configuration import Configuration
from tiphys.engine import submissions
from tiphys.manifests import defaults, diagnostics
from tiphys.scheduler import planning, records
from tiphys.scheduler.planning import First, Later, Planned, Value
from tiphys.spec.work import Severity

WIDEST = 160


def run(request: Request, work: Work, loaded: Configuration, wiring: Wiring) -> Exit:
    """Show the plan of every workflow of the file. Raises BadInput, or what the engine raises for a manifest it will not run."""
    settings = loaded.settings
    executor = request.executor or settings.executor
    supports = wiring.supports(loaded, executor)
    refused = [
        found for located in work.located for found in linting.runnable(located, supports, strict=True) if found.severity is Severity.ERROR
    ]
    if refused:
        raise inputs.BadInput("\n".join(map(diagnostics.render, refused)) + "\n")
    chosen = records.Settled(
        executor=executor,
        key_format=settings.artifacts.key_format,
        grace_seconds=settings.process.grace_seconds,
        archive_logs=settings.artifacts.archive_logs,
        semaphores=dict(settings.semaphores),
    )
    below = defaults.read(settings.workflow_defaults, settings.limits)
    now = datetime.now(UTC)
    try:
        plans = [
            planning.plan(
                submissions.manifest(
                    workflow, work.support, chosen, settings.namespace, defaults=below, configured=settings.artifacts.repositories
                ),
                now,
            )
            for workflow in work.workflows
        ]
    except submissions.Rejected as error:
        raise inputs.BadInput(str(error)) from error
    if request.output in ("json", "yaml"):
        shown = msgspec.to_builtins(plans[0] if len(plans) == 1 else plans)
        text = msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() if request.output == "json" else yaml.safe_dump(shown)
        sys.stdout.write(text.rstrip("\n") + "\n")
        return Exit.SUCCEEDED
    colours = views.has_colours(sys.stdout, wiring.environ.get("NO_COLOR", ""), wanted=request.colours)
    printer = views.Printer(sys.stdout, colours=colours)
    for plan in plans:
        printer.write(tree.Line(text=line) for line in lines(plan))
    return Exit.SUCCEEDED


def lines(plan: Planned) -> Iterator[str]:
    """A plan as text."""
    yield f"plan of {plan.workflow}: nothing is run"
    if plan.outcome:
        yield f"  {plan.outcome}"
    starting = [first for first in plan.first if first.runs]
    if starting:
        yield "starts first:"
        for first in starting:
            yield from _first(first)
    idle = [first for first in plan.first if not first.runs]
    if idle:
        yield "is there at once:"
        for first in idle:
            yield from _first(first)
    if plan.later:
        yield "comes later:"
        for later in plan.later:
            yield from _later(later)
    for hook in plan.hooks:
        yield f"hook {hook}"
    if plan.exit_handler:
        yield f"at the end, whatever happens: template {plan.exit_handler}"


def _first(first: First) -> Iterator[str]:
    about = ", ".join(word for word in (first.type, first.template and f"template {first.template}") if word)
    state = f": {first.phase}{f' ({first.message})' if first.message else ''}" if not first.runs and first.phase else ""
    yield f"  {first.name}  ({about}){state}"
    if first.waits:
        yield f"      waits for {first.waits}"
    for name, value in first.inputs.items():
        yield f"      {name} = {_cut(value)}"
    for index, line in enumerate(first.runs):
        yield f"      {'$' if index == 0 else ' '} {_cut(line)}"


def _later(later: Later) -> Iterator[str]:
    yield f"  {later.name}  (template {later.template})  after {later.after}"
    if later.when is not None:
        yield from _value("when", later.when, later.decided)
    if later.loop is not None:
        yield from _value("loop over", later.loop, "" if later.items is None else f"{later.items} items")
    for name, value in later.arguments.items():
        yield from _value(f"{name} =", value)
    if later.hooks:
        yield f"      hooks: {', '.join(later.hooks)}"


def _value(label: str, value: Value, remark: str = "") -> Iterator[str]:
    yield f"      {label} {_cut(value.value)}{f'  -> {remark}' if remark else ''}"
    for tag, waits in value.open.items():
        yield f"          {{{{{tag}}}}} is open: {waits}"


def _cut(text: str) -> str:
    text = text.replace("\n", "\\n")
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}… ({len(text)} characters)"
