"""Both console scripts enter here. Nothing is imported before it is known to be needed: `tiphys --version` is instant."""

import sys

from tiphys import __version__

BAD_USAGE = 2


def tiphys() -> int:
    """The `tiphys` command; the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphys {__version__}\n")
        return 0
    from tiphys.app import main

    return main(sys.argv[1:])


def tiphysd() -> int:
    """The daemon's command. This release has the engine and its foreground commands; the daemon around it comes with a later one."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphysd {__version__}\n")
        return 0
    sys.stderr.write(
        f"tiphysd: the daemon is not part of release {__version__}; it comes with a later one.\n"
        "Until then `tiphys run FILE` runs a workflow to its end in the foreground.\n"
    )
    return BAD_USAGE


if __name__ == "__main__":
    sys.exit(tiphys())
