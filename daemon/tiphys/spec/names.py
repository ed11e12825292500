"""Names and ids of nodes and pods, exactly as Argo makes them (semantics 2.1.1).

Everything here is a pure function of names, so a node that is made twice is the same node.
"""

import functools
from collections.abc import Iterable

FNV_OFFSET = 2166136261
FNV_PRIME = 16777619
MAX_POD_NAME = 253
MAX_POD_PREFIX = 242
GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_LENGTH = 5
MAX_GENERATED_BASE = 58


@functools.lru_cache(maxsize=4096)
def fnv1a(text: str) -> int:
    """FNV-1a, 32 bits, of the text's UTF-8 bytes. Names of one loop, or of one template, begin alike: that part is hashed once."""
    begin, bracket, end = text.rpartition("(")
    if not bracket:
        begin, bracket, end = text.rpartition(".")
    return _fnv1a(_begun(begin), bracket + end)


@functools.lru_cache(maxsize=256)
def _begun(text: str) -> int:
    return _fnv1a(FNV_OFFSET, text)


def _fnv1a(value: int, text: str) -> int:
    for byte in text.encode():
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return value


def node_id(workflow_name: str, node_name: str) -> str:
    """The id of a node: the workflow's name for the root, else that name, a dash and the hash of the full node name."""
    return workflow_name if node_name == workflow_name else f"{workflow_name}-{fnv1a(node_name)}"


def display_name(node_name: str, boundary_name: str) -> str:
    """`node_name` without its boundary's prefix and a leading `.` or `[n].`; the whole name where there is no boundary."""
    if not boundary_name:
        return node_name
    name = node_name.removeprefix(boundary_name)
    if name.startswith("["):
        _, bracket, rest = name.partition("]")
        if bracket and rest.startswith("."):
            name = rest
    return name.removeprefix(".")


def pod_name(workflow_name: str, node_name: str, template_name: str) -> str:
    """The pod's name (Argo's v2 form): the workflow's for the root, else `<wf>-<template>-<hash>`, cut to 253 characters."""
    if node_name == workflow_name:
        return workflow_name
    return _pod(workflow_name, template_name, str(fnv1a(node_name)))


def pod_name_of(workflow_name: str, node_id: str, node_name: str, template_name: str) -> str:
    """The same, where the node's id is known: that ends in the very hash, unless two names had the same."""
    text = node_id[len(workflow_name) + 1 :]
    return _pod(workflow_name, template_name, text) if text.isdecimal() else pod_name(workflow_name, node_name, template_name)


def _pod(workflow_name: str, template_name: str, text: str) -> str:
    prefix = f"{workflow_name}-{template_name}" if template_name else workflow_name
    return f"{prefix[:MAX_POD_PREFIX]}-{text}"


def generated(prefix: str, draws: Iterable[int]) -> str:
    """`prefix` (cut to 58 characters) and five letters chosen by `draws`, as Kubernetes' generateName does."""
    letters = "".join(GENERATED_ALPHABET[draw % len(GENERATED_ALPHABET)] for draw, _ in zip(draws, range(GENERATED_LENGTH), strict=False))
    return prefix[:MAX_GENERATED_BASE] + letters
