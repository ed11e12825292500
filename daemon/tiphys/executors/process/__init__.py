"""The executor whose steps are processes of this host: the default, with nothing else to install.

What is where: `executor` (the protocol), `command` (what to run, with which environment), `isolation` and `view` (what a step sees),
`link` and `connection` (the launcher, asked over its socket), `outcomes` (how a step ended, in Argo's words), `findings` (what
cannot be had here), `logs`, `places`. Only this package knows how to talk to `launcher.py`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiphys.executors.process.executor import ProcessExecutor, open_process
    from tiphys.executors.process.opening import IsolationRefused

__all__ = ["IsolationRefused", "ProcessExecutor", "open_process"]


def __getattr__(name: str) -> object:
    """What this package is for, imported when it is asked for: the launcher is started before that, and starts meanwhile."""
    if name not in __all__:
        raise AttributeError(name)
    where = "opening" if name == "IsolationRefused" else "executor"
    return getattr(importlib.import_module(f"{__name__}.{where}"), name)
