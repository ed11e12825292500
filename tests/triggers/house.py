"""A daemon's verbs over a real journal, with scripted steps; as a program, a process to be killed: FOLDER STATE."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.triggers.dropped import opened
from tiphys.engine.engine import open_engine
from tiphys.engine.house import House
from tiphys.executors.scripted import ScriptedExecutor
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler.records import Settled
from tiphys.settings import JournalSettings


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[House]:
    async with SQLiteJournal(state / "journal.db", JournalSettings(synchronous="full")) as journal:
        executor = ScriptedExecutor()
        async with open_engine(journal, {"scripted": executor}, {"scripted": 50}) as engine:
            yield House(engine, Settled(executor="scripted"), "default", {})


async def main(folder: Path, state: Path) -> None:
    async with daemon(state) as house:
        print("up", flush=True)
        await opened(house, folder, settle=0.01).run()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), Path(sys.argv[2]))
