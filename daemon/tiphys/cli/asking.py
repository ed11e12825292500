"""A suspended node asks on the terminal: which values to supply, and whether to go on. The questions are pure; reading is not.

The read can be given up at any moment: the node may end by itself while somebody thinks.
"""

import os
from collections.abc import Awaitable, Callable, Mapping

import anyio
import msgspec

from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeStatus

STDIN = 0
YES = frozenset({"", "y", "yes", "r", "resume"})
STOP = frozenset({"s", "stop"})


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A value to supply; `choices` are the only ones allowed, where there are any."""

    name: str
    default: str | None
    choices: tuple[str, ...] = ()
    description: str = ""

    @property
    def prompt(self) -> str:
        """The question."""
        choices = f" ({' | '.join(self.choices)})" if self.choices else ""
        default = f" [{self.default}]" if self.default is not None else ""
        about = f" - {self.description}" if self.description else ""
        return f"  {self.name}{about}{choices}{default}: "


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with these values, or (`stop`) end the workflow."""

    values: Mapping[str, str]
    stop: bool = False


def wanted(node: NodeStatus) -> list[Wanted]:
    """The values that a suspended node waits for (`valueFrom: {supplied: {}}`), with defaults and choices (semantics 2.13)."""
    inputs = {parameter.name: parameter for parameter in (node.inputs.parameters if node.inputs else ())}
    outputs = node.outputs.parameters if node.outputs else ()
    return [
        _wanted(parameter, inputs.get(parameter.name))
        for parameter in outputs
        if parameter.value is None and parameter.value_from is not None and parameter.value_from.supplied is not None
    ]


def _wanted(output: Parameter, source: Parameter | None) -> Wanted:
    default = output.value_from.default if output.value_from else None
    if source is None:
        return Wanted(name=output.name, default=default, description=output.description or "")
    choices, described = source.enum or (), output.description or source.description or ""
    if source.value and source.value.startswith("{"):  # an input whose value is itself a parameter: choices made at run time
        choices, default = _dynamic(source.value, choices, default)
    return Wanted(name=output.name, default=source.default if default is None else default, choices=choices, description=described)


def _dynamic(value: str, choices: tuple[str, ...], default: str | None) -> tuple[tuple[str, ...], str | None]:
    try:
        made = msgspec.json.decode(value, type=Parameter)
    except msgspec.MsgspecError:
        return choices, default
    return (made.enum, made.enum[0]) if made.enum else (choices, default)


async def ask(node: NodeStatus, write: Callable[[str], None], read: Callable[[], Awaitable[str | None]]) -> Answer | None:
    """Asks for each value, then whether to go on. `read` gives a line, or None at the end of input (then this gives None)."""
    write(f"{node.display_name or node.name} waits for you.{f' {node.message}' if node.message else ''}\n")
    values: dict[str, str] = {}
    for one in wanted(node):
        while True:
            write(one.prompt)
            line = await read()
            if line is None:
                return None
            value = line or one.default
            if value is None:
                write("  a value is needed\n")
            elif one.choices and value not in one.choices:
                write(f"  it must be one of {', '.join(one.choices)}\n")
            else:
                values[one.name] = value
                break
    going = await go_on(write, read)
    return None if going is None else Answer(values=values, stop=not going)


async def go_on(write: Callable[[str], None], read: Callable[[], Awaitable[str | None]]) -> bool | None:
    """Whether to go on (True) or to stop the workflow (False); None at the end of input."""
    while True:
        write("Go on? [Y = resume, s = stop the workflow]: ")
        line = await read()
        if line is None:
            return None
        if line.lower() in YES:
            return True
        if line.lower() in STOP:
            return False


class Terminal:
    """Lines from the terminal; waiting for one can be cancelled."""

    def __init__(self) -> None:
        self._pending = b""

    async def line(self) -> str | None:
        """The next line without its end; None at the end of input."""
        while b"\n" not in self._pending:
            await anyio.wait_readable(STDIN)
            data = os.read(STDIN, 4096)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace").strip()
