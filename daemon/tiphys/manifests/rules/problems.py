"""What is wrong with a document, and where: the value that every rule gives."""

import msgspec

from tiphys.spec.work import Severity

Path = tuple[str | int, ...]
"""A JSON path in the document's own (camelCase) names, such as ("spec", "templates", 0, "dag", "tasks", 1, "depends")."""

MAX_PROBLEMS = 1000
"""A hostile document has as many problems as it has lines; nobody reads more than these."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `message` is Argo's wording where Argo has one; an error refuses the document, a warning does not."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


class Report:
    """Gathers problems in the order they are found; the same words at the same place are said once."""

    def __init__(self) -> None:
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []
        self._said: set[tuple[Path, str]] = set()

    def error(self, path: Path, message: str, hint: str = "") -> None:
        """Something Argo refuses, or that can never work."""
        self._add(self._errors, Problem(path, message, hint))

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """Something accepted that its author should know about."""
        self._add(self._warnings, Problem(path, message, hint, Severity.WARNING))

    def unseen(self, path: Path, kind: str, name: str, hint: str) -> None:
        """A resource that may be there, but not among what is given."""
        message = f'could not see {kind} "{name}": what refers to it was not checked'
        self._add(self._warnings, Problem(path, message, hint, Severity.NOTICE))

    def count(self) -> int:
        """How many problems there are so far."""
        return len(self._errors) + len(self._warnings)

    def problems(self) -> list[Problem]:
        """The errors in the order Argo would meet them, then the warnings."""
        return [*self._errors, *self._warnings]

    def _add(self, problems: list[Problem], problem: Problem) -> None:
        key = (problem.path, problem.message)
        if key not in self._said and len(problems) < MAX_PROBLEMS:
            self._said.add(key)
            problems.append(problem)
