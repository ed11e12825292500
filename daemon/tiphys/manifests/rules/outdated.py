"""Fields that Argo has replaced: they work here, and their author is told what they are called now."""

from tiphys.manifests.rules.problems import Path, Report
from tiphys.spec import templates, workflows


def check_template(report: Report, path: Path, template: templates.Template) -> None:
    """Warn of a template's old fields."""
    _check_locks(report, (*path, "synchronization"), template.synchronization)


def check_spec(report: Report, path: Path, spec: workflows.WorkflowSpec) -> None:
    """Warn of a workflow's old fields."""
    _check_locks(report, (*path, "synchronization"), spec.synchronization)
    if spec.pod_priority is not None:
        report.warn((*path, "podPriority"), "podPriority is no longer a field of Argo Workflows", "use podPriorityClassName")


def check_cron(report: Report, path: Path, spec: workflows.CronWorkflowSpec) -> None:
    """Warn of a CronWorkflow's old field."""
    if spec.schedule:
        report.warn((*path, "schedule"), "schedule is the old form of schedules", f'write schedules: ["{spec.schedule}"]')


def _check_locks(report: Report, path: Path, synchronization: templates.Synchronization | None) -> None:
    if synchronization is None:
        return
    for old, new in (("semaphore", "semaphores"), ("mutex", "mutexes")):
        if getattr(synchronization, old) is not None:
            report.warn((*path, old), f"synchronization.{old} is the old form of synchronization.{new}", f"write it as an item of {new}")
