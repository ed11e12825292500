"""The executor of http templates: one request is one attempt, made from this process (semantics 2.19).

Beyond Argo, and both in `DIFFERENCES.md`: statuses that ask for patience count as transient, with their Retry-After; and
requests that are not idempotent by their method carry an `Idempotency-Key` that is the same for every attempt of a node.
"""

from tiphys.executors.http.executor import HTTPExecutor

__all__ = ["HTTPExecutor"]
