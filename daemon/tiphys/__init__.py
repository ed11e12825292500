"""Tiphys: Argo Workflows on one machine, without Kubernetes."""

__version__ = "0.1.0"
