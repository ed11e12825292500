"""Runs the launcher of steps: `python -I -S launcher.py --mode ...`. What it is and does is in the package `launching`.

The package is imported from its place beside this file, and nothing else of the program or of other packages can be: what runs
every step must neither wait for imports nor break with them.
"""

import os
import sys

ONLY_ITSELF = type(sys)("tiphys")


def main() -> int:
    """Run the launcher that lies beside this file (or beside `--source`, where this file's byte code is run)."""
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    here = os.path.dirname(os.path.abspath(words.get("--source", __file__)))
    ONLY_ITSELF.__path__ = [here]
    sys.modules["tiphys"] = ONLY_ITSELF
    from tiphys.launching import program  # noqa: PLC0415 (only now it can be found)

    return program.main(words, here)


if __name__ == "__main__":
    sys.exit(main())
