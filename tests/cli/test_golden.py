"""Every command in the help is used against one real daemon, and what it prints is compared with what is written down in `golden/`.

After a change that is meant: `pytest tests/cli/test_golden.py --regenerate`, and look at the difference.
"""

import contextlib
import getpass
import io
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click
import pytest

from tests.daemon.running import Tiphysd
from tiphys import __version__, app
from tiphys.cli import commands

GOLDEN = Path(__file__).parent / "golden"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
PATIENCE_SECONDS = 60.0
MASKS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", "TIME"),
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d [+-]\d{4} \([^)]*\)", "TIME (AGO)"),
    (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
    (rf"\b((?:hello|approve|broken|greet|everywhere|nightly|workflow)-)[{LETTERS}]{{5}}\b", r"\1XXXXX"),
    (r"(Duration: +)\S.*", r"\1DURATION"),
    (r"\bin \d+ seconds?\b", "in TIME"),
    (r"\d+s\*\([^)]*\)(,\d+s\*\([^)]*\))*", "RESOURCES"),
    (r'("?resourceVersion"?: )"?\'?\d+"?\'?', r"\1N"),
)


@dataclass(frozen=True)
class Case:
    """One command. `before` is done first; `only`: of what it prints only the lines that match; `numbers`: figures are masked."""

    name: str
    words: str
    code: int = 0
    before: Callable[["Player"], object] | None = None
    only: str = ""
    numbers: bool = False
    masks: tuple[tuple[str, str], ...] = ()


class Player:
    """Types commands in a folder of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def types(self, words: str) -> tuple[int, str, str]:
        """The exit code, what is on standard output, what on standard error."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app.main(words.split())
        texts = []
        for stream in out, err:
            stream.flush()
            texts.append(stream.buffer.getvalue().decode())
        return code, *texts

    def does(self, *typed: str) -> None:
        """Commands that must succeed."""
        for words in typed:
            code, out, err = self.types(words)
            assert code == 0, (words, out, err)

    def until(self, words: str, pattern: str) -> None:
        """Until a command says what matches."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not re.search(pattern, self.types(words)[1], re.DOTALL):
            assert time.monotonic() < end, (words, pattern)
            time.sleep(0.05)

    def asks(self, name: str) -> None:
        """A workflow that waits for somebody."""
        self.does(f"submit approve.yaml --name {name} -o name")
        self.until(f"get {name}", "ǁ ask")


TIMES = ((r"\b\d+(\.\d+)? ?(ms|s)\b", "T"),)
CASES = (
    Case("help", "--help"),
    Case("version", "version", masks=((r"(platform|python): .*", r"\1: HOST"),)),
    Case("health", "health"),
    Case("auth token", "auth token --server localhost:2746 --token secret"),
    Case("completion", "completion bash", only="_TIPHYS_COMPLETE=|complete -"),
    Case("lint", "lint hello.yaml"),
    Case("lint wrong", "lint wrong.yaml", code=2),
    Case("run", "run hello.yaml", only="✔|STEP", masks=TIMES),
    Case("list none", "list"),
    Case("submit dry-run", "submit hello.yaml --dry-run -p who=me -o yaml"),
    Case("submit wrong", "submit wrong.yaml", code=2),
    Case("submit", "submit hello.yaml --wait -o name"),
    Case("get", "get hello"),
    Case("get short", "get hello -o short"),
    Case("get chosen", "get hello --status Succeeded --node-field-selector templateName=say,displayName!=part -o short"),
    Case("get plain", "get @latest --no-utf8"),
    Case("logs", "logs hello"),
    Case("logs timestamps", "logs hello --timestamps --since 1h"),
    Case("logs since-time", "logs hello --since-time 2999-01-01T00:00:00Z"),
    Case("logs since twice", "logs hello --since 1h --since-time 2999-01-01T00:00:00Z", code=2),
    Case("wait", "wait hello"),
    Case("watch", "watch hello", only="^[A-Z ]|✔ (hello|greet|part) +(main|say)"),
    Case("explain", "explain hello", only="^(Workflow|Phase|Why|Critical)|ended"),
    Case("events", "events hello", only="Submitted|submitted", masks=TIMES),
    Case("top", "top", numbers=True),
    Case("submit broken", "submit broken.yaml --wait -o name", code=1),
    Case("get broken", "get broken"),
    Case("list", "list"),
    Case("list wide", "list -A -o wide"),
    Case("retry", "retry broken -o name --wait", code=1),
    Case("resubmit", "resubmit broken -o name"),
    Case("suspend", "suspend one", before=lambda player: player.asks("one")),
    Case("resume", "resume one"),
    Case("node set", "node set two -p verdict=yes --phase Succeeded --node-field-selector displayName=ask", before=lambda p: p.asks("two")),
    Case("stop", "stop three --message enough", before=lambda player: player.asks("three")),
    Case("stop again", "stop three", code=1, before=lambda player: player.types("wait three")),
    Case("terminate", "terminate four", before=lambda player: player.asks("four")),
    Case("cp", "cp files out", before=lambda player: player.does("submit files.yaml --wait")),
    Case("template create", "template create template.yaml"),
    Case("template update", "template update template.yaml -o name"),
    Case("template lint", "template lint template.yaml"),
    Case("template list", "template list"),
    Case("template get", "template get greet"),
    Case("submit from", "submit --from workflowtemplate/greet -o name"),
    Case("template delete", "template delete greet"),
    Case("cluster-template create", "cluster-template create cluster-template.yaml"),
    Case("cluster-template update", "cluster-template update cluster-template.yaml -o name"),
    Case("cluster-template lint", "cluster-template lint cluster-template.yaml"),
    Case("cluster-template list", "cluster-template list"),
    Case("cluster-template get", "cluster-template get everywhere -o yaml"),
    Case("cluster-template delete", "cluster-template delete everywhere"),
    Case("cron create", "cron create cron.yaml", only="^(?!NextScheduledTime)"),
    Case("cron update", "cron update cron.yaml -o name"),
    Case("cron lint", "cron lint cron.yaml"),
    Case("cron list", "cron list", before=lambda player: player.until("cron get nightly", "NextScheduledTime")),
    Case("cron get", "cron get nightly"),
    Case("cron explain", "cron explain nightly", masks=((r"in [0-9a-z ]+", "in T"),)),
    Case("cron run", "cron run nightly -o name"),
    Case("cron backfill", "cron backfill nightly --start 2020-01-01 --end 2021-01-01 --parallel"),
    Case("cron suspend", "cron suspend nightly"),
    Case("cron resume", "cron resume nightly"),
    Case("cron delete", "cron delete nightly"),
    Case("sync create", "sync create printers --cm-name limits --limit 2"),
    Case("sync update", "sync update printers --cm-name limits --limit 3"),
    Case("sync get", "sync get printers --cm-name limits"),
    Case("sync get nowhere", "sync get printers", code=2),
    Case("sync database", "sync create scanners --type database --limit 1"),
    Case("sync delete", "sync delete printers --cm-name limits"),
    Case("delete dry-run", "delete --prefix hel --dry-run"),
    Case("delete", "delete hello broken"),
    Case("archive list", "archive list -l team=red"),
    Case("archive get", "archive get hello"),
    Case("archive retry", "archive retry broken -o name --wait", code=1),
    Case("archive resubmit", "archive resubmit hello -o name"),
    Case("archive list-label-keys", "archive list-label-keys", only="team|creator|phase"),
    Case("archive list-label-values", "archive list-label-values -l team"),
    Case("archive delete", "archive delete hello"),
    Case("get missing", "get hello", code=1),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Iterator[dict[str, str]]:
    """What each command printed, in the order of the cases."""
    top = tmp_path_factory.mktemp("golden")
    for path in GOLDEN.glob("*.yaml"):
        shutil.copy(path, top)
    daemon = Tiphysd(top=top / "daemon")
    daemon.top.mkdir()
    daemon.configure(process={"isolation": "auto"})
    daemon.start()
    settings = {"state_directory": str(top / "state"), "process": {"isolation": "none"}}
    (top / "settings.yaml").write_text(json.dumps(settings), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARGO_", "TIPHYS_"))}
    places = {"TIPHYS_SOCKET": str(daemon.socket), "TIPHYS_CONFIG": str(top / "settings.yaml"), "TZ": "UTC", "COLUMNS": "120"}
    before = Path.cwd()
    try:
        with mock.patch.dict(os.environ, {**kept, **places}, clear=True):
            time.tzset()
            os.chdir(top)
            yield {case.name: _shown(case, Player(top)) for case in CASES}
    finally:
        os.chdir(before)
        time.tzset()
        daemon.clear()


def _shown(case: Case, player: Player) -> str:
    if case.before is not None:
        case.before(player)
    code, out, err = player.types(case.words)
    parts = [f"$ tiphys {case.words}\n", _masked(case, out, player.place)]
    if err:
        parts += ["--- standard error\n", _masked(case, err, player.place)]
    return "".join([*parts, f"--- exit code {code}\n"])


def _masked(case: Case, text: str, place: Path) -> str:
    """The text without what is different each time; columns keep their width where an age stood."""
    if case.only:
        text = "".join(line for line in text.splitlines(keepends=True) if re.search(case.only, line))
    text = text.replace(str(place), "DIR").replace(__version__, "VERSION").replace(platform.python_version(), "PYTHON")
    for pattern, mask in (*MASKS, *case.masks):
        text = re.sub(pattern, mask, text)
    text = re.sub(rf"\b{re.escape(getpass.getuser())}\b", "WHO", text)
    text = re.sub(
        r"(?<![\w.-])\d+[smhd](?= |$)( *)", lambda found: "#s".ljust(len(found[0])) if found[1] else "#s", text, flags=re.MULTILINE
    )
    if case.numbers:
        text = re.sub(r" +", " ", re.sub(r"\d+(\.\d+)?", "#", text))
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _file(case: Case) -> Path:
    return GOLDEN / f"{case.name.replace(' ', '-')}.txt"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_command_says_what_it_said(played, case, request):
    if request.config.getoption("--regenerate"):
        _file(case).write_text(played[case.name], encoding="utf-8")
    assert played[case.name] == _file(case).read_text(encoding="utf-8")
    assert played[case.name].endswith(f"--- exit code {case.code}\n")


def _leaves(group: click.Group, path: str = "") -> Iterator[str]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def test_no_command_is_without_a_golden_text():
    typed = [case.words + " " for case in CASES]
    assert [leaf for leaf in _leaves(commands.tiphys) if not any(words.startswith(f"{leaf} ") for words in typed)] == []
    assert {path.name for path in GOLDEN.glob("*.txt")} == {_file(case).name for case in CASES}
