"""What was typed after `tiphys run`, and what it comes to when the files were read."""

from pathlib import Path

import msgspec

from tiphys.manifests.reading import Located
from tiphys.spec.workflows import Document, Workflow


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    file: str
    parameters: tuple[str, ...] = ()
    parameter_file: str = ""
    entrypoint: str = ""
    name: str = ""
    executor: str = ""
    state: Path | None = None
    retry: bool = False
    output: str = ""
    log: bool = False
    dry_run: bool = False
    metrics: Path | None = None
    colours: bool = True
    utf8: bool = True
    config: Path | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The workflows of a file, ready to run, and the documents that are there for them.

    `prefix` is the generateName of the first workflow, "" where its name is its own. `located`: all documents, with their places.
    """

    support: tuple[Document, ...]
    workflows: tuple[Workflow, ...]
    prefix: str
    located: tuple[Located, ...] = ()
