"""Troubles that last are told once, and once more when they are over; a sweep that meets them again says nothing."""

from typing import Any

import structlog

log = structlog.get_logger()


class Told:
    """What was said and still holds."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def once(self, trouble: str, event: str, **fields: Any) -> None:
        """Say it, unless this trouble was told already."""
        if trouble not in self._said:
            self._said[trouble] = event
            log.warning(event, **fields)

    def over(self, trouble: str) -> None:
        """The trouble is gone; its next time is news again."""
        if trouble in self._said:
            log.info("no longer", trouble=self._said.pop(trouble))

    def keep(self, prefix: str, troubles: set[str]) -> None:
        """Forget those of a kind that are not among these."""
        for trouble in [said for said in list(self._said) if said.startswith(prefix) and said not in troubles]:
            del self._said[trouble]
