"""`tiphys lint`: every mistake of manifests, in Argo's two styles, each with its place and a hint."""

import sys
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from tiphys.cli import defaulting, files, inputs, tree, views
from tiphys.cli.exits import Exit
from tiphys.cli.wiring import Supports, Wiring
from tiphys.errors import InvalidSettings
from tiphys.manifests import advising, linting, reading
from tiphys.manifests.diagnostics import Diagnostic, render
from tiphys.manifests.reading import Located
from tiphys.manifests.rules import Definitions
from tiphys.manifests.wording import Finding
from tiphys.scheduler import sources
from tiphys.spec.templates import Template
from tiphys.spec.work import Severity
from tiphys.spec.workflows import ClusterWorkflowTemplate, CronWorkflow, Workflow, WorkflowSpec, WorkflowTemplate

SIGNS = {Severity.ERROR: "✖", Severity.WARNING: "⚠", Severity.NOTICE: "○"}
COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTICE: "default"}
WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTICE: "notice"}
RUNNABLE = frozenset({"Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    paths: tuple[str, ...]
    executor: str = ""
    form: str = "pretty"
    advise: bool = False
    offline: bool = False
    kinds: frozenset[str] = RUNNABLE | {"ConfigMap", "Secret"}
    colours: bool = True
    config: Path | None = None


def main(request: Request, wiring: Wiring) -> Exit:
    """Lint the files and folders; 0 where nothing is wrong, else 2."""
    printer = views.Printer(sys.stdout, colours=views.has_colours(sys.stdout, wiring.environ.get("NO_COLOR", ""), wanted=request.colours))
    try:
        loaded = wiring.load(request.config)
        limits = loaded.settings.limits
        given = [files.read(path, limits.file_bytes) for path in files.found(request.paths)]
        adjust = defaulting.over_defaults(loaded)
        supports = wiring.supports(loaded, request.executor or loaded.settings.executor)
    except (inputs.BadInput, InvalidSettings) as error:
        views.Printer(sys.stderr, colours=False).write([tree.Line(text=f"tiphys: {error}")])
        return Exit.BAD_INPUT
    report = linting.lint(given, limits=limits, definitions=known(given, offline=request.offline), adjust=adjust)
    judged = [diagnostic for located in report.documents for diagnostic in runnable(located, supports, strict=bool(request.executor))]
    if request.advise:
        judged += [diagnostic for located in report.documents for diagnostic in advised(located)]
    diagnostics = linting.ordered([*report.diagnostics, *judged], [name for name, _ in given])
    failed = any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    nothing = not failed and not any(report.counts.get(kind) for kind in request.kinds)
    printer.write(simple(diagnostics) if request.form == "simple" else pretty(diagnostics, report.documents))
    if nothing:
        printer.write([tree.Line(text="✖ found nothing to lint in the specified paths, failing...", sign="✖", colour="red")])
    elif request.form == "pretty":
        printer.write([summary(diagnostics)])
    return Exit.BAD_INPUT if failed or nothing else Exit.SUCCEEDED


def known(given: Sequence[tuple[str, bytes]], *, offline: bool) -> Definitions:
    """What is known beside the files: the time zones, read from disk only where a schedule may name one."""
    schedules = any(b"CronWorkflow" in data for _, data in given)
    return Definitions(timezones=frozenset(zoneinfo.available_timezones()) if schedules else None, offline=offline)


def runnable(located: Located, supports: Supports, *, strict: bool) -> tuple[Diagnostic, ...]:
    """What an executor says of a document's templates. Its errors are warnings unless that executor was asked for (`strict`)."""
    spec, prefix = _spec(located)
    if spec is None:
        return ()
    said = [
        Finding(
            path=(*path, *finding.field.split(".")),
            message=f"{name}: {finding.message}",
            hint="",
            severity=finding.severity if strict or finding.severity is not Severity.ERROR else Severity.WARNING,
        )
        for path, name, template in templates(spec.templates, prefix)
        for finding in supports(sources.with_defaults(template, spec.template_defaults))
    ]
    return reading.finished(reading.located(located.marks, said), located.marks.source)


def advised(located: Located) -> tuple[Diagnostic, ...]:
    """Advice for a document's templates; nothing of it refuses the document."""
    spec, prefix = _spec(located)
    if spec is None:
        return ()
    full = msgspec.structs.replace(spec, templates=tuple(sources.with_defaults(one, spec.template_defaults) for one in spec.templates))
    library = isinstance(located.document, WorkflowTemplate | ClusterWorkflowTemplate)
    said = advising.of_spec(full, prefix[:-1], callable_from_outside=library)
    return reading.finished(reading.located(located.marks, said), located.marks.source)


def _spec(located: Located) -> tuple[WorkflowSpec | None, tuple[str | int, ...]]:
    """The workflow spec in a document, if there is one, and the path of its templates."""
    match located.document:
        case Workflow() | WorkflowTemplate() | ClusterWorkflowTemplate() as document:
            return document.spec, ("spec", "templates")
        case CronWorkflow() as document:
            return document.spec.workflow_spec, ("spec", "workflowSpec", "templates")
        case _:
            return None, ()


def templates(given: Sequence[Template], prefix: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, Template]]:
    """The templates and those inline in their steps and tasks: path, name for messages, template."""
    for index, template in enumerate(given):
        path, name = (*prefix, index), f"templates.{template.name}"
        yield path, name, template
        for outer, group in enumerate(template.steps or ()):
            for inner, step in enumerate(group):
                if step.inline is not None:
                    yield (*path, "steps", outer, inner, "inline"), f"{name}.{step.name}.inline", step.inline
        for number, task in enumerate(template.dag.tasks if template.dag else ()):
            if task.inline is not None:
                yield (*path, "dag", "tasks", number, "inline"), f"{name}.{task.name}.inline", task.inline


def simple(diagnostics: Iterable[Diagnostic]) -> list[tree.Line]:
    """`file:line:column: message`, one line each; what is no error says so before its message."""
    return [
        tree.Line(
            text=f"{one.place}: {'' if one.severity is Severity.ERROR else WORDS[one.severity] + ': '}{' '.join(one.message.split())}"
        )
        for one in diagnostics
    ]


def pretty(diagnostics: Sequence[Diagnostic], documents: Sequence[Located]) -> list[tree.Line]:
    """By file: its name, then each finding with the object it is in, its place in the text, and a hint."""
    lines: list[tree.Line] = []
    for file in dict.fromkeys(diagnostic.file for diagnostic in diagnostics):
        lines.append(tree.Line(text=f"{file or '-'}:", sign=file, colour="underline"))
        own = [located for located in documents if located.file == file]
        for one in diagnostics:
            if one.file == file:
                lines += _finding(one, own)
        lines.append(tree.Line(text=""))
    return lines


def _finding(one: Diagnostic, documents: Sequence[Located]) -> Iterator[tree.Line]:
    where = f" at {one.line}:{one.column}" if one.line else ""
    about = f"{_object(one, documents)}{where}".strip()
    sign = SIGNS[one.severity]
    yield tree.Line(
        text=f"   {sign} {about}: {one.message}" if about else f"   {sign} {one.message}", sign=sign, colour=COLOURS[one.severity]
    )
    # The excerpt with its caret and the hint are as everywhere; only the first line, place and message, is Argo's here.
    shown = render(msgspec.structs.replace(one, message="")).split("\n")[1:]
    for line in shown:
        yield tree.Line(text=f"     {line}")


def _object(one: Diagnostic, documents: Sequence[Located]) -> str:
    """`in "name" (Kind)` of the last document that begins before the finding."""
    above = [located for located in documents if located.marks.start <= one.line]
    if not above:
        return ""
    document = max(above, key=lambda located: located.marks.start).document
    name = document.metadata.name or document.metadata.generate_name
    return f'in "{name}" ({type(document).__name__})'


def summary(diagnostics: Iterable[Diagnostic]) -> tree.Line:
    """Argo's closing line."""
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    if errors:
        return tree.Line(text=f"✖ {errors} linting error{'s' if errors > 1 else ''} found!", sign="✖", colour="red")
    return tree.Line(text="✔ no linting errors found!", sign="✔", colour="green")
