"""What the drop folder asks of the engine: the seam between files that come and go and work that is recorded."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tiphys.engine.submissions import Rejected
from tiphys.errors import Busy
from tiphys.spec.workflows import Document

__all__ = ["Busy", "Daemon", "Rejected"]


class Daemon(Protocol):
    """Takes submissions and definitions. Whatever it acknowledged is recorded and outlives the process.

    `Rejected` is for good and its text lists why. `Busy` is for now (the disk is low, the daemon is ending): the same call is made
    again later.
    """

    async def submit(self, documents: Sequence[Document], *, key: str, source: str, parameters: Mapping[str, str]) -> Sequence[str]:
        """Start the Workflows among the documents, the others are there for them; their uids.

        Idempotent on `key` and a Workflow's place among the documents: the same again starts nothing and gives the first call's uids.
        A call that was cut short may have started some, and the same call again starts the rest. Raises Rejected or Busy, starting
        none of the rest.
        """
        ...

    def known(self, key: str) -> bool:
        """Whether any of a submission with this key was recorded and is not forgotten."""
        ...

    async def forget(self, key: str) -> None:
        """The key will not come again and need no longer be remembered. A key that is not known is no error."""
        ...

    async def define(self, documents: Sequence[Document], *, source: str, digest: str) -> None:
        """The definitions that come from `source` are now exactly these, made from content with this digest.

        Raises Rejected (also where another source defines the same) or Busy, leaving the former ones in force.
        """
        ...

    async def undefine(self, source: str) -> None:
        """Nothing comes from `source` any more. Raises Busy."""
        ...

    def definition_sources(self) -> Mapping[str, str]:
        """Each source with the digest that its definitions were last made from, as recorded."""
        ...

    def definitions(self) -> Sequence[Document]:
        """All definitions in force, whatever their source."""
        ...
