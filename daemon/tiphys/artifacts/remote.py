"""What a place away from this machine can do. One object of this kind is bound to one artifact's place."""

from pathlib import Path
from typing import Protocol


class Remote(Protocol):
    """Every call raises ArtifactError, and ArtifactMissing where there is no such artifact."""

    async def fetch(self, to: Path) -> None:
        """Bring the bytes to the new path `to`: a file, or a folder if the place holds one."""
        ...

    async def store_file(self, source: Path) -> None:
        """Keep one file."""
        ...

    async def store_folder(self, source: Path) -> None:
        """Keep a folder, file by file."""
        ...

    async def keys(self) -> list[str]:
        """All keys at or below this one."""
        ...

    async def delete(self) -> None:
        """Forget it, and all below it; missing is fine."""
        ...
