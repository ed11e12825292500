"""The scripts that shells read to complete this command's words. They are click's; each asks `tiphys` itself, by a variable."""

import click
from click import shell_completion

NAMES = ("bash", "zsh", "fish")
VARIABLE = "_TIPHYS_COMPLETE"


def script(shell: str) -> str:
    """What the shell must read."""
    known = shell_completion.get_completion_class(shell)
    assert known is not None
    made = known(click.Command("tiphys"), {}, "tiphys", VARIABLE)
    return made.source_template % made.source_vars()
