"""Which build of the launcher it is: the daemon compares the one that runs with the one on disk, and replaces it when it is idle."""

import os
import zlib


def build(here: str) -> int:
    """The build that lies in a folder: `launcher.py`, and this package beside it."""
    package = os.path.join(here, "launching")
    found = 0
    for path in (os.path.join(here, "launcher.py"), *(os.path.join(package, name) for name in sorted(os.listdir(package)))):
        if path.endswith(".py"):
            with open(path, "rb") as file:
                found = zlib.crc32(file.read(), found)
    return found
