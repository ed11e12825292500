"""Where a value is pasted into the text of a program: whatever it holds is then run (semantics, gotcha 4)."""

import itertools
import re
from collections.abc import Iterator

from tiphys.manifests.wording import Path
from tiphys.spec.containers import Container
from tiphys.spec.templates import Template

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
INTERPRETERS = {"python": 'os.environ["{}"]', "node": "process.env.{}", "perl": '$ENV{{"{}"}}', "ruby": 'ENV["{}"]', "php": 'getenv("{}")'}

_tag = re.compile(r"\{\{(?P<expression>=)?\s*(?P<body>.*?)\s*\}\}", re.DOTALL)
_foreign = re.compile(r"(?:(?:inputs|workflow)\.parameters|(?:steps|tasks)\.[\w-]+\.outputs|item)\b")
_name = re.compile(r"[\w-]+$")


def into_programs(template: Template) -> Iterator[tuple[Path, str, str]]:
    """Place, message and fix of every value that is pasted into a script's source or into the text after `sh -c`."""
    script = template.script
    if script is not None and script.command:
        program = _program(script.command[0])
        if program:
            yield from _pasted(("script", "source"), script.source, program, "script")
    for kind, container in (("container", template.container), ("script", script)):
        if container is not None:
            for place, text in _after_c(container):
                yield from _pasted((kind, *place), text, "sh", kind)


def _program(word: str) -> str:
    """The interpreter's plain name; "" where it is none that is known."""
    name = re.sub(r"[\d.]+$", "", word.rpartition("/")[2])
    return "sh" if name in SHELLS else name if name in INTERPRETERS else ""


def _after_c(container: Container) -> Iterator[tuple[Path, str]]:
    words: list[tuple[Path, str]] = [(("command", index), word) for index, word in enumerate(container.command)]
    words += [(("args", index), word) for index, word in enumerate(container.args)]
    if not words or _program(words[0][1]) != "sh":
        return
    for (_, word), following in itertools.pairwise(words):
        if re.fullmatch(r"-\w*c", word):
            yield following
            return


def _pasted(place: Path, text: str, program: str, holder: str) -> Iterator[tuple[Path, str, str]]:
    for found in {match.group(): match for match in _tag.finditer(text) if _foreign.search(match["body"])}.values():
        last = "VALUE" if found["expression"] else _variable(found["body"])
        use = f'"${last}"' if program == "sh" else INTERPRETERS[program].format(last)
        what = "a shell script: the shell" if program == "sh" else f"a {program} program: the interpreter"
        message = f"{found.group()} is pasted into {what} runs what its value holds"
        hint = f"""write `env: [{{name: {last}, value: "{found.group()}"}}]` below {holder}, and {use} in its place"""
        yield place, message, hint


def _variable(body: str) -> str:
    match = _name.search(body)
    return re.sub(r"\W", "_", match.group()).upper() if match else "VALUE"
