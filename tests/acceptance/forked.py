"""Runs many `tiphys` command lines, each in a fork of this process, which has imported what they need: `forked.py < LINES`.

A line is a JSON list of arguments, and so is the answer: exit code, standard output, standard error, peak memory in bytes, seconds.
A fork begins with a memory mark of its own, which an exec'd process would take over from its parent.
"""

import json
import os
import sys
import tempfile
import time
import traceback

import tiphys.artifacts.s3
import tiphys.engine.engine
import tiphys.executors.http
import tiphys.executors.process.executor
import tiphys.journal.sqlite
from tiphys import app
from tiphys.__main__ import tiphys as command
from tiphys.cli import commands, lint, run

LOADED = (tiphys, app, commands, lint, run)


def forked(arguments: list[str]) -> list[object]:
    """Exit code (minus the signal's number where one ended it), both streams, peak bytes, seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        pid = os.fork()  # noqa: TID251  # nothing runs here but this function
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv[1:] = arguments
            try:
                code = command()
            except SystemExit as error:
                code = error.code
            except BaseException:  # noqa: BLE001  # told as the interpreter would
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - began
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return [os.waitstatus_to_exitcode(status), *texts, usage.ru_maxrss * 1024, seconds]


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(json.loads(line))) + "\n")
        sys.stdout.flush()
