"""`tiphys cp`: a real daemon's artifacts become files, each whole or not at all, where the pattern says."""

import pytest

from tests.daemon.running import Tiphysd
from tiphys import app
from tiphys.cli import copying

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: files}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks: [{name: one, template: make}, {name: two, template: tree}]
    - name: make
      script:
        image: any
        command: [sh]
        source: |
          echo made > "$HOME/out.txt" && cp "$HOME/out.txt" {{outputs.artifacts.note.path}}
      outputs: {artifacts: [{name: note, path: /tmp/%(mark)s-note.txt, archive: {none: {}}}]}
    - name: tree
      script:
        image: any
        command: [sh]
        source: mkdir -p /tmp/%(mark)s-tree && echo leaf > /tmp/%(mark)s-tree/leaf
      outputs: {artifacts: [{name: tree, path: /tmp/%(mark)s-tree}]}
"""


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    daemon = Tiphysd(top=tmp_path / "daemon")
    daemon.top.mkdir()
    daemon.configure(process={"isolation": "auto", "writable": [], "grace_seconds": 2.0})
    daemon.start()
    monkeypatch.setenv("TIPHYS_SOCKET", str(daemon.socket))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TIPHYS_CONFIG", "ARGO_SERVER", "ARGO_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def says(*words, code=0):
        found = app.main(words)
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        return out, err

    yield says
    daemon.clear()


def test_artifacts_are_copied_where_they_are_wanted(typed, tmp_path):
    (tmp_path / "wf.yaml").write_text(MANIFEST % {"mark": tmp_path.parent.name})
    typed("submit", "wf.yaml", "--wait")
    out, err = typed("cp", "@latest", "out")
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert len(files) == len(out.splitlines()) == 2
    assert not err
    assert all(line.startswith('Created "out/default/files/files-') for line in out.splitlines())
    assert [name.split("/")[-2] for name in files] in (["note", "tree"], ["tree", "note"])
    out, _ = typed("cp", "files", "flat", "-t", "make", "--path", "{templateName}/{artifactName}")
    (made,) = [path for path in (tmp_path / "flat").rglob("*") if path.is_file()]
    assert made.parent == tmp_path / "flat" / "make" / "note"
    assert made.read_text() == "made\n"
    assert made.stat().st_mode & 0o777 == 0o666 & ~copying._umask()
    _, err = typed("cp", "files", "none", "--artifact-name", "absent", code=1)
    assert err == "tiphys: files has no such output artifacts\n"
    assert not (tmp_path / "none").exists()
    _, err = typed("cp", "files", "none", "--path", "../{artifactName}", code=2)
    assert "leads out of none" in err
    (tmp_path / "taken").write_text("a file")
    _, err = typed("cp", "files", "taken", code=2)
    assert "taken" in err


def test_sizes_are_short():
    assert [copying.bytes_text(count) for count in (0, 999, 3_400_000, 10**16)] == ["0 B", "999 B", "3.4 MB", "10000.0 TB"]
