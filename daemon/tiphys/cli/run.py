"""`tiphys run`: read, check, run to the end in the foreground, report. The engine comes from `app`; see `foreground` for the run itself."""

import os
import random
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
from anyio import to_thread

from tiphys import configuration as configuring
from tiphys.cli import defaulting, files, foreground, inputs, keeping, tree, views
from tiphys.cli.exits import Exit
from tiphys.cli.requests import Request, Work
from tiphys.cli.wiring import Wiring
from tiphys.configuration import Configuration
from tiphys.errors import InvalidSettings, StateRefused, TiphysError
from tiphys.manifests import diagnostics, linting
from tiphys.manifests import parameters as parameters_given
from tiphys.manifests.reading import Located
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Workflow

RUNS = "runs"


def main(request: Request, wiring: Wiring) -> Exit:
    """Carry out a request; the exit code. Mistakes are told on standard error."""
    errors = views.Printer(sys.stderr, colours=views.has_colours(sys.stderr, wiring.environ.get("NO_COLOR", ""), wanted=request.colours))
    try:
        loaded = wiring.load(request.config)
        work = prepared(request, loaded, errors)
        if request.dry_run:
            from tiphys.cli import dry

            return dry.run(request, work, loaded, wiring)
        return anyio.run(_run, request, loaded, work, wiring)
    except StateRefused as error:
        errors.write([tree.Line(text=f"tiphys: {error}")])
        return Exit.STATE_REFUSED
    except (inputs.BadInput, InvalidSettings) as error:
        errors.write([tree.Line(text=f"tiphys: {error}" if "\n" not in str(error) else str(error))])
        return Exit.BAD_INPUT
    except TiphysError as error:
        refused = isinstance(error, wiring.rejected())
        errors.write([tree.Line(text=str(error) if refused else f"tiphys: {error}")])
        return Exit.BAD_INPUT if refused else Exit.FAILED


def prepared(request: Request, loaded: Configuration, errors: views.Printer) -> Work:
    """Read and check the file and the parameters. Warnings are told; BadInput is raised with the errors."""
    settings = loaded.settings
    if request.metrics is not None and not os.access(request.metrics.absolute().parent, os.W_OK | os.X_OK):
        raise inputs.BadInput(f"--metrics: {request.metrics}: its folder is not there, or may not be written to")
    given = _parameters(request, loaded)
    file, data = files.read(request.file, settings.limits.file_bytes)
    adjust = defaulting.over_defaults(loaded)
    report = linting.lint([(file, data)], limits=settings.limits, adjust=adjust)
    _tell([finding for finding in report.diagnostics if finding.severity is Severity.WARNING], errors)
    _refuse([finding for finding in report.diagnostics if finding.severity is Severity.ERROR])
    found = inputs.chosen(report.documents, entrypoint=request.entrypoint, now=datetime.now(UTC))
    if request.name and len(found) > 1:
        raise inputs.BadInput(f"{file} holds {len(found)} workflows: --name can name only one")
    draw = random.SystemRandom().getrandbits
    final = [
        (inputs.overridden(inputs.named(workflow, request.name, settings.namespace, lambda: draw(16)), given, request.entrypoint), source)
        for workflow, source in found
    ]
    known = linting.together(report.documents, None)
    for workflow, source in final:
        if isinstance(source.document, Workflow):
            judged = linting.judged(Located(document=adjust(workflow), marks=source.marks, file=source.file), known, submitting=True)
            _refuse([finding for finding in judged if finding.severity is Severity.ERROR])
    support = tuple(located.document for located in report.documents if not isinstance(located.document, Workflow))
    return Work(
        support=support,
        workflows=tuple(workflow for workflow, _ in final),
        prefix=found[0][0].metadata.generate_name,
        located=report.documents,
    )


def _parameters(request: Request, loaded: Configuration) -> dict[str, str]:
    """The parameters of `-f`, and over them those of `-p`."""
    from_flags = parameters_given.from_arguments(request.parameters)
    if not from_flags.ok:
        raise inputs.BadInput("\n".join(finding.message for finding in from_flags.diagnostics))
    from_file = parameters_given.Given()
    if request.parameter_file:
        if request.parameter_file == request.file == files.STDIN:
            raise inputs.BadInput("the workflow and the parameters cannot both come from standard input")
        file, data = files.read(request.parameter_file, loaded.settings.limits.file_bytes)
        from_file = parameters_given.from_file(data, file, loaded.settings.limits)
        _refuse([finding for finding in from_file.diagnostics if finding.severity is Severity.ERROR])
    return {**from_file.values, **from_flags.values}


def _refuse(found: list[diagnostics.Diagnostic] | tuple[diagnostics.Diagnostic, ...]) -> None:
    if found:
        raise inputs.BadInput("\n".join(map(diagnostics.render, found)) + "\n")


def _tell(found: list[diagnostics.Diagnostic], errors: views.Printer) -> None:
    errors.write(tree.Line(text=diagnostics.render(finding)) for finding in found)


async def _run(request: Request, loaded: Configuration, work: Work, wiring: Wiring) -> Exit:
    """Run the work. What the engine refuses is carried out of its context as a value: it is told after everything was closed."""
    runs = configuring.state_directory(loaded.settings, wiring.environ, wiring.home, root=wiring.root) / RUNS
    state = _state(request, work, runs)
    new = request.state is None and not request.retry
    outcome: Exit | TiphysError
    with keeping.claimed(state):
        executor = request.executor or loaded.settings.executor
        async with wiring.open_engine(loaded)(state=state, executor=executor, documents=work.support) as engine:
            try:
                outcome = await foreground.run(request, work, engine, state, wiring)
            except TiphysError as error:
                outcome = error
            nothing_ran = not engine.uids()
    if new and nothing_ran and isinstance(outcome, TiphysError):
        await to_thread.run_sync(shutil.rmtree, state)
    await to_thread.run_sync(keeping.sweep, runs, loaded.settings.run.keep_seconds)
    if isinstance(outcome, TiphysError):
        raise outcome
    return outcome


def _state(request: Request, work: Work, runs: Path) -> Path:
    """The directory that keeps the run's state."""
    if request.state is not None:
        return request.state.absolute()
    name = request.name or ("" if work.prefix else work.workflows[0].metadata.name)
    if request.retry:
        found = keeping.latest(runs, name, work.prefix)
        if found is None:
            raise inputs.BadInput(f"there is no run of {name or work.prefix} to retry in {runs}")
        return found
    return keeping.fresh(runs, work.workflows[0].metadata.name)
