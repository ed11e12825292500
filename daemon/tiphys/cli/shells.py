"""The scripts that shells read to complete this command's words. They are click's; each asks `tiphys` itself, by a variable.

An option and its value may be one word, as `--from=workflowtemplate/greet`: click offers the value alone. Bash, which takes the word apart
at the sign, must tell click so much; zsh and fish would put the value in the place of the whole word, or drop it, and get it as a whole.
"""

import os

import click
from click import shell_completion
from click.shell_completion import CompletionItem

from tiphys.cli.commands import VARIABLE

NAMES = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """What the shell must read."""
    known = shell_completion.get_completion_class(shell)
    assert known is not None
    made = known(click.Command("tiphys"), {}, "tiphys", VARIABLE)
    return made.source_template % made.source_vars()


def prepare() -> None:
    """Answer shells in our way."""
    for made in (Bash, Zsh, Fish):
        shell_completion.add_completion_class(made)


def joined(words: list[str]) -> list[str]:
    """Words that bash took apart at `=`, whole again."""
    whole: list[str] = []
    after = False
    for word in words:
        if whole and (word == "=" or after):
            whole[-1] += word
        else:
            whole.append(word)
        after = word == "="
    return whole


def with_option(incomplete: str, items: list[CompletionItem]) -> list[CompletionItem]:
    """Values behind the option that they belong to, where what was typed is both in one word."""
    option, sign, _ = incomplete.partition("=")
    if not (sign and option.startswith("-")):
        return items
    return [CompletionItem(f"{option}={one.value}", one.type, one.help) if one.type == "plain" else one for one in items]


class Bash(shell_completion.BashComplete):
    """The Tab key in bash."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that one."""
        words = shell_completion.split_arg_string(os.environ["COMP_WORDS"])
        count = int(os.environ["COMP_CWORD"])
        typed = words[count] if count < len(words) else ""
        *before, incomplete = joined([*words[1:count], typed])
        return before, incomplete


class Zsh(shell_completion.ZshComplete):
    """The Tab key in zsh."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What is offered."""
        return with_option(incomplete, super().get_completions(args, incomplete))


class Fish(shell_completion.FishComplete):
    """The Tab key in fish."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What is offered."""
        return with_option(incomplete, super().get_completions(args, incomplete))
