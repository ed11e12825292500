"""`create`, `update`, `delete`, `suspend`, `resume` of definitions: files are read and judged here, the daemon keeps what they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import structs

from tiphys.cli import standing, submitting
from tiphys.cli.client import Said
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.spec.workflows import ClusterWorkflowTemplate, CronWorkflow, Document, Workflow, WorkflowTemplate

KINDS: dict[str, type[WorkflowTemplate] | type[ClusterWorkflowTemplate] | type[CronWorkflow]] = {
    standing.TEMPLATES: WorkflowTemplate,
    standing.CLUSTER_TEMPLATES: ClusterWorkflowTemplate,
    standing.CRONS: CronWorkflow,
}


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What of a cron workflow is otherwise than in its file."""

    name: str = ""
    generate_name: str = ""
    entrypoint: str = ""
    parameters: tuple[str, ...] = ()
    parameter_file: str = ""
    labels: str = ""
    service_account: str = ""
    schedule: str = ""


def keep(remote: Remote, kind: str, verb: str, files: Sequence[str], form: str, overrides: Overrides | None = None) -> Exit:
    """Create or update (`verb`) the definitions in files, and show what they became."""
    found = _read(remote, kind, files, overrides or Overrides())
    if overrides is not None and overrides.name and len(found) > 1:
        raise BadInput(f"the files hold {len(found)} cron workflows: --name can name only one")
    code, kept = Exit.SUCCEEDED, []
    for document in found:
        try:
            kept.append(_sent(remote, kind, verb, document))
        except Said as error:
            remote.tell(str(error))
            code = Exit.FAILED
    if kept:
        standing.show(remote, kind, kept, form)
    return code


def _sent(remote: Remote, kind: str, verb: str, document: Document) -> Any:
    meta = document.metadata
    body = msgspec.json.encode({"cronWorkflow" if kind == standing.CRONS else "template": document})
    home = meta.namespace if kind != standing.CLUSTER_TEMPLATES else ""
    if verb == "create":
        return msgspec.json.decode(remote.client.post(standing.path(remote, kind, namespace=home), body))
    if not meta.name:
        raise BadInput("what is updated has a name of its own: generateName is for what is new")
    return msgspec.json.decode(remote.client.put(standing.path(remote, kind, meta.name, namespace=home), msgspec.Raw(body)))


def _read(remote: Remote, kind: str, files: Sequence[str], overrides: Overrides) -> list[Document]:
    """The definitions of that kind in the files. Raises BadInput."""
    wanted = KINDS[kind]
    adjust = _over(remote, overrides)
    read = submitting.read(remote, files, adjust, submitting=False)
    found = [adjust(one.document) for one in read if isinstance(one.document, wanted)]
    if not found:
        raise BadInput(f"no {wanted.__name__} found in the given files")
    if others := sorted({type(one.document).__name__ for one in read} - {wanted.__name__}):
        remote.tell(f"left out, because this is for a {wanted.__name__}: {', '.join(others)}")
    return found


def _over(remote: Remote, overrides: Overrides) -> Callable[[Document], Document]:
    wish = submitting.Wish(
        name=overrides.name,
        generate_name=overrides.generate_name,
        entrypoint=overrides.entrypoint,
        parameters=overrides.parameters,
        parameter_file=overrides.parameter_file,
        labels=overrides.labels,
        service_account=overrides.service_account,
    )
    change = submitting.over(wish, submitting.values(remote, wish))

    def made(document: Document) -> Document:
        if not isinstance(document, CronWorkflow):
            return document
        changed = change(Workflow(api_version=document.api_version, metadata=document.metadata, spec=document.spec.workflow_spec))
        assert isinstance(changed, Workflow)
        spec = structs.replace(document.spec, workflow_spec=changed.spec)
        if overrides.schedule:
            spec = structs.replace(spec, schedules=(overrides.schedule,), schedule="")
        return structs.replace(document, metadata=changed.metadata, spec=spec)

    return made


def delete(remote: Remote, kind: str, names: Sequence[str], *, all_: bool) -> Exit:
    """Take definitions out of force, by name or all of the namespace."""
    if all_:
        found = remote.client.value(standing.path(remote, kind), {"fields": "items.metadata.name"})
        names = [*names, *(item["metadata"]["name"] for item in found.get("items") or () if item["metadata"]["name"] not in names)]
        if not names:
            remote.print("No resources found")
    elif not names:
        raise BadInput("which? Give a name, or --all")

    def one(name: str) -> None:
        remote.client.delete(standing.path(remote, kind, name))
        remote.print(f"{KINDS[kind].__name__} '{name}' deleted")

    return remote.each(names, one)


def pause(remote: Remote, verb: str, names: Sequence[str]) -> Exit:
    """Have cron workflows start nothing (`suspend`), or go on (`resume`)."""

    def one(name: str) -> None:
        remote.client.put(standing.path(remote, standing.CRONS, name, verb), {})
        remote.print(f"CronWorkflow '{name}' {'suspended' if verb == 'suspend' else 'resumed'}")

    return remote.each(names, one)
