"""What the process executor says of templates: refusals by name, one notice, nothing dropped in silence."""

import msgspec
import pytest

from tiphys.executors.process import findings
from tiphys.settings import ImageEntry
from tiphys.spec.containers import Container, ResourceRequirements, ScriptTemplate
from tiphys.spec.templates import Template
from tiphys.spec.work import Severity


def found(template: dict, *, isolated: bool = True, limits_work: bool = False, uid: int = 0):
    """Findings of a template given as JSON."""
    decoded = msgspec.convert({"name": "t", **template}, Template)
    images = {"known": ImageEntry(cmd=("sh",))}
    return findings.findings(decoded, images, isolated=isolated, limits_work=limits_work, uid=uid, gid=uid)


PLAIN = {"image": "alpine", "command": ["true"]}


def test_a_plain_template_has_none():
    assert list(found({"container": PLAIN})) == []
    assert list(found({"script": {**PLAIN, "source": "x"}})) == []
    assert list(found({"container": {"image": "known"}})) == []
    assert list(found({"container": {"image": "{{inputs.parameters.image}}"}})) == []


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"resource": {"action": "get"}}, "resource"),
        ({"containerSet": {"containers": [{"name": "c", **PLAIN, "tty": True}]}}, "containerSet.containers[c].tty"),
        ({"data": {}}, "data"),
        ({"container": {**PLAIN, "readinessProbe": {"grpc": {"port": 1}}}, "daemon": True}, "container.readinessProbe"),
        ({"container": PLAIN, "podSpecPatch": "{}"}, "podSpecPatch"),
        ({"container": PLAIN, "sidecars": [{"name": "s", **PLAIN, "lifecycle": {"preStop": {}}}]}, "sidecars[s].lifecycle"),
        ({"container": PLAIN, "initContainers": [{"name": "s"}]}, "initContainers[s].command"),
        ({"container": PLAIN, "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]}, "volumes[v]"),
        ({"container": PLAIN, "hostAliases": [{"ip": "1.2.3.4"}]}, "hostAliases"),
        ({"container": PLAIN, "securityContext": {"runAsUser": 1234}}, "securityContext.runAsUser"),
        ({"container": {**PLAIN, "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}}, "container.securityContext.capabilities"),
        ({"container": {**PLAIN, "securityContext": {"runAsNonRoot": True}}}, "container.securityContext.runAsNonRoot"),
        ({"container": {**PLAIN, "securityContext": {"privileged": True}}}, "container.securityContext.privileged"),
        ({"container": {**PLAIN, "livenessProbe": {}, "lifecycle": {"preStop": {}}}}, "container.lifecycle"),
        ({"container": {**PLAIN, "tty": True}}, "container.tty"),
        ({"container": {**PLAIN, "resources": {"limits": {"nvidia.com/gpu": 1}}}}, "container.resources.limits.nvidia.com/gpu"),
        ({"container": PLAIN, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volumes[v]"),
        ({"script": {"image": "nobody-knows", "source": "x"}}, "script.command"),
    ],
)
def test_what_would_change_the_step_is_refused_by_name(template, field):
    errors = [finding for finding in found(template) if finding.severity is Severity.ERROR]
    assert [finding.field for finding in errors] == [field]
    assert all(finding.message for finding in errors)


def test_volume_mounts_need_isolation():
    template = {"container": {**PLAIN, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, "volumes": [{"name": "v", "emptyDir": {}}]}
    assert list(found(template)) == []
    assert [finding.field for finding in found(template, isolated=False)] == ["container.volumeMounts"]


def test_what_is_so_anyway_may_be_asked_for():
    context = {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, "privileged": False, "allowPrivilegeEscalation": False}
    assert list(found({"container": {**PLAIN, "securityContext": context}}, uid=1000)) == []


def test_what_places_or_names_a_pod_is_one_notice():
    template = {
        "container": {
            **PLAIN,
            "imagePullPolicy": "Always",
            "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": 1}, "limits": {"cpu": 1}},
        },
        "serviceAccountName": "me",
        "nodeSelector": {"a": "b"},
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{}],
        "metadata": {"labels": {"a": "b"}},
    }
    (notice,) = found(template)
    assert notice.severity is Severity.NOTICE
    for name in (
        "serviceAccountName",
        "nodeSelector",
        "affinity",
        "tolerations",
        "metadata",
        "container.ports",
        "container.imagePullPolicy",
    ):
        assert name in notice.message
    assert "container.resources.requests" in notice.message
    assert "container.resources.limits (no cgroup" in notice.message
    assert "limits" not in found(template, limits_work=True)[0].message


def test_every_field_of_a_container_and_template_is_judged():
    """A new field of the manifest language must be honoured, refused or noticed: nobody may forget it."""
    honoured = {
        "name",
        "image",
        "command",
        "args",
        "working_dir",
        "env_from",
        "env",
        "resources",
        "volume_mounts",
        "security_context",
        "source",
        "readiness_probe",
    }
    judged = honoured | set(findings.PLACING_CONTAINER) | set(findings.PLACING_CONTAINER_OF_NO_USE) | set(findings.REFUSED_CONTAINER)
    assert set(Container.__struct_fields__) | set(ScriptTemplate.__struct_fields__) == judged
    engines = {
        *("name", "inputs", "outputs", "steps", "dag", "suspend", "http", "container", "script", "volumes", "archive_location"),
        *("active_deadline_seconds", "retry_strategy", "parallelism", "fail_fast", "metrics", "synchronization", "memoize"),
        *(
            "timeout",
            "pending_timeout",
            "security_context",
            "container_set",
            "plugin",
            "daemon",
            "init_containers",
            "sidecars",
            "annotations",
        ),
    }
    assert set(Template.__struct_fields__) == engines | set(findings.PLACING) | set(findings.REFUSED) | set(findings.REFUSED_KINDS)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("1Gi", 1024**3),
        ("1G", 1e9),
        ("128974848", 128974848),
        ("1e3", 1000),
        (2, 2),
        (0.25, 0.25),
        ("64Mi", 64 * 1024**2),
        ("1k", 1000),
    ],
)
def test_quantities_are_kubernetes_own(text, number):
    assert findings.quantity(text) == number


def test_limits_become_cgroup_files():
    assert findings.limits(ResourceRequirements(limits={"cpu": "250m", "memory": "64Mi"})) == {
        "memory.max": "67108864",
        "cpu.max": "25000 100000",
    }
    assert findings.limits(None) == {}
