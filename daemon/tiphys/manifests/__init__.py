"""Manifest text into typed documents, or diagnostics with line and column; all the rules of lint. Pure."""

from tiphys.manifests.diagnostics import Diagnostic, render
from tiphys.manifests.linting import LintReport, lint
from tiphys.manifests.reading import Located, Parsed, parse

__all__ = ["Diagnostic", "LintReport", "Located", "Parsed", "lint", "parse", "render"]
