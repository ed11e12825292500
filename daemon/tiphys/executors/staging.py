"""Inputs to where a step expects them, outputs from where it left them: the same for every executor that runs programs.

A step's tree is a stranger's: links in it are never followed here, and only the view says which host file a path of the step is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import anyio.to_thread
import msgspec

from tiphys import faults
from tiphys.artifacts import locations, trees
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.store import Artifacts
from tiphys.errors import TiphysError
from tiphys.spec.artifacts import ArchiveStrategy, Artifact, NoneStrategy
from tiphys.spec.work import OutputParameter, WorkOrder

PARAMETER_BYTES = 1024 * 1024
RESULT_BYTES = 256 * 1024
AS_IT_IS = ArchiveStrategy(none=NoneStrategy())


class View(Protocol):
    """How a step sees files."""

    def host_path(self, path: str) -> Path:
        """The host's file for an absolute path of the step.

        The view follows links as the step would see them; one that is left at the end is not followed. May block: called in a thread.
        """
        ...


class StagedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What came out: parameter values, saved artifacts as status shows them, the result, the saved log."""

    parameters: Mapping[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    result: str | None = None
    log: Artifact | None = None


class StagingError(TiphysError):
    """Inputs or outputs could not be moved. `staged`: what could; `transient`: trying again may help."""

    def __init__(self, message: str = "", *, staged: StagedOut | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.staged = staged or StagedOut()
        self.transient = transient


async def stage_in(order: WorkOrder, view: View, artifacts: Artifacts) -> None:
    """Bring all input artifacts in, outer paths before inner ones. A missing optional one is skipped; else StagingError."""
    for artifact in sorted((entry.artifact for entry in order.inputs), key=lambda artifact: artifact.path.count("/")):
        faults.point("staging-in")
        await _load(artifact, order.workflow.namespace, view, artifacts)


async def _load(artifact: Artifact, namespace: str, view: View, artifacts: Artifacts) -> None:
    if not locations.has_location(artifact):
        if artifact.optional:
            return
        raise StagingError(f"required artifact '{artifact.name}' not supplied")
    dest = await anyio.to_thread.run_sync(view.host_path, artifact.path)
    try:
        await artifacts.load(artifact, dest, namespace)
    except ArtifactError as error:
        if artifact.optional and isinstance(error, ArtifactMissing):
            return
        raise StagingError(f"artifact {artifact.name} failed to load: {error}", transient=error.transient) from error


async def stage_out(order: WorkOrder, view: View, artifacts: Artifacts, stdout: Path | None, log: Path | None) -> StagedOut:
    """Collect all that the order wants; `stdout` and `log` are files of the step's output.

    Everything is tried. StagingError then tells all that went wrong, and `staged` has what did not: outputs of a step that failed
    are worth keeping too.
    """
    wanted, namespace = order.wanted, order.workflow.namespace
    problems: list[ArtifactError | StagingError] = []
    parameters: dict[str, str] = {}
    saved: list[Artifact] = []
    saved_log: Artifact | None = None
    for parameter in wanted.parameters:
        try:
            parameters[parameter.name] = await anyio.to_thread.run_sync(_parameter, parameter, view)
        except StagingError as problem:
            problems.append(problem)
    for output in wanted.artifacts:
        faults.point("staging-out")
        try:
            saved.extend(await _save(output.artifact, namespace, view, artifacts))
        except StagingError as problem:
            problems.append(problem)
    if wanted.logs is not None and log is not None:
        try:
            await artifacts.save(msgspec.structs.replace(wanted.logs, archive=AS_IT_IS), log, namespace)
            saved_log = locations.relocatable(wanted.logs)
        except ArtifactError as problem:
            problems.append(StagingError(f"failed to save the log: {problem}", transient=problem.transient))
    result = await anyio.to_thread.run_sync(_result, stdout) if wanted.result and stdout is not None else None
    staged = StagedOut(parameters=parameters, artifacts=tuple(saved), result=result, log=saved_log)
    if problems:
        raise StagingError("; ".join(map(str, problems)), staged=staged, transient=all(problem.transient for problem in problems))
    return staged


async def save_logs(order: WorkOrder, folder: Path, artifacts: Artifacts) -> tuple[list[Artifact], str]:
    """Save what each container printed into `folder`, `<name>.log`; what was saved, and what went wrong ("": nothing)."""
    saved, problems = list[Artifact](), list[str]()
    for name, artifact in order.wanted.container_logs.items():
        log = folder / f"{name}.log"
        if not await anyio.Path(log).exists():
            continue
        try:
            await artifacts.save(msgspec.structs.replace(artifact, archive=AS_IT_IS), log, order.workflow.namespace)
            saved.append(locations.relocatable(artifact))
        except ArtifactError as problem:
            problems.append(f"failed to save the log of {name}: {problem}")
    return saved, "; ".join(problems)


async def _save(artifact: Artifact, namespace: str, view: View, artifacts: Artifacts) -> list[Artifact]:
    source = await anyio.to_thread.run_sync(view.host_path, artifact.path)
    try:
        return [await artifacts.save(artifact, source, namespace)]
    except ArtifactMissing as error:
        if artifact.optional:
            return []
        raise StagingError(f"output artifact {artifact.name}: {artifact.path} no such file or directory") from error
    except ArtifactError as error:
        raise StagingError(f"output artifact {artifact.name} failed to save: {error}", transient=error.transient) from error


def _parameter(parameter: OutputParameter, view: View) -> str:
    try:
        value = _read(view.host_path(parameter.path))
    except OSError as error:
        if parameter.default is None:
            reason = (error.strerror or str(error)).lower()
            raise StagingError(f"output parameter {parameter.name}: open {parameter.path}: {reason}") from error
        value = parameter.default
    else:
        if len(value) > PARAMETER_BYTES:
            raise StagingError(
                f"output parameter {parameter.name}: {parameter.path} is larger than {PARAMETER_BYTES} bytes; make it an output artifact"
            )
    return value.removesuffix("\n")


def _read(path: Path) -> str:
    with trees.open_file(path) as file:
        return file.read(PARAMETER_BYTES + 1).decode(errors="replace")


def _result(stdout: Path) -> str:
    try:
        opened = trees.open_file(stdout)
    except FileNotFoundError:
        return ""
    with opened as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - RESULT_BYTES - 1))
        tail = file.read(RESULT_BYTES + 1)
    return tail.removesuffix(b"\n")[-RESULT_BYTES:].decode(errors="replace")
