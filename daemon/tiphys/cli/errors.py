"""What commands raise and their `main` turns into an exit code."""

from tiphys.errors import TiphysError


class BadInput(TiphysError):
    """What was asked for cannot be run as it is; exit code 2."""
