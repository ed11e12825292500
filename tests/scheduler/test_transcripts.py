"""Scenarios as transcripts: what the scheduler decides on each fact, reviewed by people, compared by machine."""

from pathlib import Path

import pytest

from tests.scheduler import story

FOLDER = Path(__file__).parent / "transcripts"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_scheduler_decides_as_written(path: Path, regenerate: bool) -> None:
    text = story.played(path)
    if regenerate:
        path.write_text(text)
    assert text == path.read_text()
