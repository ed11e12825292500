"""Options that ask which daemon, given before the command: `tiphys -n team list` is as good as `tiphys list -n team`, as with argo."""

import click

VALUED = frozenset(
    {"-n", "--namespace", "-s", "--server", "--argo-server", "--token", "--base-href", "--argo-base-href", "--socket", "--config"}
)
PLAIN = frozenset({"-e", "--secure", "-k", "--insecure-skip-verify", "--no-color", "--no-utf8"})
GLUED = ("-n", "-s")


def moved(arguments: list[str]) -> list[str]:
    """The arguments with such options as stand before the first word behind all others (but before `--`)."""
    count = 0
    while count < len(arguments):
        word = arguments[count]
        name = word.partition("=")[0]
        if word in VALUED and count + 2 < len(arguments):
            count += 2
        elif word in PLAIN or (name != word and name in VALUED | PLAIN) or (word.startswith(GLUED) and len(word) > len("-n")):
            count += 1
        else:
            break
    first, rest = arguments[:count], arguments[count:]
    if not first or not rest or rest[0].startswith("-"):
        return arguments
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *first, *rest[end:]]


class Group(click.Group):
    """Commands whose options may stand before their names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such options where the command looks for them."""
        return super().parse_args(ctx, moved(args))
