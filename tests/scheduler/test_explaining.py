"""Why a node is as it is: for each reason there is, the exact values behind it, who is in the way, and when it can change."""

import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.scheduler import told
from tests.scheduler.hall import Hall
from tests.scheduler.story import UID, Story
from tiphys.scheduler import activity, critical, events, explaining, reasons, records, why_crons
from tiphys.scheduler.reasons import Kind, Room
from tiphys.scheduler.state import RunState
from tiphys.spec.work import OutcomeKind

LEAF = "  - {name: leaf, container: {image: any, command: [work]}}"


def story(spec: str, *facts: str) -> Story:
    made = Story(spec)
    for fact in ("submitted", *facts):
        made.tell(fact)
    return made


def why(made: Story, name: str, room: Room | None = None) -> list[str]:
    return told.node(made.state, UID, name, made.now, room)


def explained(made: Story, name: str) -> reasons.Explanation:
    found = explaining.explain_node(made.state, UID, name, made.now)
    assert isinstance(found, reasons.Explanation)
    assert msgspec.json.decode(msgspec.json.encode(found), type=reasons.Explanation) == found
    return found


DAG = f"""
entrypoint: main
templates:
  - name: main
    dag:
      tasks:
        - {{name: a, template: leaf}}
        - {{name: b, template: leaf}}
        - {{name: c, template: leaf, depends: "a.Failed && b", when: "{{{{tasks.a.exitCode}}}} == 3"}}
        - {{name: d, template: leaf, depends: "a.Succeeded"}}
        - {{name: e, template: leaf, depends: "a.Failed", when: "{{{{tasks.a.exitCode}}}} == 0"}}
        - {{name: f, template: leaf, depends: c, when: "{{{{tasks.c.status}}}} == Succeeded"}}
{LEAF}
"""


def test_a_task_whose_dependencies_are_open_is_told_with_each_task_and_its_expression() -> None:
    made = story(DAG, "started wf.a", "exited wf.a failed 3 message=boom")
    assert why(made, "c") == [
        "depends: of the 2 tasks that it depends on these have not ended: b",
        "    a: Failed (boom), so a.Failed is true",
        "    b: Pending, so b.Succeeded || b.Skipped || b.Daemoned is not known",
        "  until: the end of b",
        "when: its condition is true: 3 == 3",
        "    written: {{tasks.a.exitCode}} == 3",
    ]
    found = explained(made, "wf.c").reasons[0]
    assert found.expression is not None
    assert (found.expression.written, found.expression.result) == ("a.Failed && b", "")
    assert [(one.task, one.status, one.holds) for one in found.operands] == [("a", "Failed", True), ("b", "Pending", None)]
    assert why(made, "f") == [
        "depends: it depends on c, which has not ended",
        "    c: not begun, so c.Succeeded || c.Skipped || c.Daemoned is not known",
        "  until: the end of c",
        "when: its condition is not known yet; with what there is so far: {{tasks.c.status}} == Succeeded",
        "    tasks.c.status: the end of c",
    ]


def test_an_omitted_task_names_the_dependency_that_made_it_so() -> None:
    made = story(DAG, "started wf.a", "exited wf.a failed 3 message=boom")
    assert why(made, "d") == [
        "omitted: what it depends on ended otherwise: a is Failed",
        "    a: Failed (boom), so a.Succeeded is false",
    ]
    assert [one.node for one in explained(made, "d").reasons[0].nodes] == ["wf.a"]


def test_a_skipped_task_shows_its_condition_and_the_values_in_it() -> None:
    made = story(DAG, "started wf.a", "exited wf.a failed 3")
    assert why(made, "e") == [
        "skipped: when '3 == 0' evaluated false",
        "    written: {{tasks.a.exitCode}} == 0",
        "    tasks.a.exitCode = 3",
    ]


def test_a_failed_pod_and_what_failed_because_of_it() -> None:
    made = story(DAG, "started wf.a", "clock 65s", "exited wf.a failed 3 message=boom", "ran wf.b succeeded 0", "ran wf.c failed 1")
    assert why(made, "a") == ["ended: Failed: boom", "    exit code 3", "    attempt 0, it ran for 1 minute 5 seconds"]
    (found,) = explained(made, "wf").reasons
    assert found.kind is Kind.ENDED
    assert found.lines == ("because of wf.c (Failed: main: Error (exit code 1))",)  # what wf.a did was foreseen: wf.c ran because of it
    assert told.run(made.state, UID, made.now)[0].startswith("ended: it ended Failed")


def test_steps_wait_for_the_group_before_them() -> None:
    made = story(
        f"entrypoint: main\ntemplates:\n  - name: main\n    steps:\n      - [{{name: a, template: leaf}}, {{name: b, template: leaf}}]\n"
        f"      - [{{name: c, template: leaf, when: '{{{{steps.a.status}}}} == Failed'}}]\n      - [{{name: d, template: leaf}}]\n{LEAF}",
        "ran wf[0].a succeeded 0",
    )
    assert why(made, "c") == [
        "order: it is in group 1 of wf, and group 0 has not ended: wf[0].b",
        "  until: the end of wf[0].b",
        "when: its condition is not known yet; with what there is so far: Succeeded == Failed",
        "    written: {{steps.a.status}} == Failed",
        "    steps.a.status: the end of a",
    ]
    assert why(made, "wf[2].d")[0] == "order: it is in group 2 of wf, and group 0 has not ended: wf[0].b"
    assert why(made, "wf[0]")[0] == "inside: what is in it has not ended: 1 open"
    assert "    not begun: 2 of 3" in why(made, "wf")
    made.tell("ran wf[0].b succeeded 0")
    assert why(made, "c")[0] == "skipped: when 'Succeeded == Failed' evaluated false"


LOOP = f"""
entrypoint: main
parallelism: 2
templates:
  - name: main
    steps: [[{{name: each, template: leaf, withSequence: {{count: "5"}}}}]]
{LEAF}
"""


def test_the_workflows_parallelism_with_who_is_active_and_the_place_in_the_queue() -> None:
    made = story(LOOP)
    assert why(made, "each(3:3)") != []
    assert why(made, "wf[0].each(3:3)")[:4] == [
        "parallelism: the workflow has parallelism 2 and 2 are active; it is number 2 of 3 that wait",
        "    active: wf[0].each(0:0), wf[0].each(1:1)",
        "    before it in the queue: wf[0].each(2:2)",
        "  until: one of the active ends",
    ]
    limit = explained(made, "wf[0].each(4:4)").reasons[0].limit
    assert limit is not None
    assert (limit.limit, limit.used, limit.place, limit.waiting) == (2, 2, 3, 3)
    assert why(made, "each(0:0)")[-1] == "loop: withSequence gives 5 items"
    assert told.run(made.state, UID, made.now)[2:] == [
        f"open wf[0].each({n}:{n}) parallelism: the workflow has parallelism 2 and 2 are active" for n in (2, 3, 4)
    ]


def test_a_templates_parallelism() -> None:
    made = story(LOOP.replace("parallelism: 2\n", "").replace("name: main\n", "name: main\n    parallelism: 1\n"))
    assert why(made, "wf[0].each(1:1)")[:3] == [
        "templateParallelism: the template main has parallelism 1 and 1 are active; it is number 1 of 4 that wait",
        "    active: wf[0].each(0:0)",
        "  until: one of the active ends",
    ]


def test_fail_fast_names_what_failed_and_what_is_still_active() -> None:
    spec = LOOP.replace("parallelism: 2\n", "").replace("name: main\n", "name: main\n    parallelism: 2\n    failFast: true\n")
    made = story(spec, "ran wf[0].each(0:0) failed 1")
    assert why(made, "wf[0].each(3:3)")[:2] == [
        "failFast: wf[0].each(0:0) failed and the template main has failFast: nothing more is started in it",
        "  until: wf fails when wf[0].each(1:1) has ended",
    ]


def test_a_suspended_workflow_and_a_call_that_waits_in_it() -> None:
    made = story(DAG, "asked suspend", "ran wf.a failed 3", "ran wf.b succeeded 0")
    assert why(made, "c")[:2] == [
        "suspended: the workflow is suspended: nothing new is started in it",
        "  until: somebody resumes it",
    ]
    assert told.run(made.state, UID, made.now)[0].startswith("suspended: the workflow is suspended")


LOCKED = """
entrypoint: main
templates:
  - name: main
    steps: [[{name: a, template: one}, {name: b, template: one}, {name: c, template: one}]]
  - name: one
    synchronization: {mutexes: [{name: only}]}
    container: {image: any, command: [work]}
"""


def test_a_lock_with_its_holder_and_the_queue() -> None:
    made = story(LOCKED)
    assert why(made, "c") == [
        "lock: it waits for the lock default/Mutex/only: number 2 of 2 in the queue",
        "    it is a mutex, held by default/wf/wf[0].a",
        "    before it in the queue: default/wf/wf[0].b",
        "  until: a holder ends and it is first in the queue",
    ]
    assert "lock: it holds the lock default/Mutex/only, for which 2 wait" in why(made, "a")
    lock = explained(made, "c").reasons[0].lock
    assert lock is not None
    assert (lock.limit, lock.place, [str(one) for one in lock.holders]) == (1, 2, ["default/wf/wf[0].a"])


def test_a_semaphore_among_workflows_and_one_whose_limit_is_gone() -> None:
    hall = Hall()
    from tests.scheduler.hall import config_map

    hall.define(config_map("limits", most="2"))
    sync = {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}
    for _ in range(4):
        hall.submit(synchronization=sync)
    assert told.run(hall.state, "u4", hall.now) == [
        "lock: it waits for the lock default/ConfigMap/limits/most: number 2 of 2 in the queue",
        "    2 of 2 taken, held by default/wf1, default/wf2",
        "    before it in the queue: default/wf3",
        "  until: a holder ends and it is first in the queue",
    ]
    assert told.run(hall.state, "u1", hall.now)[0] == "lock: the workflow holds the lock default/ConfigMap/limits/most, for which 2 wait"
    hall.define()
    assert "limit" in told.run(hall.state, "u3", hall.now)[1]
    assert told.run(hall.state, "u3", hall.now)[-1] == "  until: the semaphore has a limit again"


MEMO = """
entrypoint: main
templates:
  - name: main
    steps: [[{name: a, template: one}], [{name: b, template: one}]]
  - name: one
    memoize: {key: k, cache: {configMap: {name: cache}}}
    container: {image: any, command: [work]}
"""


def test_a_memo_names_whose_it_was() -> None:
    made = story(MEMO, "ran wf[0].a succeeded 0")
    found = explained(made, "b")
    assert found.reasons[0].kind is Kind.MEMO
    assert found.reasons[0].text == "it did not run: its outputs were remembered under the key k of the cache cache"
    assert found.reasons[0].nodes[0].id == made.run.ids["wf[0].a"]
    assert found.reasons[0].lines == ("given by default/wf/wf[0].a at 2026-01-01 00:00:00 UTC",)
    assert "nothing was remembered under the key k" in why(made, "a")[2]


def test_suspends_say_until_when_or_who() -> None:
    spec = """
entrypoint: main
templates:
  - name: main
    steps: [[{name: a, template: timed}, {name: b, template: person}]]
  - {name: timed, suspend: {duration: "30"}}
  - name: person
    suspend: {}
    outputs: {parameters: [{name: verdict, valueFrom: {supplied: {}}}, {name: other, valueFrom: {supplied: {}, default: x}}]}
"""
    made = story(spec)
    assert why(made, "a") == [
        "suspend: it waits until 2026-01-01 00:00:30 UTC, or until somebody resumes it",
        "  until: time at 00:00:30",
    ]
    assert why(made, "b") == [
        "suspend: it waits until somebody resumes it",
        "    nobody has supplied the output verdict yet, and it has no default",
        "  until: somebody sets verdict and resumes it",
    ]
    assert explained(made, "b").reasons[0].missing == ("verdict",)


RETRIED = """
entrypoint: main
templates:
  - name: main
    retryStrategy: {limit: 2, retryPolicy: Always, backoff: {duration: "10", factor: 2}, expression: "asInt(lastRetry.exitCode) > 1"}
    container: {image: any, command: [work]}
"""


def test_a_backoff_with_its_attempts_and_the_expressions_values() -> None:
    made = story(RETRIED, "ran wf(0) failed 3")
    values = "lastRetry.exitCode=3, lastRetry.duration=0, lastRetry.status=Failed, lastRetry.message=main: Error (exit code 3), retries=0"
    assert why(made, "wf") == [
        "backoff: it waits before attempt 2: the backoff ends at 00:00:10",
        "    1 attempt made, limit 2 of retries, retryPolicy Always",
        "    the last ended Failed: by the policy Always every failure counts, so it counts",
        f"    expression asInt(lastRetry.exitCode) > 1 is true with {values}",
        "  until: attempt 2 begins at 00:00:10",
    ]
    assert why(made, "wf(1)")[0].startswith("unknown")
    made.tell("clock 10s")
    assert why(made, "wf")[0] == "retry: attempt 2 is Pending: wf(1)"
    made.tell("ran wf(1) failed 1")
    assert why(made, "wf")[0] == "retry: it is given up after 2 attempts: retryStrategy.expression evaluated to false"
    retries = explained(made, "wf").reasons[0].retries
    assert retries is not None
    assert [one.exit_code for one in retries.attempts] == ["3", "1"]


def test_a_policy_that_does_not_count_the_failure() -> None:
    made = story(RETRIED.replace("Always", "OnError").replace(', expression: "asInt(lastRetry.exitCode) > 1"', ""), "ran wf(0) failed 3")
    assert why(made, "wf")[:3] == [
        "retry: it is given up after 1 attempt: main: Error (exit code 3)",
        "    1 attempt made, limit 2 of retries, retryPolicy OnError",
        "    the last ended Failed: by the policy OnError only Error counts, so it does not count",
    ]


def test_an_attempt_that_waits_for_room_says_so_under_its_node() -> None:
    spec = """
entrypoint: main
parallelism: 1
templates:
  - name: main
    steps: [[{name: a, template: one}, {name: b, template: two}]]
  - {name: one, retryStrategy: {limit: 1}, container: {image: any, command: [work]}}
  - {name: two, container: {image: any, command: [work]}}
"""
    made = story(spec)
    assert why(made, "wf[0].b")[0].startswith("parallelism: the workflow has parallelism 1 and 1 are active")


def test_a_launch_that_waits_for_a_place_of_the_machine() -> None:
    made = story(DAG)
    room = Room(executor="process", limit=2, live=2, before=3)
    assert why(made, "a", room) == [
        "slot: it waits for a place with the process executor: 2 of 2 places are taken and 3 attempts are before it",
        "  until: 4 of the attempts before it end",
    ]
    assert why(made, "a", Room(executor="process", limit=2, live=2)) == [
        "slot: the process executor is starting it",
        "  until: its process is there",
    ]


def test_a_running_attempt_with_its_earliest_deadline() -> None:
    spec = "entrypoint: main\nactiveDeadlineSeconds: 100\ntemplates:\n  - {name: main, activeDeadlineSeconds: LEAST, "
    spec += "container: {image: any, command: [work]}}"
    made = story(spec.replace("LEAST", "60"), "clock 5s", "started wf")
    assert why(made, "wf") == [
        "running: it runs since 2026-01-01 00:00:05 UTC",
        "    executor story, attempt 0",
        "    it is ended at 2026-01-01 00:01:05 UTC (activeDeadlineSeconds of its template)",
        "  until: its process ends at 00:01:05",
    ]
    made = story(spec.replace("LEAST", "600"), "clock 5s", "started wf")
    assert "(activeDeadlineSeconds of the workflow)" in why(made, "wf")[2]
    assert told.run(made.state, UID, made.now)[:2] == [
        "deadline: its deadline (activeDeadlineSeconds) is 2026-01-01 00:01:40 UTC",
        "  until: all that runs is ended then at 00:01:40",
    ]
    made.tell("clock 100s")
    assert why(made, "wf")[0] == "deadline: it is being ended: Step exceeded its deadline"


def test_a_shutdown_says_what_is_still_ending() -> None:
    made = story(DAG, "started wf.a", "started wf.b", "asked stop")
    assert told.run(made.state, UID, made.now)[:3] == [
        "shutdown: the workflow is being ended (Stop)",
        "    still ending: wf.a, wf.b",
        "  until: the end of wf.a, wf.b",
    ]
    assert why(made, "a")[0] == "shutdown: it is being ended: workflow shutdown with strategy:  Stop"
    assert why(made, "c") == ["shutdown: the workflow is being ended (Stop): nothing new begins", "  until: never"]
    made.tell("exited wf.a stopped 143")
    made.tell("exited wf.b stopped 143")
    assert why(made, "c")[0].startswith("ended: it never began: wf ended before, Failed")


HOOKED = """
entrypoint: main
onExit: bye
hooks: {running: {expression: workflow.status == "Running", template: bye}}
templates:
  - name: main
    dag:
      tasks:
        - name: a
          template: leaf
          hooks: {exit: {template: bye}, bad: {expression: 'tasks.a.status == "Failed"', template: bye}}
        - {name: b, depends: a, template: leaf}
  - {name: bye, container: {image: any, command: [bye]}}
  - {name: leaf, container: {image: any, command: [work]}}
"""


def test_hooks_and_exit_handlers() -> None:
    made = story(HOOKED, "started wf.a")
    assert why(made, "wf.a.hooks.bad") == [
        'hooks: the expression of this hook is false: tasks.a.status == "Failed"',
        "    tasks.a.status = Running",
        "  until: the phase of wf.a changes and the expression is true then",
    ]
    assert why(made, "wf.a.onExit") == [
        "hooks: it is the exit handler of wf.a, which is Running",
        "  until: wf.a ends",
    ]
    assert why(made, "onExit") == ["exitHandler: its exit handler bye has not begun", "  until: the end of the main part"]
    made.tell("exited wf.a succeeded 0")
    assert why(made, "a")[2:4] == [
        "hooks: it has ended, but its hooks have not: wf.a.onExit; what depends on it waits for them",
        "  until: the end of its hooks",
    ]
    assert "hooks: it is the exit handler of wf.a" in why(made, "wf.a.onExit")
    assert 'hooks: it is the hook of wf, whose expression became true: workflow.status == "Running"' in why(made, "wf.hooks.running")
    assert why(made, "b")[1] == "    a: Succeeded, its hooks are open, so a.Succeeded || a.Skipped || a.Daemoned is not known"
    made.tell("asked terminate")
    assert "exitHandler: its exit handler bye does not run: the workflow was terminated" in told.run(made.state, UID, made.now)


def test_an_empty_loop_and_one_whose_items_are_not_known() -> None:
    spec = """
entrypoint: main
templates:
  - name: main
    dag:
      tasks:
        - {name: a, template: leaf}
        - {name: none, template: leaf, withParam: "[]"}
        - {name: later, depends: a, template: leaf, withParam: "{{tasks.a.outputs.result}}"}
  - {name: leaf, container: {image: any, command: [work]}}
"""
    made = story(spec)
    assert why(made, "none")[0] == "skipped: its loop has no items: Skipped, empty params"
    assert why(made, "later")[-1] == "loop: the items of withParam are not known yet: tasks.a.outputs.result"
    made.tell("ran wf.a succeeded 0 result='[1,2]'")
    assert "loop: withParam gives 2 items" in why(made, "later")


def test_a_daemon_and_a_container_of_a_set() -> None:
    spec = """
entrypoint: main
templates:
  - name: main
    steps: [[{name: up, template: up}], [{name: set, template: set}]]
  - {name: up, daemon: true, container: {image: any, command: [serve]}}
  - name: set
    containerSet:
      containers: [{name: one, image: any, command: [a]}, {name: main, image: any, command: [b], dependencies: [one]}]
"""
    made = story(spec, "started wf[0].up", "reported wf[0].up ready ip=10.0.0.1")
    assert why(made, "up")[:2] == ["daemon: it is a daemon and is up at 10.0.0.1: others do not wait for it", "  until: wf ends"]
    assert why(made, "wf[1].set.main") == [
        "depends: it begins when the containers that it depends on have ended: one",
        "  until: the end of one",
    ]


def test_the_end_of_the_main_part_the_exit_handler_and_daemons_that_are_up() -> None:
    spec = """
entrypoint: up
onExit: bye
templates:
  - {name: up, daemon: true, container: {image: any, command: [serve]}}
  - {name: bye, container: {image: any, command: [bye]}}
"""
    made = story(spec, "started wf", "reported wf ready ip=10.0.0.1")
    assert "exitHandler: it is the workflow's exit handler: the main part is up" in why(made, "onExit")
    made.tell("ran wf.onExit succeeded 0")
    assert told.run(made.state, UID, made.now)[:2] == ["daemon: it ends when its daemons have ended: wf", "  until: the end of wf"]


def test_a_workflow_of_a_cron_workflow_knows_its_ticks() -> None:
    from tests.scheduler.hall import BEGAN, CRON, cron, workflow

    hall = Hall()
    hall.define(cron(concurrencyPolicy="Forbid"))
    manifest = records.Manifest(uid="child", workflow=workflow("every-1", labels={CRON: "every"}))
    tick = events.Ticked(at=hall.now, namespace="default", name="every", scheduled_at=BEGAN, child="child", seed="s", manifest=manifest)
    hall.tell(tick)
    late = timedelta(seconds=60)
    hall.tell(events.Ticked(at=hall.now, namespace="default", name="every", scheduled_at=BEGAN + late, child="other", seed="s"))
    assert told.run(hall.state, "child", hall.now)[:3] == [
        "cron: it was started by the cron workflow every",
        "    it was scheduled for 2026-01-01 00:00:00 UTC",
        "    the last tick was at 2026-01-01 00:01:00 UTC: skipped: concurrencyPolicy is Forbid and every-1 still runs",
    ]


def test_a_cron_workflow_says_what_its_next_tick_will_do() -> None:
    from tests.scheduler.hall import BEGAN, CRON, cron, workflow

    hall = Hall()
    hall.define(
        cron(concurrencyPolicy="Forbid", when="{{=cronworkflow.failed < 2}}", stopStrategy={"expression": "cronworkflow.failed >= 3"})
    )
    manifest = records.Manifest(uid="child", workflow=workflow("every-1", labels={CRON: "every"}))
    hall.tell(events.Ticked(at=hall.now, namespace="default", name="every", scheduled_at=BEGAN, child="child", seed="s", manifest=manifest))
    following = BEGAN + timedelta(seconds=60)
    found = why_crons.explain_cron(hall.state, "default", "every", hall.now, following)
    assert found is not None
    assert [line for reason in found.reasons for line in told.lines(reason)] == [
        "cron: its stopStrategy is false: cronworkflow.failed >= 3",
        "    cronworkflow.failed = 0",
        "when: its condition is true: true",
        "    written: {{=cronworkflow.failed < 2}}",
        "cron: its workflows every-1 have not ended, and concurrencyPolicy is Forbid: the next tick starts nothing while they run",
        "  until: the end of every-1",
        "cron: it ticks next at 2026-01-01 00:01:00 UTC",
    ]
    assert [(tick.workflow, tick.skipped) for tick in found.ticks] == [("every-1", "")]
    hall.define(cron(suspend=True))
    found = why_crons.explain_cron(hall.state, "default", "every", hall.now, None)
    assert found is not None
    assert [reason.text for reason in found.reasons][::2] == [
        "it is suspended: its ticks start nothing",
        "when it ticks next is not known",
    ]
    assert why_crons.explain_cron(hall.state, "default", "none", hall.now, None) is None


def test_postponed_workflows_with_their_limits_who_runs_and_their_place() -> None:
    hall = Hall(parallelism=2)
    for _ in range(4):
        hall.submit()
    hall.submit(priority=5)
    assert told.run(hall.state, "u4", hall.now) == [
        "place: 2 workflows may run at once and 2 do; it is number 3 of 3 that wait",
        "    running: default/wf1, default/wf2",
        "    before it, by priority and age: default/wf5, default/wf3",
        "  until: one of them ends",
    ]
    hall = Hall(parallelism=9, namespace_parallelism=1)
    for namespace in ("a", "b", "a"):
        hall.submit(namespace=namespace)
    assert told.run(hall.state, "u3", hall.now)[:2] == [
        "place: 1 workflows may run in the namespace a and 1 do; it is number 1 of 1 that wait",
        "    running: a/wf1",
    ]


def test_what_is_left_of_a_workflow_that_ended() -> None:
    hall = Hall()
    uid = hall.submit(ttlStrategy={"secondsAfterCompletion": 60})
    hall.end(uid, OutcomeKind.FAILED)
    found = explaining.explain_run(hall.state, uid, hall.now)
    assert [reason.kind for reason in found.reasons] == [Kind.ENDED, Kind.TTL]
    assert found.reasons[0].lines == ("wf1: Failed: why",)
    assert found.reasons[1].at is not None
    assert (found.reasons[1].at - hall.now).total_seconds() == 60
    gone = hall.submit(artifactGC={"strategy": "OnWorkflowDeletion"}, templates=[ARTIFACT], entrypoint="leaf")
    from tiphys.spec.artifacts import S3, Artifact

    hall.end(gone, artifacts=(Artifact(name="x", s3=S3(key="x")),))
    hall.ask(gone, events.Delete())
    assert told.run(hall.state, gone, hall.now)[1:] == [
        "deletion: it is being deleted",
        "    artifacts with the strategies OnWorkflowCompletion, OnWorkflowDeletion are being deleted first",
        "  until: its artifacts are gone",
    ]


ARTIFACT = {"name": "leaf", "container": {"image": "any", "command": ["work"]}, "outputs": {"artifacts": [{"name": "x", "path": "/x"}]}}


def test_what_is_not_known_says_what_looks_like_it() -> None:
    made = story(DAG)
    assert why(made, "aa") == ["unknown; near: a"]
    assert why(made, made.run.ids["wf.a"])[0] == why(made, "wf.a")[0]


def test_every_node_of_every_kind_of_workflow_can_be_explained_at_every_moment() -> None:
    for spec in (DAG, LOOP, LOCKED, MEMO, RETRIED, HOOKED):
        made = story(spec)
        for _ in range(20):
            for name in [node.id for node in made.run.nodes.values()]:
                assert explained(made, name).reasons, name
            explaining.explain_run(made.state, UID, made.now)
            live = [
                node.name for node in made.run.nodes.values() if node.type == "Pod" and not node.phase.fulfilled and not node.waiting_for
            ]
            if live:
                made.tell(f"ran '{live[-1]}' failed 3")
            made.tell("clock 15s")
        assert made.run.run.phase.completed


@pytest.mark.parametrize("shape", ["dag", "chain", "loop"])
def test_explaining_a_node_of_a_large_workflow_holds_nobody_up(shape: str) -> None:
    if shape == "loop":
        spec = LOOP.replace('"5"', '"10000"').replace("parallelism: 2", "parallelism: 5000")
        names = ["wf[0].each(7:7)", "wf[0].each(9000:9000)", "wf"]
    else:
        depends = (lambda n: f", depends: t{n - 1}" if n else "") if shape == "chain" else (lambda n: ", depends: t0" if n else "")
        tasks = "\n".join(f"        - {{name: t{n}, template: leaf{depends(n)}}}" for n in range(10_000))
        spec = f"entrypoint: main\nparallelism: 3\ntemplates:\n  - name: main\n    dag:\n      tasks:\n{tasks}\n{LEAF}"
        names = ["t0", "t5000", "t9999", "wf"]
    made = story(spec)
    if shape == "dag":
        made.tell("ran wf.t0 succeeded 0")
    for name in names:
        took = []
        for _ in range(3):
            began = time.thread_time()
            explained(made, name)
            took.append(time.thread_time() - began)
        assert min(took) < 0.15, (name, took)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "transcripts").glob("*.txt")), ids=lambda path: path.stem)
def test_everything_can_be_explained_at_every_moment_and_nothing_is_decided_otherwise_for_it(path: Path) -> None:
    head, _, body = path.read_text().partition("\n---\n")
    made = Story("\n".join(line for line in head.splitlines() if not line.startswith("#")))
    told_ = [head, "---"]
    for line in body.splitlines():
        if line.startswith("> "):
            told_ += [line, *("    " + text.replace("\n", " ⏎ ") for text in made.tell(line[2:]))]
            for uid, run in made.state.runs.items():
                everything(made, uid, run)
        elif not line.startswith("    "):
            told_.append(line)
    assert "\n".join(told_) + "\n" == path.read_text()


def everything(made: Story, uid: str, run: RunState) -> None:
    before = {name: dict(cache) for name, cache in (("nodes", run.nodes), ("plans", run.plans), ("counters", run.counters))}
    for node in list(run.nodes.values()):
        found = explaining.explain_node(made.state, uid, node.id, made.now)
        assert isinstance(found, reasons.Explanation)
        assert found.reasons, node
        for suffix in ("onExit", "(0)", "hooks.x"):
            explaining.explain_node(made.state, uid, f"{node.name}.{suffix}", made.now)
    for queue in run.parked.values():
        for _, name, _ in queue:
            found = explaining.explain_node(made.state, uid, name, made.now)
            assert isinstance(found, reasons.Explanation)
            assert found.reasons
    for template in run.manifest.workflow.spec.templates:
        tasks = [*(template.dag.tasks if template.dag else ()), *(step for group in template.steps or () for step in group)]
        for task in tasks:
            explaining.explain_node(made.state, uid, task.name, made.now)
    explained_run = explaining.explain_run(made.state, uid, made.now)
    assert explained_run.reasons or explained_run.open or not run.run.phase.completed
    path = critical.path(run, made.now)
    assert sum(path.totals.values()) == pytest.approx(path.seconds, abs=0.01)
    assert activity.look(made.state, made.now, 5).workflows
    assert before == {"nodes": run.nodes, "plans": run.plans, "counters": run.counters}
