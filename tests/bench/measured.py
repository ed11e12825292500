"""A line of the table: what was measured in rounds, beside its limit, and whether the target is met.

A machine's speed drifts, so ours and the limit are measured in turns, and what counts is the median of each round's ratio.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class Row:
    """One figure in `rounds`, and the `limit` measured in each of them. `least`: the target is a least ratio (or figure), else a most one.

    `of`: what the target is about: "ratio" (ours to the limit's), or "ours".
    """

    name: str
    work: str
    unit: str
    target: float | None = None
    least: bool = True
    of: str = "ratio"
    limited_by: str = ""
    rounds: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    note: str = ""

    def add(self, ours: float, limit: float | None = None) -> None:
        """Take a round in."""
        self.rounds.append(ours)
        if limit is not None:
            self.limit.append(limit)

    @property
    def ours(self) -> float:
        return statistics.median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        if not self.limit:
            return None
        return statistics.median(ours / limit for ours, limit in zip(self.rounds, self.limit, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None: there is none."""
        value = self.ratio if self.of == "ratio" else self.ours
        if self.target is None or value is None:
            return None
        return value >= self.target if self.least else value <= self.target

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = self.ratio
        sign = "≥" if self.least else "≤"
        wanted = "" if self.target is None else f"{sign} {number(self.target)}" + ("" if self.of == "ratio" else f" {self.unit}")
        return (
            self.name,
            self.work,
            f"{number(self.ours)} {self.unit}",
            f"{number(min(self.rounds))}–{number(max(self.rounds))}",
            f"{number(statistics.median(self.limit))} {self.unit}" if self.limit else "",
            self.limited_by,
            "" if ratio is None else f"{ratio:.2f}",
            wanted,
            {True: "met", False: "MISSED", None: ""}[self.met],
        )

    def report(self) -> dict[str, object]:
        """The row for a machine."""
        return {
            "name": self.name,
            "work": self.work,
            "unit": self.unit,
            "ours": self.ours,
            "rounds": self.rounds,
            "limit": self.limit,
            "limited_by": self.limited_by,
            "ratio": self.ratio,
            "target": self.target,
            "least": self.least,
            "of": self.of,
            "met": self.met,
            "note": self.note,
        }


HEAD = ("bench", "work", "ours", "spread", "limit", "which is", "ratio", "target", "")


def number(value: float) -> str:
    """Three digits that matter."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def table(rows: Sequence[Row]) -> str:
    """All rows, in columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
    return "\n".join(text)


def write(rows: Sequence[Row], machine: dict[str, object], path: Path) -> None:
    """The JSON report."""
    path.write_text(json.dumps({"machine": machine, "rows": [row.report() for row in rows]}, indent=2) + "\n", encoding="utf-8")
