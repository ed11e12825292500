"""`tiphys wait`: until workflows have ended, over restarts of the daemon; and how they are followed until then."""

import time
from collections.abc import Iterator, Sequence

import msgspec

from tiphys.cli import bars
from tiphys.cli.client import Said, Unreachable
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.spec.status import Phase, WorkflowStatus
from tiphys.spec.workflows import Workflow

FIELDS = ("apiVersion", "kind", "metadata.name", "metadata.uid", "status.phase", "status.finishedAt", "status.message", "status.progress")
AGAIN_SECONDS = 0.5
GIVE_UP_SECONDS = 300.0
STOPPING = Unreachable("the daemon went away")


def main(remote: Remote, names: Sequence[str], *, ignore_not_found: bool = False) -> Exit:
    """Wait for all of them and say how each ended; 1 where one did not succeed."""
    code = Exit.SUCCEEDED
    for given in names:
        try:
            name = remote.name(given)
            phase, at = ended(remote, name)
        except Said as error:
            if error.missing and ignore_not_found:
                continue
            raise
        remote.print(f"{name} {phase} at {at}")
        if phase != Phase.SUCCEEDED:
            code = Exit.FAILED
    return code


def ended(remote: Remote, name: str) -> tuple[str, str]:
    """The phase in which a workflow ended, and when. Raises Said where it is not there (any more), and Unreachable."""
    with bars.bar() as bar:
        for workflow in followed(remote, name, FIELDS):
            if (status := completed(workflow)) is not None:
                return str(status.phase), status.finished_at or ""
            if workflow.status is not None:
                done, _, whole = workflow.status.progress.partition("/")
                known = done.isdecimal() and whole.isdecimal()
                text = f"{name}  {workflow.status.phase or 'Pending'}  {workflow.status.progress}".rstrip()
                bar.draw(int(done) if known else 0, int(whole) if known else 0, text)
    raise AssertionError  # the last one is completed


def completed(workflow: Workflow) -> WorkflowStatus | None:
    """The status of a workflow that has ended; None: it goes on."""
    return workflow.status if workflow.status is not None and workflow.status.phase.completed else None


def followed(remote: Remote, name: str, fields: Sequence[str] = ()) -> Iterator[Workflow]:
    """A workflow at each of its changes until it has ended, over restarts of the daemon. Raises Said where it is not there, Unreachable.

    `fields`: only these of it.
    """
    remote.workflow(name, ",".join(FIELDS))  # a daemon that was never there is not waited for
    patience = Patience(remote)
    while True:
        try:
            remote.workflow(name, ",".join(FIELDS))  # a watch of what is not there would wait for it
            for event in _events(remote, name, fields):
                patience.renew()
                if event.type == "DELETED":
                    raise Said(404, f'workflows.argoproj.io "{name}" not found: it was deleted')
                yield event.object
                if completed(event.object) is not None:
                    return
            patience.wait(STOPPING)
        except Unreachable as error:
            patience.wait(error)


class Patience:
    """Waits for a daemon that restarts, but not for ever."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._since: float | None = None

    def renew(self) -> None:
        """It is back."""
        self._since = None

    def wait(self, error: Unreachable) -> None:
        """Sleep a little. Raises the error where the daemon has been away for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._remote.tell(f"{error}; waiting for it to come back")
        elif now - self._since > GIVE_UP_SECONDS:
            raise error
        time.sleep(AGAIN_SECONDS)


class _Event(msgspec.Struct):
    type: str
    object: Workflow


class _Line(msgspec.Struct):
    result: _Event


def _events(remote: Remote, name: str, fields: Sequence[str]) -> Iterator[_Event]:
    query = {"listOptions.fieldSelector": f"metadata.name={name}"}
    if fields:
        query["fields"] = ",".join(f"result.object.{field}" for field in fields)
    for line in remote.client.stream(remote.path(kind="workflow-events"), query):
        yield msgspec.json.decode(line, type=_Line).result
