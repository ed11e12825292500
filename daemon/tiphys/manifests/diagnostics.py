"""What is wrong with a manifest, where, and what to do: the one shape of every finding a person sees before a workflow runs."""

import msgspec

from tiphys.spec.work import Severity

MAX_EXCERPT = 160
MIDDLE = 60


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `line` and `column` count from 1 (0: of the file as a whole); `excerpt` is that line of the file."""

    severity: Severity
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
    excerpt: str = ""

    @property
    def place(self) -> str:
        """`file:line:column`, as editors and terminals make links of it."""
        return f"{self.file or '-'}:{self.line}:{self.column}" if self.line else self.file or "-"


def render(diagnostic: Diagnostic) -> str:
    """The finding as text: place and message, the line with a caret under the column, the hint; no newline at the end."""
    lines = [f"{diagnostic.place}: {diagnostic.severity}: {diagnostic.message}"]
    if diagnostic.line and diagnostic.excerpt.strip():
        shown, offset = _window(diagnostic.excerpt, diagnostic.column)
        margin = f"{diagnostic.line:>5} | "
        lines += [margin + shown, " " * (len(margin) - 2) + "| " + _padding(shown[:offset]) + "^"]
    if diagnostic.hint:
        lines.append(f"  hint: {diagnostic.hint}")
    return "\n".join(lines)


def errors(diagnostics: tuple[Diagnostic, ...]) -> int:
    """How many of them are errors."""
    return sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def _window(text: str, column: int) -> tuple[str, int]:
    """The part of a long line around `column`, and the caret's offset in it."""
    offset = min(max(column - 1, 0), len(text))
    if len(text) <= MAX_EXCERPT:
        return text, offset
    start = max(0, offset - MIDDLE)
    prefix = "…" if start else ""
    suffix = "…" if start + MAX_EXCERPT < len(text) else ""
    return prefix + text[start : start + MAX_EXCERPT] + suffix, offset - start + len(prefix)


def _padding(before: str) -> str:
    """Blanks as wide as `before`: tabs stay tabs, so the caret lines up."""
    return "".join("\t" if letter == "\t" else " " for letter in before)
