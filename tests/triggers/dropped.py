"""A daemon in memory that keeps the promises of the port, and the files that tests drop before it."""

import contextlib
import itertools
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import anyio

from tiphys.settings import DropSettings, LimitSettings
from tiphys.spec.workflows import Document, Workflow
from tiphys.triggers.dropfolder import DropFolder
from tiphys.triggers.port import Busy, Daemon, Rejected

SETTLE = 0.05


class KilledError(Exception):
    """The process ends here."""


class Twin:
    """What a daemon would have recorded; it outlives the DropFolders that talk to it."""

    def __init__(self) -> None:
        self.uids: dict[str, list[str]] = {}  # by key, until forgotten
        self.started: list[tuple[str, Workflow, dict[str, str]]] = []  # source, workflow, parameters
        self.sources: dict[str, str] = {}
        self.documents: dict[str, list[Document]] = {}
        self.forgotten: list[str] = []
        self.changes: list[tuple[str, str]] = []
        self.busy = False
        self.unwanted = ""
        self.dies = False
        self.together = self.most_together = self.submissions = 0
        self._numbers = itertools.count(1)

    async def submit(self, documents: Sequence[Document], *, key: str, source: str, parameters: Mapping[str, str]) -> Sequence[str]:
        self.submissions += 1
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        await anyio.sleep(0.001)  # the commit
        self.together -= 1
        if self.busy:
            raise Busy("the disk is nearly full")
        workflows = [document for document in documents if isinstance(document, Workflow)]
        recorded = self.uids.get(key, [])
        for workflow in workflows[len(recorded) :]:
            self._judge(workflow)
        for workflow in workflows[len(recorded) :]:
            self.started.append((source, workflow, dict(parameters)))
            self.uids.setdefault(key, []).append(f"uid-{next(self._numbers)}")
            if self.dies:
                raise KilledError
            await anyio.lowlevel.checkpoint()
        return self.uids[key]

    def known(self, key: str) -> bool:
        return key in self.uids

    async def forget(self, key: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.uids.pop(key, None)
        self.forgotten.append(key)

    async def define(self, documents: Sequence[Document], *, source: str, digest: str) -> None:
        await anyio.lowlevel.checkpoint()
        if self.busy:
            raise Busy
        for document in documents:
            self._judge(document)
            for other, found in self.documents.items():
                if other != source and any(type(one) is type(document) and one.metadata.name == document.metadata.name for one in found):
                    raise Rejected(f'"{document.metadata.name}" is defined by {other} already')
        self.sources[source] = digest
        self.documents[source] = list(documents)
        self.changes.append(("define", source))

    async def undefine(self, source: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.sources.pop(source, None)
        self.documents.pop(source, None)
        self.changes.append(("undefine", source))

    def definition_sources(self) -> Mapping[str, str]:
        return self.sources

    def definitions(self) -> Sequence[Document]:
        return [document for documents in self.documents.values() for document in documents]

    def _judge(self, document: Document) -> None:
        if self.unwanted and document.metadata.name == self.unwanted:
            raise Rejected(f"templates.main: {self.unwanted} cannot be run here")

    @property
    def names(self) -> list[str]:
        """The workflows that were started."""
        return [workflow.metadata.name for _, workflow, _ in self.started]


_: type[Daemon] = Twin


def opened(twin: Twin, folder: Path, *, settle: float = SETTLE, sweep: float = 0.3, limit: int = 1 << 20, owners=(), **more) -> DropFolder:
    settings = DropSettings(sweep_seconds=sweep, settle_seconds=settle, owners=owners)
    return DropFolder(twin, folder, settings, LimitSettings(file_bytes=limit), **more)


@contextlib.asynccontextmanager
async def running(drop: DropFolder) -> AsyncIterator[None]:
    """`drop` at work. The body runs in a task of the test, as a fixture's would not."""
    async with anyio.create_task_group() as group:
        group.start_soon(drop.run)
        yield
        group.cancel_scope.cancel()


async def until(condition, seconds: float = 10.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


def put(folder: Path, name: str, text: str) -> Path:
    """As a careful program does it: whole, by a rename."""
    path = folder / name
    made = folder / f".{name[:100]}.made"
    made.write_text(text)
    return made.rename(path)


def workflow(name: str = "hello", more: str = "") -> str:
    text = f"""\
        apiVersion: argoproj.io/v1alpha1
        kind: Workflow
        metadata: {{name: {name}}}
        spec:
          entrypoint: main
          templates:
            - name: main
              container: {{image: busybox, command: [echo, hello]}}
        """
    return textwrap.dedent(text) + textwrap.indent(textwrap.dedent(more), "  ")


def calling(name: str, template: str) -> str:
    """A workflow that needs a WorkflowTemplate."""
    return textwrap.dedent(f"""\
        apiVersion: argoproj.io/v1alpha1
        kind: Workflow
        metadata: {{name: {name}}}
        spec:
          entrypoint: main
          templates:
            - name: main
              steps:
                - - {{name: call, templateRef: {{name: {template}, template: main}}}}
        """)


def template(name: str = "library", image: str = "busybox") -> str:
    return textwrap.dedent(f"""\
        apiVersion: argoproj.io/v1alpha1
        kind: WorkflowTemplate
        metadata: {{name: {name}}}
        spec:
          templates:
            - name: main
              container: {{image: {image}, command: [echo, hello]}}
        """)


def template_calling(name: str, other: str) -> str:
    return textwrap.dedent(f"""\
        apiVersion: argoproj.io/v1alpha1
        kind: WorkflowTemplate
        metadata: {{name: {name}}}
        spec:
          templates:
            - name: main
              steps:
                - - {{name: call, templateRef: {{name: {other}, template: main}}}}
        """)


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sizes}\ndata: {small: '1'}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {value: hush-hush}\n"
CRON = """\
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedules: ["0 3 * * *"]
  timezone: Europe/Berlin
  workflowSpec:
    entrypoint: main
    templates:
      - name: main
        container: {image: busybox, command: [echo]}
"""


def inside(folder: Path, part: str) -> list[str]:
    """The names in one of the folders, without the claims' ids, in order."""
    return sorted(path.name.split("-", 1)[1] for path in (folder / part).iterdir())


def read(folder: Path, part: str, name: str) -> str:
    """The text of the one file of a name."""
    [found] = [path for path in (folder / part).iterdir() if path.name.split("-", 1)[1] == name]
    return found.read_text()
