"""Loops: one source of items, and what `item` makes known (semantics 2.24)."""

from tiphys.manifests.rules import scopes
from tiphys.spec import templates


def declare(scope: scopes.Scope, node: templates.WorkflowStep | templates.DAGTask) -> str:
    """Make the item variables of a step or task known in `scope`; gives what is wrong with the loop, "" where nothing is."""
    if bool(node.with_items) + bool(node.with_param) + (node.with_sequence is not None) > 1:
        return "only one of withItems, withParam, withSequence can be specified"
    if node.with_items:
        for item in node.with_items:
            if isinstance(item, dict):
                scope.add(*(f"item.{key}" for key in item))
            elif isinstance(item, list | tuple):
                scope.add(*(f"item.[{index}]" for index in range(len(item))))
    elif node.with_param:
        scope.anything("item.")
    elif node.with_sequence is not None and node.with_sequence.count is not None and node.with_sequence.end is not None:
        return "only one of count or end can be defined in withSequence"
    return ""


def is_loop(node: templates.WorkflowStep | templates.DAGTask) -> bool:
    """Whether the node's outputs are aggregated (as coded in Argo's lint, a sequence's are not)."""
    return bool(node.with_items) or bool(node.with_param)


def has_items(node: templates.WorkflowStep | templates.DAGTask) -> bool:
    """Whether the node expands at all."""
    return is_loop(node) or node.with_sequence is not None
