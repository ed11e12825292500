"""How telling somebody can fail."""

from tiphys.errors import TiphysError

LONGEST = 300
SHORTEST_HIDDEN = 4


class SendFailed(TiphysError):
    """The notification was not delivered. `transient`: trying again later may help. The text is one line, without secrets."""

    def __init__(self, message: str = "", *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def shown(text: str, *hidden: str) -> str:
    """`text` for a message: on one line, not too long, without the `hidden` values (very short ones would only mangle the text)."""
    for value in hidden:
        if len(value) >= SHORTEST_HIDDEN:
            text = text.replace(value, "***")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
