"""What a step is given and what is taken from it, whatever it left in its files."""

import os
from pathlib import Path

import msgspec
import pytest

from tests.artifacts.trees_made import listed
from tiphys import settings
from tiphys.artifacts import store
from tiphys.executors import staging
from tiphys.executors.staging import StagingError
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import S3, ArchiveStrategy, Artifact, NoneStrategy, Raw
from tiphys.spec.containers import Container
from tiphys.spec.work import Command, InputArtifact, OutputArtifact, OutputParameter, Wanted, WorkflowIdentity, WorkOrder

pytestmark = pytest.mark.asyncio

NONE = ArchiveStrategy(none=NoneStrategy())


class Rooted:
    def __init__(self, root: Path) -> None:
        self.root = root

    def host_path(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@pytest.fixture
def view(tmp_path):
    (tmp_path / "root" / "tmp").mkdir(parents=True)
    return Rooted(tmp_path / "root")


@pytest.fixture
def artifacts(tmp_path):
    return store.Artifacts(settings.ArtifactSettings(), tmp_path / "repository", Secrets(), durable=False)


def order(*inputs: Artifact, **wanted) -> WorkOrder:
    return WorkOrder(
        id="u/n/0",
        workflow=WorkflowIdentity(uid="u", name="w", namespace="default"),
        node_id="n",
        node_name="n",
        pod_name="p",
        template_name="t",
        attempt=0,
        executor="process",
        work=Command(container=Container()),
        inputs=tuple(InputArtifact(artifact=artifact) for artifact in inputs),
        wanted=Wanted(**wanted),
    )


def parameter(path: str, default: str | None = None) -> OutputParameter:
    return OutputParameter(name="p", path=path, default=default)


def output(path: str, key: str = "w/p/o.tgz", **fields) -> OutputArtifact:
    return OutputArtifact(artifact=Artifact(name="o", path=path, s3=S3(key=key), **fields))


async def out(order, view, artifacts, stdout=None, log=None):
    return await staging.stage_out(order, view, artifacts, stdout, log)


async def test_inputs_arrive_outer_paths_first(view, artifacts):
    inner = Artifact(name="inner", path="/work/dir/file", raw=Raw(data="inner"))
    (view.root / "source").mkdir()
    (view.root / "source" / "dir").mkdir()
    (view.root / "source" / "dir" / "other").write_text("other")
    await artifacts.save(Artifact(name="a", s3=S3(key="k")), view.root / "source", "default")
    await staging.stage_in(order(inner, Artifact(name="outer", path="/work", s3=S3(key="k"))), view, artifacts)
    assert (view.root / "work/dir/file").read_text() == "inner"
    assert (view.root / "work/dir/other").read_text() == "other"


async def test_staging_in_twice_is_the_same_as_once(view, artifacts):
    (view.root / "source").mkdir()
    (view.root / "source" / "a").write_text("a")
    await artifacts.save(Artifact(name="a", s3=S3(key="k")), view.root / "source", "default")
    for _ in range(2):
        await staging.stage_in(
            order(Artifact(name="a", path="/x", s3=S3(key="k")), Artifact(name="r", path="/r", raw=Raw(data="1"))), view, artifacts
        )
    assert listed(view.root / "x") == ["a"]


async def test_a_missing_input_is_skipped_if_optional_and_else_an_error(view, artifacts):
    await staging.stage_in(
        order(Artifact(name="a", path="/x", s3=S3(key="k"), optional=True), Artifact(name="b", path="/y", optional=True)), view, artifacts
    )
    assert not (view.root / "x").exists()
    with pytest.raises(StagingError, match=r"artifact a failed to load: the artifact repository has no 'k'"):
        await staging.stage_in(order(Artifact(name="a", path="/x", s3=S3(key="k"))), view, artifacts)
    with pytest.raises(StagingError, match="required artifact 'b' not supplied"):
        await staging.stage_in(order(Artifact(name="b", path="/y")), view, artifacts)


async def test_a_spoilt_optional_input_is_still_an_error(view, artifacts):
    (view.root / "s").write_text("x")
    await artifacts.save(Artifact(name="a", s3=S3(key="k"), archive=NONE), view.root / "s", "default")
    bad = Artifact(name="a", path="/x", s3=S3(key="k"), archive=msgspec.convert({"zip": {}}, ArchiveStrategy), optional=True)
    with pytest.raises(StagingError, match="artifact a failed to load: the archive cannot be unpacked"):
        await staging.stage_in(order(bad), view, artifacts)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"x\n", "x"),
        (b"x\n\n", "x\n"),
        (b"x", "x"),
        (b" x \r\n", " x \r"),
        (b"", ""),
        (b"\n", ""),
        (b"a\xffb", "a\ufffdb"),
        ("ü".encode(), "ü"),
    ],
)
async def test_a_parameter_is_its_file_without_one_newline(view, artifacts, content, value):
    (view.root / "tmp" / "p").write_bytes(content)
    assert (await out(order(parameters=(parameter("/tmp/p"),)), view, artifacts)).parameters == {"p": value}


async def test_a_missing_parameter_file_is_its_default_or_an_error(view, artifacts):
    assert (await out(order(parameters=(parameter("/tmp/p", "d"),)), view, artifacts)).parameters == {"p": "d"}
    with pytest.raises(StagingError, match="output parameter p: open /tmp/p: no such file or directory"):
        await out(order(parameters=(parameter("/tmp/p"),)), view, artifacts)


async def test_a_parameter_over_one_mebibyte_says_the_way_out(view, artifacts):
    (view.root / "tmp" / "p").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(StagingError, match="larger than 1048576 bytes; make it an output artifact"):
        await out(order(parameters=(parameter("/tmp/p"),)), view, artifacts)
    (view.root / "tmp" / "p").write_bytes(b"\xff" * (1024 * 1024))
    assert len((await out(order(parameters=(parameter("/tmp/p"),)), view, artifacts)).parameters["p"]) == 1024 * 1024


async def test_a_parameter_that_is_a_link_pipe_or_folder_is_not_read(view, artifacts, tmp_path):
    (tmp_path / "secret").write_text("host")
    (view.root / "tmp" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(view.root / "tmp" / "pipe")
    (view.root / "tmp" / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(StagingError, match=f"open /tmp/{name}"):
            await out(order(parameters=(parameter(f"/tmp/{name}"),)), view, artifacts)


async def test_output_artifacts_come_back_as_status_shows_them(view, artifacts):
    (view.root / "tmp" / "o").write_text("x")
    staged = await out(order(artifacts=(output("/tmp/o", archive=NONE),)), view, artifacts)
    assert msgspec.to_builtins(staged.artifacts[0]) == {"name": "o", "path": "/tmp/o", "archive": {"none": {}}, "s3": {"key": "w/p/o.tgz"}}
    await staging.stage_in(order(msgspec.structs.replace(staged.artifacts[0], path="/in")), view, artifacts)
    assert (view.root / "in").read_text() == "x"


async def test_a_missing_output_is_skipped_if_optional_and_else_an_error_that_keeps_the_rest(view, artifacts, tmp_path):
    assert (await out(order(artifacts=(output("/tmp/o", optional=True),)), view, artifacts)).artifacts == ()
    (view.root / "tmp" / "p").write_text("v")
    (view.root / "tmp" / "there").write_text("x")
    (tmp_path / "stdout").write_text("printed\n")
    wanted = order(parameters=(parameter("/tmp/p"),), artifacts=(output("/tmp/o"), output("/tmp/there", "k2")), result=True)
    with pytest.raises(StagingError, match=r"^output artifact o: /tmp/o no such file or directory$") as caught:
        await out(wanted, view, artifacts, tmp_path / "stdout")
    staged = caught.value.staged
    assert (staged.parameters, staged.result, [artifact.path for artifact in staged.artifacts]) == ({"p": "v"}, "printed", ["/tmp/there"])
    assert not caught.value.transient


async def test_the_result_is_the_last_256_kib_without_one_newline(view, artifacts, tmp_path):
    text = "".join(f"{number:07}\n" for number in range(40_000))
    (tmp_path / "stdout").write_text(text)
    assert (await out(order(result=True), view, artifacts, tmp_path / "stdout")).result == text[:-1][-256 * 1024 :]
    (tmp_path / "stdout").write_text("a\n\n")
    assert (await out(order(result=True), view, artifacts, tmp_path / "stdout")).result == "a\n"
    assert (await out(order(result=True), view, artifacts, tmp_path / "never")).result == ""
    assert (await out(order(), view, artifacts, tmp_path / "stdout")).result is None


async def test_the_log_is_kept_as_it_is(view, artifacts, tmp_path):
    (tmp_path / "log").write_text("line\n")
    staged = await out(order(logs=Artifact(name="main-logs", s3=S3(key="w/p/main.log"))), view, artifacts, log=tmp_path / "log")
    assert msgspec.to_builtins(staged.log) == {"name": "main-logs", "s3": {"key": "w/p/main.log"}}
    assert (tmp_path / "repository/w/p/main.log").read_text() == "line\n"
