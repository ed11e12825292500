"""How moving an artifact can fail."""

from tiphys.errors import TiphysError


class ArtifactError(TiphysError):
    """The artifact cannot be moved. `transient`: trying again may help."""

    def __init__(self, message: str = "", *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class ArtifactMissing(ArtifactError):
    """There is no such artifact."""
