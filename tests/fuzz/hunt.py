"""Coverage-guided fuzzing of one target for some seconds, with atheris.

    python tests/fuzz/hunt.py manifests|expressions SECONDS [a folder of further seeds]

The first input that crashes, hangs or eats memory is left beside this file as `crash-…` and the exit code is not 0.
"""

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["tiphys"]):
    from tests.fuzz import targets

HANG_SECONDS = 20
MEMORY_MEGABYTES = 2048
LONGEST = {"manifests": 8192, "expressions": 512}


def seeds(name: str, folder: Path) -> None:
    """What the search begins with: our own broken manifests and examples, or the lines of the expression corpora."""
    if name == "manifests":
        for path in (*ROOT.glob("tests/broken/*.*"), *ROOT.glob("examples/*.yaml")):
            if path.suffix in {".yaml", ".json"} and path.stat().st_size < LONGEST[name]:
                (folder / path.name).write_bytes(path.read_bytes())
        return
    lines = (ROOT / "tests/expressions/corpus.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(line.partition(" ⇒ ")[0] for line in lines if " ⇒ " in line):
        (folder / f"expr-{number}").write_bytes(b"\0" + line.encode())
    texts = (
        "{{=asInt(inputs.parameters.n) + 1}}",
        "a == b && 1 < 2",
        "'x' in ('x', 'y')",
        "A && (B.Failed || !C.Skipped)",
        "3\0001\0009",
        "1h",
    )
    for kind in range(len(targets.LANGUAGES)):
        for number, text in enumerate(texts):
            (folder / f"kind-{kind}-{number}").write_bytes(bytes([kind]) + text.encode())


def main() -> None:
    """Hunt until the time is over."""
    name, seconds, *more = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        seeds(name, Path(folder))
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={HANG_SECONDS}",
            f"-rss_limit_mb={MEMORY_MEGABYTES}",
            f"-max_len={LONGEST[name]}",
            f"-artifact_prefix={Path(__file__).parent}/",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, folder, *more], lambda data: targets.timed(name, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
