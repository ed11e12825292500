"""Both console scripts enter here. Nothing is imported before it is known to be needed: `tiphys --version` is instant."""

import sys

from tiphys import __version__


def tiphys() -> int:
    """The `tiphys` command; the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphys {__version__}\n")
        return 0
    from tiphys.app import main

    return main(sys.argv[1:])


def tiphysd() -> int:
    """The daemon's command; the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphysd {__version__}\n")
        return 0
    from tiphys.tiphysd import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(tiphys())
