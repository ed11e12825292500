"""A small seeded share of the fuzzing, in every test run: seeds, and seeds that were spoilt at random places."""

import random
from pathlib import Path

import pytest

from tests.fuzz import targets

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).with_name("found")
ROUNDS = 3


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """The data with a piece dropped, doubled, or replaced."""
    at, length = chance.randrange(len(data) + 1), chance.randrange(1, 12)
    piece = data[at : at + length]
    middle = chance.choice([b"", piece * chance.randrange(2, 5), bytes(chance.randrange(256) for _ in range(chance.randrange(1, 4)))])
    return data[:at] + middle + data[at + length :]


def manifests() -> list[Path]:
    """Seeds of the parser."""
    return sorted(path for path in (*ROOT.glob("tests/broken/*.*"), *ROOT.glob("examples/*.yaml")) if path.suffix in {".yaml", ".json"})


@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.name)
def test_spoilt_manifests_are_read_or_refused(path: Path) -> None:
    chance = random.Random(path.name)
    data = path.read_bytes()[:8192]
    for _ in range(ROUNDS):
        targets.timed("manifests", spoilt(data, chance))


@pytest.mark.parametrize("kind", range(len(targets.LANGUAGES)))
def test_spoilt_expressions_have_a_value_or_an_error(kind: int) -> None:
    chance = random.Random(kind)
    lines = (ROOT / "tests/expressions/corpus.txt").read_text(encoding="utf-8").splitlines()
    for line in (line.partition(" ⇒ ")[0] for line in lines[::3] if " ⇒ " in line):
        targets.timed("expressions", bytes([kind]) + spoilt(line.encode(), chance))


@pytest.mark.parametrize("path", sorted(FOUND.glob("*-*")), ids=lambda path: path.name)
def test_what_fuzzing_once_found_stays_mended(path: Path) -> None:
    targets.timed(path.name.partition("-")[0], path.read_bytes())
