"""`tiphys submit`: files are read and judged here, where their lines are known; the daemon starts what they hold."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import structs

from tiphys.cli import defaulting, files, following, inputs, showing, steering, times
from tiphys.cli import lint as linted
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote, decoded
from tiphys.manifests import diagnostics, linting
from tiphys.manifests import parameters as given
from tiphys.manifests.reading import Located
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Document, ObjectMeta, Workflow

SCHEDULED = "workflows.argoproj.io/scheduled-time"
SOURCE = re.compile(r"(?P<kind>[A-Za-z]+)/(?P<name>.+)")
PAIR = re.compile(r"[^=]+=.*")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was typed."""

    files: tuple[str, ...] = ()
    source: str = ""
    parameters: tuple[str, ...] = ()
    parameter_file: str = ""
    name: str = ""
    generate_name: str = ""
    entrypoint: str = ""
    labels: str = ""
    service_account: str = ""
    priority: int | None = None
    scheduled_time: str = ""
    dry_run: bool = False
    server_dry_run: bool = False
    wait: bool = False
    watch: bool = False
    log: bool = False
    output: str = ""


def main(remote: Remote, wish: Wish) -> Exit:
    """Submit, print, and wait where that is asked for."""
    if bool(wish.source) == bool(wish.files):
        raise BadInput("what is to be submitted? Give files, or --from KIND/NAME, not both")
    parameters = values(remote, wish)
    if wish.source:
        made = [_from(remote, wish, parameters)]
    else:
        adjusted = over(wish, parameters)
        located = read(remote, wish.files, adjusted)
        support = [one.document for one in located if not isinstance(one.document, Workflow)]
        found = [adjusted(one.document) for one in located if isinstance(one.document, Workflow)]
        if not found:
            raise BadInput("no Workflow found in the given files; a template that is in force is run with --from KIND/NAME")
        if wish.name and len(found) > 1:
            raise BadInput(f"the files hold {len(found)} workflows: --name can name only one")
        if wish.dry_run:
            showing.show(remote, [one for one in found if isinstance(one, Workflow)], wish.output)
            return Exit.SUCCEEDED
        made = [_created(remote, one, support, dry=wish.server_dry_run) for one in found]
    names = [workflow.metadata.name for workflow in made]
    if wish.watch and not wish.server_dry_run:
        return following.to_the_end(remote, names, watch=True)
    showing.show(remote, made, wish.output)
    if wish.dry_run or wish.server_dry_run:
        return Exit.SUCCEEDED
    return following.to_the_end(remote, names, wait=wish.wait, log=wish.log)


def values(remote: Remote, wish: Wish) -> dict[str, str]:
    """The parameters of `-f`, and over them those of `-p`."""
    limits = remote.loaded.settings.limits
    from_file = given.Given()
    if wish.parameter_file:
        if wish.parameter_file == files.STDIN and files.STDIN in wish.files:
            raise BadInput("the workflow and the parameters cannot both come from standard input")
        name, data = files.read(wish.parameter_file, limits.file_bytes)
        from_file = given.from_file(data, name, limits)
        _refuse(from_file.diagnostics)
    return {**from_file.values, **steering.values(wish.parameters)}


def read(remote: Remote, paths: Sequence[str], adjust: Callable[[Document], Document], *, submitting: bool = True) -> Sequence[Located]:
    """The documents of the files, judged as far as that can be done without the daemon's definitions. Raises BadInput."""
    limits = remote.loaded.settings.limits
    texts = [files.read(path, limits.file_bytes) for path in files.found(paths)]
    below = defaulting.over_defaults(remote.loaded)
    report = linting.lint(
        texts,
        limits=limits,
        definitions=linted.known(texts, offline=True),
        submitting=submitting,
        adjust=lambda document: below(adjust(document)),
    )
    _refuse(report.diagnostics)
    return report.documents


def _refuse(found: Sequence[diagnostics.Diagnostic]) -> None:
    if wrong := [one for one in found if one.severity is Severity.ERROR]:
        raise BadInput("\n".join(map(diagnostics.render, wrong)) + "\n")


def over(wish: Wish, values: dict[str, str]) -> Callable[[Document], Document]:
    """What makes a Workflow as it is wanted; other documents stay."""
    labels = _labels(wish.labels)

    def made(document: Document) -> Document:
        if not isinstance(document, Workflow):
            return document
        spec = document.spec
        if wish.service_account:
            spec = structs.replace(spec, service_account_name=wish.service_account)
        if wish.priority is not None:
            spec = structs.replace(spec, priority=wish.priority)
        named = structs.replace(document, metadata=_metadata(document.metadata, wish, labels), spec=spec)
        return inputs.overridden(named, values, wish.entrypoint)

    return made


def _metadata(meta: ObjectMeta, wish: Wish, labels: dict[str, str]) -> ObjectMeta:
    if wish.name:
        meta = structs.replace(meta, name=wish.name)
    elif wish.generate_name:
        meta = structs.replace(meta, name="", generate_name=wish.generate_name)
    if wish.scheduled_time:
        meta = structs.replace(meta, annotations={**(meta.annotations or {}), SCHEDULED: _moment(wish.scheduled_time)})
    return structs.replace(meta, labels={**(meta.labels or {}), **labels}) if labels else meta


def _moment(text: str) -> str:
    if times.moment(text) is None:
        raise BadInput(f"--scheduled-time is {text!r}; it is a time as 2026-01-02T15:04:05Z")
    return text


def _labels(text: str) -> dict[str, str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if not PAIR.fullmatch(part)]:
        raise BadInput(f"expected labels of the form: NAME1=VALUE1,NAME2=VALUE2. Received: {wrong[0]}")
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def _created(remote: Remote, workflow: Document, support: Sequence[Document], *, dry: bool) -> Workflow:
    assert isinstance(workflow, Workflow)
    path = remote.path(namespace=workflow.metadata.namespace)
    query = {"dryRun": "true"} if dry else None
    if not support:
        return decoded(remote.client.post(path, msgspec.json.encode({"workflow": workflow}), query))
    body = b"\n---\n".join(msgspec.json.encode(one) for one in (workflow, *support))
    return decoded(remote.client.post(path, body, query, "application/yaml"))


def _from(remote: Remote, wish: Wish, values: dict[str, str]) -> Workflow:
    """A workflow from what is in force."""
    found = SOURCE.fullmatch(wish.source)
    if found is None:
        raise BadInput(f"--from is {wish.source!r}; it is KIND/NAME, as workflowtemplate/NAME, clusterworkflowtemplate/NAME, cronwf/NAME")
    options = {
        "name": wish.name,
        "generateName": wish.generate_name,
        "entryPoint": wish.entrypoint,
        "parameters": [f"{name}={value}" for name, value in values.items()],
        "labels": wish.labels,
        "annotations": f"{SCHEDULED}={_moment(wish.scheduled_time)}" if wish.scheduled_time else "",
        "serviceAccount": wish.service_account,
        "serverDryRun": wish.dry_run or wish.server_dry_run,
    }
    chosen: dict[str, object] = {key: value for key, value in options.items() if value}
    if wish.priority is not None:
        chosen["priority"] = wish.priority
    body = {"namespace": remote.namespace, "resourceKind": found["kind"], "resourceName": found["name"], "submitOptions": chosen}
    return decoded(remote.client.post(remote.path("submit"), msgspec.json.encode(body)))
