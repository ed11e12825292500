"""A picture of what a node costs as workflows grow, ours and others', from a report of the bench; drawn here, without a library.

    python -m tests.bench.suite --only growth --peers --report bench.json
    python -m tests.bench.plot [bench.json [daemon/performance.svg]]

Two panels, CPU and wall time, both axes logarithmic; a line for each tool, its name at the line's end, where it is moved if it would
cover another. Colours are of a set that the colour-blind can tell apart, and each line has a mark of its own as well.
"""

import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench.growth import ALONE, LIMIT, OURS
from tests.bench.works import TOP

WIDTH, HEIGHT = 1120, 560
PANEL, GAP, LEFT, TOP_EDGE, DEEP = 380, 165, 70, 80, 400
COLOURS = {
    OURS: "#d55e00",
    ALONE: "#e69f00",
    LIMIT: "#444444",
    "make": "#0072b2",
    "ninja": "#56b4e9",
    "xargs": "#009e73",
    "parallel": "#cc79a7",
    "doit": "#8a6d00",
    "luigi": "#7b4fa3",
    "snakemake": "#a6192e",
    "dbos": "#3b7a57",
}
LABELS = {"parallel": "GNU parallel", "snakemake": "Snakemake", "dbos": "DBOS", ALONE: "tiphysd itself"}
KINDS = {"cpu": "CPU µs for a node, programs included", "wall": "wall µs for a node"}
Points = list[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A place for lines: `left` in pixels, values from `low` to `high`, sizes from `few` to `many`, all powers of ten or parts of such."""

    left: float
    low: float
    high: float
    few: float
    many: float

    def x(self, size: float) -> float:
        """Pixels of a number of nodes."""
        return self.left + PANEL * math.log(size / self.few) / math.log(self.many / self.few)

    def y(self, value: float) -> float:
        """Pixels of a cost."""
        return TOP_EDGE + DEEP * (1 - math.log(value / self.low) / math.log(self.high / self.low))


def lines_of(report: dict, kind: str) -> dict[str, Points]:
    """Each tool's cost by size."""
    found: dict[str, Points] = {}
    for row in report["rows"]:
        name, _, tool = row["name"].partition(": ")
        if name == f"growth {kind}":
            found.setdefault(tool, []).append((int(row["work"].split()[0].replace(",", "")), row["ours"]))
    return {tool: sorted(points) for tool, points in found.items()}


def rounded(value: float, steps: Sequence[float], *, up: bool) -> float:
    """The next of `steps` times a power of ten."""
    whole = 10.0 ** math.floor(math.log10(value))
    choices = [step * whole * power for power in (0.1, 1, 10) for step in steps]
    return min(one for one in choices if one >= value) if up else max(one for one in choices if one <= value)


def ticks(low: float, high: float, steps: Sequence[float]) -> Iterator[float]:
    """Values between two others that are shown on an axis."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        yield from (step * 10.0**power for step in steps if low * 0.999 <= step * 10.0**power <= high * 1.001)


def text(x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", colour: str = "#222", more: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>{escape(words)}</text>'


def axes(panel: Panel, title: str, sizes: Sequence[int]) -> Iterator[str]:
    """A panel's frame, grid and numbers."""
    right, bottom = panel.left + PANEL, TOP_EDGE + DEEP
    yield text(panel.left, TOP_EDGE - 14, title, size=15, more=' font-weight="bold"')
    for value in ticks(panel.low, panel.high, (1, 2, 5)):
        y = panel.y(value)
        yield f'<line x1="{panel.left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        yield text(panel.left - 8, y + 4, f"{value:,.0f}", anchor="end")
    for size in sizes:
        x = panel.x(size)
        yield f'<line x1="{x:.1f}" y1="{TOP_EDGE}" x2="{x:.1f}" y2="{bottom}" stroke="#e4e4e4"/>'
        yield text(x, bottom + 20, f"{size:,}", anchor="middle")
    yield f'<rect x="{panel.left}" y="{TOP_EDGE}" width="{PANEL}" height="{DEEP}" fill="none" stroke="#888"/>'
    yield text(panel.left + PANEL / 2, bottom + 42, "nodes of the workflow", anchor="middle")


def marks(number: int, x: float, y: float, colour: str) -> str:
    """A point: a circle, a square, a diamond or a triangle."""
    if number % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    corners = {1: ((-4, -4), (4, -4), (4, 4), (-4, 4)), 2: ((0, -6), (6, 0), (0, 6), (-6, 0)), 3: ((0, -6), (6, 5), (-6, 5))}[number % 4]
    return f'<polygon points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)}" fill="{colour}"/>'


def drawn(panel: Panel, lines: dict[str, Points]) -> Iterator[str]:
    """The lines, their marks and, beside their ends, their names."""
    order = list(COLOURS)
    for tool in sorted(lines, key=lambda tool: tool == OURS):
        colour, spots = COLOURS.get(tool, "#999"), [(panel.x(size), panel.y(value)) for size, value in lines[tool]]
        dashes = ' stroke-dasharray="6 4"' if tool in {LIMIT, ALONE} else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3.5 if tool == OURS else 2}"{dashes}/>'
        yield from (marks(order.index(tool) if tool in order else 0, x, y, colour) for x, y in spots)
    ends = {tool: panel.y(points[-1][1]) for tool, points in lines.items()}
    for tool, y in apart(ends, 16.0).items():
        x, at = panel.left + PANEL + 12, panel.y(lines[tool][-1][1])
        colour = COLOURS.get(tool, "#999")
        last = panel.x(lines[tool][-1][0])
        if last < panel.left + PANEL - 1:
            yield f'<line x1="{last + 7:.1f}" y1="{at:.1f}" x2="{x - 3}" y2="{y:.1f}" stroke="{colour}" stroke-width="0.6" opacity="0.6"/>'
        yield text(x, y + 4, LABELS.get(tool, tool), colour=colour, more=' font-weight="bold"' if tool == OURS else "")


def apart(wanted: dict[str, float], least: float) -> dict[str, float]:
    """Heights of names near the wanted ones, so far from each other that all can be read, and within the panel."""
    names = sorted(wanted, key=lambda name: wanted[name])
    heights = [wanted[name] for name in names]
    for _ in range(200):
        for index, (above, below) in enumerate(itertools.pairwise(heights)):
            if below - above < least:
                push = (least - (below - above)) / 2
                heights[index], heights[index + 1] = above - push, below + push
        heights = [min(max(height, TOP_EDGE), TOP_EDGE + DEEP) for height in heights]
    return dict(zip(names, heights, strict=True))


def picture(report: dict) -> str:
    """The whole picture as SVG."""
    machine = report["machine"]
    parts = [text(LEFT, 28, "What a node costs as workflows grow: N × true, eight at a time", size=18, more=' font-weight="bold"')]
    told = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['date']}, commit {machine['commit']}"
    parts.append(text(LEFT, HEIGHT - 12, told + ", python -m tests.bench.suite --only growth --peers", size=11, colour="#666"))
    for number, (kind, title) in enumerate(KINDS.items()):
        lines = lines_of(report, kind)
        values = [value for points in lines.values() for _, value in points]
        sizes = sorted({size for points in lines.values() for size, _ in points})
        low, high = rounded(min(values) * 0.9, (1, 2, 5), up=False), rounded(max(values) * 1.1, (1, 2, 5), up=True)
        panel = Panel(left=LEFT + number * (PANEL + GAP), low=low, high=high, few=sizes[0] / 1.3, many=sizes[-1] * 1.3)
        parts += [*axes(panel, title, sizes), *drawn(panel, lines)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" role="img">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>", ""])


def main() -> None:
    """Read, draw, write."""
    given = [Path(word) for word in sys.argv[1:]]
    report = json.loads((given[0] if given else Path("bench.json")).read_text(encoding="utf-8"))
    where = given[1] if len(given) > 1 else TOP / "daemon" / "performance.svg"
    where.write_text(picture(report), encoding="utf-8")
    print(where)


if __name__ == "__main__":
    main()
