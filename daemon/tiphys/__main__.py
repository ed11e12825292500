"""Both console scripts enter here. Nothing is imported before it is known to be needed: `tiphys --version` is instant."""

import gc
import sys

from tiphys import __version__

COLLECT = (50_000, 20, 100)
"""How often cyclic garbage is looked for: importing makes none, and the usual thresholds look through all of it again and again."""

TYPE_CHECKING = False  # typing's own would cost as much as everything else here
if TYPE_CHECKING:
    from tiphys.cli.wiring import Wiring


def tiphys() -> int:
    """The `tiphys` command; the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphys {__version__}\n")
        return 0
    if sys.argv[1:] == ["version", "--short"]:
        sys.stdout.write(f"{__version__}\n")
        return 0
    gc.set_threshold(*COLLECT)
    from tiphys.cli import commands

    return commands.main(sys.argv[1:], _wiring)


def _wiring() -> "Wiring":
    from tiphys import app

    return app.wiring()


def tiphysd() -> int:
    """The daemon's command; the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"tiphysd {__version__}\n")
        return 0
    gc.set_threshold(*COLLECT)
    from tiphys.tiphysd import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(tiphys())
