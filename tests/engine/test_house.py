"""A daemon's verbs: what is submitted again is the same run, names are nobody else's, and a run keeps the definitions of its beginning."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from tiphys import manifests
from tiphys.engine.engine import Collector, Refused, open_engine
from tiphys.engine.house import House, NotThere, Taken
from tiphys.engine.operations import Rejected
from tiphys.errors import Busy
from tiphys.executors.scripted import Play, Script, ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import Entry
from tiphys.scheduler import events
from tiphys.scheduler.decision import DeleteArtifacts
from tiphys.scheduler.items import Rules
from tiphys.scheduler.records import Settled
from tiphys.settings import LimitSettings
from tiphys.spec.artifacts import S3, Artifact
from tiphys.spec.status import Phase
from tiphys.spec.workflows import Document, Workflow

MOMENT = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
SHOWN = "2031-05-06T09:08:00+02:00"
NEVER = Script(otherwise=Play(seconds=3600))


def read(text: str) -> list[Document]:
    """The documents of a text."""
    parsed = manifests.parse(text.encode(), "test.yaml", LimitSettings())
    assert not parsed.diagnostics, [diagnostic.message for diagnostic in parsed.diagnostics]
    return [located.document for located in parsed.documents]


def workflow(name: str = "wf", *, namespace: str = "", **spec: Any) -> Document:
    """A Workflow of one step."""
    whole = {"entrypoint": "leaf", "templates": [{"name": "leaf", "container": {"image": "any", "command": ["work"]}}], **spec}
    meta = {"generateName": name} if name.endswith("-") else {"name": name}
    return _made("Workflow", {**meta, "namespace": namespace}, whole)


def template(
    name: str, *, kind: str = "WorkflowTemplate", namespace: str = "", calls: str = "", command: str = "work", cluster: bool = False
) -> Document:
    """A template `leaf` of that name, which calls that of another one or runs a command."""
    body: dict[str, Any] = {"name": "leaf", "container": {"image": "any", "command": [command]}}
    if calls:
        reference = {"name": calls, "template": "leaf", "clusterScope": cluster}
        body = {"name": "leaf", "steps": [[{"name": "a", "templateRef": reference}, {"name": "b", "templateRef": reference}]]}
    return _made(kind, {"name": name, "namespace": namespace}, {"templates": [body]})


def cron(name: str = "every", **spec: Any) -> Document:
    """A CronWorkflow of one step."""
    whole = {"entrypoint": "leaf", "templates": [{"name": "leaf", "container": {"image": "any", "command": ["work"]}}]}
    return _made("CronWorkflow", {"name": name}, {"schedules": ["* * * * *"], "workflowSpec": whole, **spec})


def _made(kind: str, meta: dict[str, Any], spec: dict[str, Any]) -> Document:
    document = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    return msgspec.convert(document, Document)  # type: ignore[no-any-return, call-overload] - a union


CALLS = {"templates": [{"name": "leaf", "steps": [[{"name": "a", "templateRef": {"name": "one", "template": "leaf"}}]]}]}


@asynccontextmanager
async def house(
    journal: MemoryJournal | None = None,
    script: Script | None = None,
    *,
    defaults: Workflow | None = None,
    collector: Collector | None = None,
    **rules: Any,
) -> AsyncIterator[House]:
    """A house over a journal and scripted steps."""
    executor = ScriptedExecutor(script or Script())
    kept = Rules(**rules)
    async with open_engine(journal or MemoryJournal(), {"scripted": executor}, {"scripted": 0}, rules=kept, collector=collector) as engine:
        yield House(engine, Settled(executor="scripted"), "default", {}, defaults=defaults)


async def ended(opened: House, uid: str) -> Phase:
    """Follow a run to its end."""
    with anyio.fail_after(10):
        async for _ in opened.changes(uid):
            pass
    return next(run.phase for run in opened.runs() if run.uid == uid)


def names(opened: House) -> list[str]:
    return sorted(f"{run.namespace}/{run.name}" for run in opened.runs())


# submissions


async def test_a_key_is_one_submission() -> None:
    journal = MemoryJournal()
    async with house(journal) as opened:
        assert not opened.known("k")
        uids = await opened.submit([workflow()], key="k")
        assert opened.known("k")
        assert await opened.submit([workflow()], key="k") == uids
        (other,) = await opened.submit([workflow("wf2")], key="other")
        await ended(opened, uids[0])
    async with house(journal) as opened:
        assert opened.known("k")
        assert await opened.submit([workflow()], key="k") == uids
        assert {run.uid for run in opened.runs()} == {*uids, other}
        await opened.forget("k")
        await opened.forget("k")
        assert not opened.known("k")
        with pytest.raises(Taken):
            await opened.submit([workflow()], key="k")


@pytest.mark.parametrize("spec", [{}, {"arguments": {"parameters": [{"name": "a", "value": "1"}]}}, {"suspend": True}])
async def test_what_is_submitted_is_what_is_decided_so_that_it_is_stored_once(spec: dict[str, Any]) -> None:
    journal = MemoryJournal()
    async with house(journal) as opened:
        (uid,) = await opened.submit([workflow(**spec)])
    [run] = (await journal.load()).runs
    submitted = (await journal.events(uid))[0].event
    assert isinstance(submitted, events.Submitted)
    assert submitted.manifest == run.manifest


async def test_a_key_of_a_run_that_is_deleted_still_starts_nothing() -> None:
    async with house() as opened:
        (uid,) = await opened.submit([workflow()], key="k")
        await ended(opened, uid)
        await opened.ask(uid, events.Delete())
        assert await opened.submit([workflow()], key="k") == [uid]
        assert not opened.runs()


async def test_the_same_submission_at_the_same_time_is_one() -> None:
    async with house() as opened:
        found: list[Sequence[str]] = []

        async def submit() -> None:
            found.append(await opened.submit([workflow(), workflow("wf2")], key="k"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(submit)
        assert len({tuple(uids) for uids in found}) == 1
        assert names(opened) == ["default/wf", "default/wf2"]


class Cut(MemoryJournal):
    """A journal whose machine loses its power after so many batches."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good = good

    async def record(self, entries: Sequence[Entry]) -> None:
        """Fail when the good ones are used up."""
        if self.good == 0:
            raise OSError("no power")
        self.good -= 1
        await super().record(entries)


@pytest.mark.parametrize("recorded", range(5))
async def test_several_workflows_of_a_submission_that_was_cut_off_are_each_there_once(recorded: int) -> None:
    documents = [workflow("a"), workflow("b-"), workflow("c"), template("one")]
    journal = Cut(recorded)
    with pytest.raises(BaseExceptionGroup) as raised:  # noqa: PT012 - the loop raises, behind the block
        async with house(journal, NEVER) as opened:
            await opened.submit(documents, key="k", source="f.yaml")
            journal.good = 0
            await opened.submit([workflow("last")])
    assert raised.group_contains(OSError, match="no power")
    journal.good = -1
    async with house(journal, NEVER) as opened:
        before = {run.uid for run in opened.runs()}
        uids = await opened.submit(documents, key="k", source="f.yaml")
        assert before <= set(uids)
        assert [name[:9] for name in names(opened)] == ["default/a", "default/b", "default/c"]
        assert await opened.submit(documents, key="k", source="f.yaml") == uids


async def test_a_submission_with_something_wrong_starts_none_of_it() -> None:
    async with house() as opened:
        with pytest.raises(Rejected, match="nowhere"):
            await opened.submit([workflow("a"), workflow("b", workflowTemplateRef={"name": "nowhere"}, templates=[])])
        await opened.submit([workflow("taken")])
        with pytest.raises(Taken, match='"taken" already exists'):
            await opened.submit([workflow("a"), workflow("taken")])
        assert names(opened) == ["default/taken"]


async def test_a_name_belongs_to_one_run_of_a_namespace() -> None:
    async with house() as opened:
        await opened.submit([workflow()])
        with pytest.raises(Taken):
            await opened.submit([workflow()])
        await opened.submit([workflow(namespace="other")])
        (renamed,) = await opened.submit([workflow()], source="f.yaml")
        name = opened.workflow(renamed).metadata.name
        assert name.startswith("wf-")
        assert len(name) == len("wf-") + 5
        assert opened.find("default", name) == renamed
        with pytest.raises(NotThere):
            opened.find("other", name)
        uid = opened.find("default", "wf")
        await ended(opened, uid)
        await opened.ask(uid, events.Delete())
        await opened.submit([workflow()])


async def test_names_that_come_together_are_kept_apart_too() -> None:
    async with house() as opened:
        with pytest.raises(Taken):
            await opened.submit([workflow(), workflow()])
        assert not opened.runs()
        await opened.submit([workflow(), workflow()], source="f.yaml")
        assert len(set(names(opened))) == 2
        refused = []

        async def submit() -> None:
            try:
                await opened.submit([workflow("both")])
            except Taken as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(submit)
            group.start_soon(submit)
        assert len(refused) == 1
        await opened.submit([workflow("x-"), workflow("x-")])
        assert len(set(names(opened))) == 5


async def test_parameters_and_who_asked_are_taken_along() -> None:
    async with house() as opened:
        arguments = {"parameters": [{"name": "p", "value": "1"}, {"name": "q", "value": "2"}]}
        (uid,) = await opened.submit([workflow(arguments=arguments)], parameters={"p": "3"}, who="Ann O'Hara <ann@x>")
        made = opened.workflow(uid)
        assert made.spec.arguments is not None
        assert [(p.name, p.value) for p in made.spec.arguments.parameters] == [("p", "3"), ("q", "2")]
        assert (made.metadata.labels or {})["workflows.argoproj.io/creator"] == "Ann-O-Hara--ann-x"


async def test_secrets_are_not_taken_along() -> None:
    secret = read("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hidden}\n")
    async with house() as opened:
        with pytest.raises(Rejected, match="Secrets are not taken along"):
            await opened.submit([workflow(), *secret])
        with pytest.raises(Rejected, match="a Secret is no definition that stays"):
            await opened.define(secret, source="f.yaml")
        assert not opened.runs()


async def test_a_busy_house_takes_nothing_new_and_knows_what_it_has() -> None:
    async with house() as opened:
        (uid,) = await opened.submit([workflow()], key="k")
        await opened.define([cron()], source="f.yaml")
        opened.refuses = lambda: "the disk is full"
        assert await opened.submit([workflow()], key="k") == [uid]
        with pytest.raises(Busy, match="the disk is full"):
            await opened.submit([workflow("wf2")])
        with pytest.raises(Busy):
            await opened.define([template("one")], source="g.yaml")
        with pytest.raises(Busy):
            await opened.tick("default", "every", MOMENT, SHOWN, manual=True)
        tick = await opened.tick("default", "every", MOMENT, SHOWN)
        assert (tick.uid, tick.skipped) == ("", "the disk is full")
        await opened.undefine("f.yaml")
        assert names(opened) == ["default/wf"]


# definitions


def reached(opened: House, uid: str) -> set[str]:
    """The names of the templates that a run took along."""
    manifest = opened.still(uid).manifest
    return {one.metadata.name for one in (*manifest.templates, *manifest.cluster_templates)}


async def test_a_run_takes_along_what_it_can_reach_and_nothing_else() -> None:
    async with house() as opened:
        documents = [
            template("one", calls="two"),
            template("two", calls="three", cluster=True),
            template("three", kind="ClusterWorkflowTemplate"),
            template("three", command="not-this"),
            template("other"),
        ]
        await opened.define(documents, source="f.yaml")
        (uid,) = await opened.submit([workflow(**CALLS)])
        assert await ended(opened, uid) is Phase.SUCCEEDED
        assert reached(opened, uid) == {"one", "two", "three"}
        assert len(opened.still(uid).manifest.templates) == 2
        (plain,) = await opened.submit([workflow("plain")])
        assert reached(opened, plain) == set()


async def test_a_name_with_tags_may_mean_any_template() -> None:
    async with house() as opened:
        await opened.define([template("one"), template("two"), template("three", kind="ClusterWorkflowTemplate")], source="f.yaml")
        reference = {"name": "{{workflow.parameters.which}}", "template": "leaf"}
        steps = [{"name": "leaf", "steps": [[{"name": "a", "templateRef": reference}]]}]
        arguments = {"parameters": [{"name": "which", "value": "two"}]}
        (uid,) = await opened.submit([workflow(templates=steps, arguments=arguments)])
        assert reached(opened, uid) == {"one", "two"}


async def test_what_lies_below_every_workflow_may_call_templates_too() -> None:
    below = workflow("below", hooks={"exit": {"templateRef": {"name": "one", "template": "leaf"}}}, templates=[], entrypoint="")
    assert isinstance(below, Workflow)
    async with house(defaults=below) as opened:
        await opened.define([template("one")], source="f.yaml")
        (uid,) = await opened.submit([workflow()])
        assert reached(opened, uid) == {"one"}
        assert await ended(opened, uid) is Phase.SUCCEEDED


async def test_what_came_along_goes_before_what_is_in_force() -> None:
    async with house() as opened:
        await opened.define([template("one", calls="two"), template("two")], source="f.yaml")
        (uid,) = await opened.submit([workflow(**CALLS), template("one")])
        assert reached(opened, uid) == {"one"}
        assert await ended(opened, uid) is Phase.SUCCEEDED


async def test_a_definition_that_changes_changes_no_run_that_goes_on() -> None:
    journal = MemoryJournal()
    steps = [[{"name": "wait", "template": "wait"}], [{"name": "a", "templateRef": {"name": "one", "template": "leaf"}}]]
    late = workflow(templates=[{"name": "leaf", "steps": steps}, {"name": "wait", "suspend": {}}])
    async with house(journal) as opened:
        await opened.define([template("one", command="before")], source="f.yaml")
        (uid,) = await opened.submit([late])
        await opened.define([template("one", command="after")], source="f.yaml")
        await opened.undefine("f.yaml")
    async with house(journal) as opened:
        await opened.ask(uid, events.Resume())
        assert await ended(opened, uid) is Phase.SUCCEEDED
        (stored,) = (opened.workflow(uid).status or pytest.fail("no status")).stored_templates or {"": None}
        assert stored == "namespaced/one/leaf"
        assert opened.still(uid).manifest.templates[0].spec.templates[0].container.command == ("before",)  # type: ignore[union-attr]
        with pytest.raises(Rejected, match="one"):
            await opened.submit([workflow("new", workflowTemplateRef={"name": "one"}, templates=[], entrypoint="leaf")])


async def test_namespaces_are_kept_apart() -> None:
    async with house() as opened:
        await opened.define([template("one", namespace="other"), template("two")], source="f.yaml")
        assert [one.metadata.namespace for one in opened.definitions()] == ["other", "default"]
        (uid,) = await opened.submit([workflow(**CALLS)])
        assert await ended(opened, uid) is Phase.FAILED
        assert reached(opened, uid) == set()
        (there,) = await opened.submit([workflow(namespace="other", **CALLS)])
        assert await ended(opened, there) is Phase.SUCCEEDED


async def test_definitions_have_sources_and_tell_of_changes() -> None:
    told = []
    journal = MemoryJournal()
    async with house(journal) as opened:
        opened.when_definitions_change(lambda: told.append(len(opened.definitions())))
        await opened.define([template("one"), cron()], source="f.yaml", digest="d1")
        with pytest.raises(Rejected, match='WorkflowTemplate "one" is defined by'):
            await opened.define([template("one")], source="g.yaml")
        with pytest.raises(Rejected, match="a Workflow is no definition that stays"):
            await opened.define([workflow()], source="g.yaml")
        with pytest.raises(Rejected, match="without a name cannot stay"):
            await opened.define([template("")], source="g.yaml")
        await opened.undefine("g.yaml")
        assert told == [2]
    async with house(journal) as opened:
        assert opened.definition_sources() == {"f.yaml": "d1"}
        assert [made.metadata.name for made, _ in opened.cron_workflows()] == ["every"]


# cron workflows


async def test_a_tick_starts_a_workflow_of_that_moments_name() -> None:
    journal = MemoryJournal()
    async with house(journal) as opened:
        extra = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
        await opened.define([cron(workflowMetadata=extra)], source="f.yaml")
        tick = await opened.tick("default", "every", MOMENT, SHOWN)
        made = opened.workflow(tick.uid)
        assert made.metadata.name == tick.workflow == f"every-{int(MOMENT.timestamp())}"
        assert (made.metadata.labels or {})["workflows.argoproj.io/cron-workflow"] == "every"
        assert (made.metadata.labels or {})["a"] == "b"
        assert made.metadata.annotations == {"c": "d", "workflows.argoproj.io/scheduled-time": SHOWN}
        with pytest.raises(Refused, match="has ticked at"):
            await opened.tick("default", "every", MOMENT, SHOWN)
        with pytest.raises(NotThere):
            await opened.tick("other", "every", MOMENT, SHOWN)
        assert await ended(opened, tick.uid) is Phase.SUCCEEDED
    async with house(journal) as opened:
        with pytest.raises(Refused, match="has ticked at"):
            await opened.tick("default", "every", MOMENT, SHOWN)
        later = await opened.tick("default", "every", MOMENT + timedelta(minutes=1), SHOWN, missed="the daemon was down")
        assert later.skipped == "the daemon was down"
        assert opened.ticks("default", "every") == [tick, later]


async def test_one_that_somebody_wants_has_five_letters_and_says_who() -> None:
    async with house() as opened:
        await opened.define([cron(suspend=True)], source="f.yaml")
        tick = await opened.tick("default", "every", MOMENT, SHOWN, manual=True, who="ann")
        assert tick.manual
        assert tick.workflow.startswith("every-")
        assert len(tick.workflow) == len("every-") + 5
        assert (opened.workflow(tick.uid).metadata.labels or {})["workflows.argoproj.io/creator"] == "ann"


async def test_a_tick_whose_workflow_cannot_be_made_says_why() -> None:
    async with house() as opened:
        await opened.define([cron(workflowSpec={"workflowTemplateRef": {"name": "gone"}})], source="f.yaml")
        tick = await opened.tick("default", "every", MOMENT, SHOWN)
        assert "gone" in tick.skipped
        ((_, status),) = opened.cron_workflows()
        assert status is not None
        assert (status.failed, status.error_kind) == (1, "SubmissionError")
        with pytest.raises(Rejected, match="gone"):
            await opened.tick("default", "every", MOMENT + timedelta(seconds=1), SHOWN, manual=True)


async def test_a_tick_takes_the_templates_of_its_moment_along() -> None:
    async with house() as opened:
        calling = {"entrypoint": "leaf", **CALLS}
        await opened.define([cron(workflowSpec=calling), template("one")], source="f.yaml")
        tick = await opened.tick("default", "every", MOMENT, SHOWN)
        assert reached(opened, tick.uid) == {"one"}


# all runs together, before a real engine


async def gone(opened: House, uid: str) -> None:
    """Wait until a run is deleted."""
    with anyio.fail_after(10):
        while any(run.uid == uid for run in opened.runs()):
            await anyio.sleep(0.01)


async def test_a_place_that_is_left_and_a_limit_that_is_raised_let_the_next_in() -> None:
    journal = MemoryJournal()
    async with house(journal, parallelism=1) as opened:
        uids = [(await opened.submit([workflow(f"wf{number}")]))[0] for number in range(5)]
        for uid in uids:
            assert await ended(opened, uid) is Phase.SUCCEEDED
    async with house(journal, NEVER, parallelism=1) as opened:
        uids = [(await opened.submit([workflow(f"again{number}")]))[0] for number in range(4)]
        await opened.ask(uids[3], events.Terminate())
        opened._engine.configure(Rules(parallelism=2))
        with anyio.fail_after(10):
            while [run.phase for run in opened.runs() if run.uid in uids] != ["Running", "Running", "Pending", "Failed"]:
                await anyio.sleep(0.01)
    async with house(journal) as opened:
        assert [await ended(opened, uid) for uid in uids[:3]] == [Phase.SUCCEEDED] * 3


async def test_a_run_whose_time_has_come_is_deleted_and_archived() -> None:
    journal = MemoryJournal()
    async with house(journal) as opened:
        (uid,) = await opened.submit([workflow(ttlStrategy={"secondsAfterCompletion": 0})])
        await gone(opened, uid)
        (stays,) = await opened.submit([workflow("stays", ttlStrategy={"secondsAfterCompletion": 3600})])
        await ended(opened, stays)
    archived = await journal.archived(uid)
    assert archived is not None
    assert (archived.metadata.name, archived.status and archived.status.phase) == ("wf", Phase.SUCCEEDED)
    async with house(journal) as opened:
        assert names(opened) == ["default/stays"]


async def test_artifacts_are_deleted_with_a_run_and_an_error_keeps_it() -> None:
    asked: list[list[str]] = []

    async def collect(_namespace: str, command: DeleteArtifacts) -> None:
        asked.append([artifact.name for artifact in command.artifacts])
        if len(asked) == 1:
            raise Rejected("no access")

    made = Artifact(name="a", path="/a", s3=S3(key="a"))
    script = Script(otherwise=Play(artifacts=(made,)))
    async with house(None, script, collector=collect) as opened:
        (uid,) = await opened.submit([workflow(artifactGC={"strategy": "OnWorkflowDeletion"})])
        await ended(opened, uid)
        await opened.ask(uid, events.Delete())
        with anyio.fail_after(10):
            while not next(run.artifact_gc_error for run in opened.runs()):
                await anyio.sleep(0.01)
        conditions = (opened.workflow(uid).status or pytest.fail("no status")).conditions
        assert [one.message for one in conditions if one.type == "ArtifactGCError"] == ["no access"]
        await opened.ask(uid, events.Delete())
        await gone(opened, uid)
        assert asked == [["a"], ["a"]]


async def test_a_running_run_may_be_deleted_while_somebody_follows_it() -> None:
    async with house(script=NEVER) as opened:
        (uid,) = await opened.submit([workflow()])
        async with anyio.create_task_group() as group:
            seen: list[Phase] = []

            async def follow() -> None:
                async for change in opened.changes(uid):
                    seen.append(change.phase)  # noqa: PERF401 - it is looked at while it grows

            group.start_soon(follow)
            with anyio.fail_after(10):
                while not seen:
                    await anyio.sleep(0.01)
                await opened.ask(uid, events.Delete())
                while opened.runs():
                    await anyio.sleep(0.01)
        assert seen[-1] is Phase.FAILED
        await opened.submit([workflow()])
