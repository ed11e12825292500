"""The one error tree. A class exists only if someone catches it; its docstring is its default message."""


class TiphysError(Exception):
    """Tiphys cannot go on."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class StateRefused(TiphysError):
    """The stored state is corrupt, foreign or newer than this program; exit code 78."""


class InvalidSettings(TiphysError):
    """The settings file is not valid; exit code 2."""


class Busy(TiphysError):
    """Not now."""
