"""A secret's value is nowhere but in the step's environment: no row, no event, no Workflow, no command line, no output of ours."""

import json
import secrets
from pathlib import Path

from tests.acceptance.house import House, command_lines

MANIFEST = Path(__file__).parent / "manifests" / "secret.yaml"


def test_a_secret_is_told_to_the_step_and_to_nobody_else(house: House, tmp_path: Path) -> None:
    value = secrets.token_hex(16)
    manifest = tmp_path / "with-secret.yaml"
    manifest.write_text(MANIFEST.read_text().replace("SECRETVALUE", value))
    seen: list[bytes] = []
    with house.running(str(manifest), "--state", str(house.state), "-o", "json") as process:
        while process.poll() is None:
            seen += [line for _, line in command_lines() if value.encode() in line]
    workflow = json.loads(house.said("out"))
    assert workflow["status"]["phase"] == "Succeeded", house.said()
    assert seen == []
    assert value not in house.said("out")
    assert value not in house.said("err")
    kept = [path for path in house.state.rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in kept)
    for path in kept:
        assert value.encode() not in path.read_bytes(), path
