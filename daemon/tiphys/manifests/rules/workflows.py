"""Whole documents: a Workflow, a WorkflowTemplate, a CronWorkflow (semantics 2.24)."""

from collections.abc import Iterable

from tiphys.manifests.rules import arguments, hooks, metrics, names, outdated, pods, resolution, schedules, syntax, templates
from tiphys.manifests.rules.definitions import Definitions
from tiphys.manifests.rules.problems import Path, Problem
from tiphys.manifests.rules.visits import Resource, Walk
from tiphys.spec import templates as spec_templates
from tiphys.spec import workflows

ALWAYS_KNOWN = (
    "workflow.name",
    "workflow.namespace",
    "workflow.uid",
    "workflow.mainEntrypoint",
    "workflow.serviceAccountName",
    "workflow.status",
    "workflow.labels",
    "workflow.labels.json",
    "workflow.annotations",
    "workflow.annotations.json",
)
POLICIES = frozenset({"", "Allow", "Forbid", "Replace"})


class _Check:
    """One WorkflowSpec being checked, alone or with the resource it takes its templates from."""

    def __init__(
        self,
        spec: workflows.WorkflowSpec,
        metadata: workflows.ObjectMeta,
        definitions: Definitions,
        path: Path,
        *,
        alone: bool,
        lenient: bool,
    ) -> None:
        self.spec = spec
        self.metadata = metadata
        self.path = path
        self.alone = alone
        self.lenient = lenient
        self.walk = Walk(definitions, template_alone=alone)
        self.own = Resource("local/", spec, path)
        self.base: Resource | None = None
        self.prefix = ""
        """What a CronWorkflow says before the problems of its workflow."""

    def run(self) -> list[Problem]:
        """All problems, the first as Argo gives it."""
        report, spec = self.walk.report, self.spec
        if spec.workflow_template_ref is not None and not self._find_base(spec.workflow_template_ref):
            return report.problems()
        for index, text in names.faults((template.name for template in spec.templates), names.field_fault):
            report.error((*self.path, "templates", index), f"{self.prefix}spec.templates{text}")
        given = self._arguments()
        arguments.check(report, (*self.path, "arguments"), "spec.arguments.", given, callers=self.prefix, may_lack_values=self.lenient)
        self._declare(given)
        for text in pods.resource_faults("spec.podResources", spec.pod_resources):
            report.error((*self.path, "podResources"), self.prefix + text)
        self._enter(given)
        self._check_exit()
        for name, text in hooks.faults(spec.hooks, "hooks"):
            report.error((*self.path, "hooks", name), self.prefix + text)
        added = spec.workflow_metadata.labels_from if spec.workflow_metadata else None
        for name, source in (added or {}).items():
            if fault := syntax.bare_fault(source.expression):
                text = f"{self.prefix}workflowMetadata.labelsFrom.{name}.expression: {fault}"
                report.error((*self.path, "workflowMetadata", "labelsFrom", name, "expression"), text)
        for field, text in pods.gc_faults(spec.pod_gc):
            report.error((*self.path, "podGC", field), self.prefix + text)
        for resource in [self.base] if self.base else [self.own]:
            for name in resource.templates:
                self._visit(resource, name, (), f"{self.prefix}templates.{name} ")
        self._warn()
        return report.problems()

    def _find_base(self, ref: workflows.WorkflowTemplateRef) -> bool:
        report, spec = self.walk.report, self.spec
        if spec.templates:
            text = "Templates is invalid field in spec if workflow referred WorkflowTemplate reference"
            report.error((*self.path, "templates"), self.prefix + text)
        self.base = resolution.resource_of(self.walk, ref.name, clustered=ref.cluster_scope)
        if self.base is not None:
            return True
        kind = resolution.kind_of(clustered=ref.cluster_scope)
        if self.walk.definitions.offline:
            report.unseen((*self.path, "workflowTemplateRef", "name"), kind, ref.name, resolution.UNSEEN)
            return False
        known = self.walk.definitions.cluster_workflow_templates if ref.cluster_scope else self.walk.definitions.workflow_templates
        place = (*self.path, "workflowTemplateRef", "name")
        report.error(place, f'{self.prefix}{kind.lower()}s.argoproj.io "{ref.name}" not found', self.walk.nearest(ref.name, known))
        return False

    def _arguments(self) -> spec_templates.Arguments:
        """The workflow's arguments and those only its template names (semantics 2.17)."""
        own = self.spec.arguments or arguments.NONE
        base = (self.base.spec.arguments if self.base else None) or arguments.NONE
        parameters = {parameter.name for parameter in own.parameters}
        artifacts = {artifact.name for artifact in own.artifacts}
        return spec_templates.Arguments(
            parameters=(*own.parameters, *(item for item in base.parameters if item.name not in parameters)),
            artifacts=(*own.artifacts, *(item for item in base.artifacts if item.name not in artifacts)),
        )

    def _declare(self, given: spec_templates.Arguments) -> None:
        known = self.walk.everywhere
        known.add(*ALWAYS_KNOWN)
        if given.parameters:
            known.add("workflow.parameters", "workflow.parameters.json")
        for parameter in given.parameters:
            known.add(f"workflow.parameters.{parameter.name}")
            if parameter.value is not None:
                self.walk.values[f"workflow.parameters.{parameter.name}"] = parameter.value
        known.add(*_keys("labels", self.metadata.labels), *_keys("annotations", self.metadata.annotations))
        for spec in (self.spec, self.base.spec if self.base else None):
            added = spec.workflow_metadata if spec else None
            if added is not None:
                known.add(*_keys("labels", added.labels), *_keys("labels", added.labels_from), *_keys("annotations", added.annotations))
        if self.spec.priority is not None:
            known.add("workflow.priority")

    def _enter(self, given: spec_templates.Arguments) -> None:
        name = self.spec.entrypoint or (self.base.spec.entrypoint if self.base else "")
        if not name:
            if not self.alone:
                self.walk.report.error(self.path, f"{self.prefix}spec.entrypoint is required")
            return
        found = self._visit(self.base or self.own, name, ("entrypoint",) if self.spec.entrypoint else (), self.prefix)
        if found.template is None or self.alone:
            return
        unset = {parameter.name for parameter in given.parameters if parameter.value is None and parameter.value_from is None}
        for missing, text in arguments.missing(found.template, given):
            if missing not in unset:  # reported already, or to be given at submit
                hint = "give it in spec.arguments, or with -p"
                place = (*self.path, "entrypoint") if self.spec.entrypoint else self.path
                self.walk.report.error(place, f"{self.prefix}templates.{name} {text}", hint)

    def _check_exit(self) -> None:
        base = self.base.spec.on_exit if self.base else ""
        name = self.spec.on_exit or base
        if name or self.spec.hooks or (self.base and self.base.spec.hooks):
            self.walk.everywhere.add("workflow.failures")
        if name:
            found = self._visit(self.base or self.own, name, ("onExit",) if self.spec.on_exit else (), self.prefix)
            if found.template is not None and not self.alone:
                own = self.spec.arguments or arguments.NONE
                unset = {parameter.name for parameter in own.parameters if parameter.value is None and parameter.value_from is None}
                for missing, text in arguments.missing(found.template, own):
                    if missing not in unset:
                        self.walk.report.error((*self.path, "onExit"), f"{self.prefix}templates.{name} {text}")

    def _visit(self, resource: Resource, name: str, keys: Path, callers: str) -> resolution.Found:
        place = (*self.path, *(keys or (("workflowTemplateRef",) if self.base else ())))
        found = resolution.named(self.walk, resource, name, place, callers)
        if found.visit is not None:
            templates.run(found.visit)
        return found

    def _warn(self) -> None:
        report, spec = self.walk.report, self.spec
        hooks.warn(self.walk, self.base or self.own, self.path, spec.hooks, "")
        outdated.check_spec(report, self.path, spec)
        for index, metric in enumerate(spec.metrics.prometheus if spec.metrics else ()):
            for text in metrics.faults("spec ", metric):
                report.warn((*self.path, "metrics", "prometheus", index), text)
        policy = spec.retry_strategy.retry_policy if spec.retry_strategy else ""
        if policy not in templates.RETRY_POLICIES:
            report.warn((*self.path, "retryStrategy", "retryPolicy"), f"{policy} is not a valid RetryPolicy")


def _keys(kind: str, mapping: Iterable[str] | None) -> list[str]:
    return [f"workflow.{kind}.{key}" for key in mapping or ()]


def workflow(document: workflows.Workflow, definitions: Definitions, *, submitting: bool) -> list[Problem]:
    """Check a Workflow; `submitting` asks for a value of every argument."""
    check = _Check(document.spec, document.metadata, definitions, ("spec",), alone=False, lenient=not submitting)
    _check_name(check, "workflow", document.metadata, names.MAX_OBJECT)
    return check.run()


def template(
    document: workflows.WorkflowTemplate | workflows.ClusterWorkflowTemplate, definitions: Definitions, *, submitting: bool
) -> list[Problem]:
    """Check a WorkflowTemplate or ClusterWorkflowTemplate by itself."""
    check = _Check(document.spec, document.metadata, definitions, ("spec",), alone=True, lenient=not submitting)
    kind = "workflow template" if isinstance(document, workflows.WorkflowTemplate) else "cluster workflow template"
    _check_name(check, kind, document.metadata, names.MAX_OBJECT)
    return check.run()


def cron(document: workflows.CronWorkflow, definitions: Definitions) -> list[Problem]:
    """Check a CronWorkflow and the workflow that it creates, which must have all its values."""
    spec = document.spec
    metadata = spec.workflow_metadata or workflows.ObjectMeta()
    check = _Check(spec.workflow_spec, metadata, definitions, ("spec", "workflowSpec"), alone=False, lenient=False)
    check.prefix = "cannot validate Workflow: "
    report = check.walk.report
    _check_name(check, "cron workflow", document.metadata, names.MAX_CRON)
    if not spec.schedules and not spec.schedule:
        report.error(("spec",), "cron workflow must have at least one schedule")
    places: list[tuple[Path, str]] = [(("spec", "schedules", index), schedule) for index, schedule in enumerate(spec.schedules)]
    for place, schedule in [*places, *([(("spec", "schedule"), spec.schedule)] if spec.schedule else [])]:
        if fault := schedules.schedule_fault(schedule, definitions.timezones):
            report.error(place, f"cron schedule {schedule} is malformed: {fault}")
    if fault := schedules.zone_fault(spec.timezone, definitions.timezones):
        report.error(("spec", "timezone"), f'invalid timezone "{spec.timezone}": {fault}')
    if spec.concurrency_policy not in POLICIES:
        report.error(("spec", "concurrencyPolicy"), f"'{spec.concurrency_policy}' is not a valid concurrencyPolicy")
    if spec.starting_deadline_seconds is not None and spec.starting_deadline_seconds < 0:
        report.error(("spec", "startingDeadlineSeconds"), "startingDeadlineSeconds must be positive")
    if spec.stop_strategy is not None and (fault := syntax.bare_fault(spec.stop_strategy.expression)):
        report.error(("spec", "stopStrategy", "expression"), f"stopStrategy.expression: {fault}")
    outdated.check_cron(report, ("spec",), spec)
    return check.run()


def _check_name(check: _Check, kind: str, metadata: workflows.ObjectMeta, limit: int) -> None:
    if fault := names.too_long(kind, metadata.name, limit):
        check.walk.report.error(("metadata", "name"), fault)
    for field, name in (("name", metadata.name), ("generateName", metadata.generate_name), ("namespace", metadata.namespace)):
        if fault := names.object_fault(name):
            check.walk.report.error(("metadata", field), f'metadata.{field}: Invalid value: "{name}": {fault}')
