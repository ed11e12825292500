"""What a document may refer to: the resources that are known beside it."""

from collections.abc import Iterable, Mapping

import msgspec

from tiphys.spec import workflows


class Definitions(msgspec.Struct, frozen=True):
    """The known resources by name. `timezones` are the names of time zones, or None where they are not known. `offline`: there may be
    others that cannot be seen from here.
    """

    workflow_templates: Mapping[str, workflows.WorkflowTemplate] = {}
    cluster_workflow_templates: Mapping[str, workflows.ClusterWorkflowTemplate] = {}
    config_maps: Mapping[str, workflows.ConfigMap] = {}
    timezones: frozenset[str] | None = None
    offline: bool = False


def of(documents: Iterable[workflows.Document], timezones: frozenset[str] | None = None) -> Definitions:
    """The definitions among `documents`; of two with one name the later counts, as applying them one after the other would leave it."""
    templates: dict[str, workflows.WorkflowTemplate] = {}
    clustered: dict[str, workflows.ClusterWorkflowTemplate] = {}
    maps: dict[str, workflows.ConfigMap] = {}
    for document in documents:
        match document:
            case workflows.WorkflowTemplate():
                templates[document.metadata.name] = document
            case workflows.ClusterWorkflowTemplate():
                clustered[document.metadata.name] = document
            case workflows.ConfigMap():
                maps[document.metadata.name] = document
            case _:
                continue
    return Definitions(workflow_templates=templates, cluster_workflow_templates=clustered, config_maps=maps, timezones=timezones)
