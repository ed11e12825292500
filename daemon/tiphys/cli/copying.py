"""`tiphys cp`: a workflow's output artifacts as files of a folder, each whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import unquote

from tiphys.cli import bars
from tiphys.cli.client import Said, quoted
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.spec.artifacts import Artifact
from tiphys.spec.status import NodeStatus
from tiphys.spec.workflows import Workflow

PATTERN = "{namespace}/{workflowName}/{nodeId}/outputs/{artifactName}"
PIECE_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was typed."""

    name: str
    directory: Path
    template_name: str = ""
    node_id: str = ""
    artifact_name: str = ""
    path: str = PATTERN


def main(remote: Remote, wish: Wish) -> Exit:
    """Copy what is meant; 1 where one could not be had, or there is none."""
    workflow = remote.workflow(remote.name(wish.name))
    found = [(node, artifact) for node, artifact in outputs(workflow) if _meant(wish, node, artifact)]
    if not found:
        remote.tell(f"{workflow.metadata.name} has no such output artifacts")
        return Exit.FAILED
    code = Exit.SUCCEEDED
    for number, (node, artifact) in enumerate(found, 1):
        place = folder(wish, workflow, node, artifact)
        try:
            at = quoted(workflow.metadata.namespace, workflow.metadata.name, node.id, artifact.name)
            made = _copied(remote, f"//artifacts{at}", place, artifact.name, f"{number}/{len(found)}")
            remote.print(f'Created "{made}"')
        except Said as error:
            remote.tell(str(error))
            code = Exit.FAILED
        except OSError as error:
            raise BadInput(f"{error.filename or place}: {error.strerror or error}") from error
    return code


def outputs(workflow: Workflow) -> Iterator[tuple[NodeStatus, Artifact]]:
    """What the nodes of a workflow gave and is still there."""
    for node in ((workflow.status.nodes if workflow.status else None) or {}).values():
        for artifact in node.outputs.artifacts if node.outputs else ():
            if not artifact.deleted:
                yield node, artifact


def folder(wish: Wish, workflow: Workflow, node: NodeStatus, artifact: Artifact) -> Path:
    """Where an artifact goes, by the pattern. Raises BadInput where that is not below the folder."""
    words = {
        "templateName": _template(node),
        "namespace": workflow.metadata.namespace,
        "workflowName": workflow.metadata.name,
        "nodeId": node.id,
        "artifactName": artifact.name,
    }
    place = wish.path
    for word, value in words.items():
        place = place.replace(f"{{{word}}}", value)
    if ".." in Path(place).parts or "\0" in place:
        raise BadInput(f"--path leads out of {wish.directory}: {place}")
    return wish.directory / place.lstrip("/")


def _meant(wish: Wish, node: NodeStatus, artifact: Artifact) -> bool:
    return wish.template_name in {"", _template(node)} and wish.node_id in {"", node.id} and wish.artifact_name in {"", artifact.name}


def _template(node: NodeStatus) -> str:
    return node.template_ref.template if node.template_ref is not None else node.template_name


def _copied(remote: Remote, path: str, place: Path, artifact: str, count: str) -> Path:
    """The file that an artifact became."""
    with remote.client.saving(path) as answer:
        place.mkdir(parents=True, exist_ok=True)
        made = place / (_file_name(answer) or artifact)
        number, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=place)
        try:
            with os.fdopen(number, "wb") as file, bars.bar() as bar:
                size, done = answer.length or 0, 0
                while piece := remote.client.piece(answer, PIECE_BYTES):
                    done += file.write(piece)
                    bar.draw(done, size, f"{bytes_text(done)}{f' of {bytes_text(size)}' if size else ''}  {count} {made.name}")
            if answer.length:
                raise Said(502, f"{made.name}: the daemon hung up in the middle of it")
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(made)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return made


def _umask() -> int:
    """What the user's files are without; it can only be asked by setting it."""
    found = os.umask(0o022)
    os.umask(found)
    return found


def _file_name(answer: HTTPResponse) -> str:
    """The name that the daemon gives it, as that of a file in one folder."""
    said = Message()
    said["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    name = unquote(said.get_filename() or "")
    return Path(name).name if name not in {".", ".."} and "\0" not in name else ""


def bytes_text(count: int) -> str:
    """`17 B`, `3.4 MB`."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
