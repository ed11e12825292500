"""The executor whose steps are processes of this host: the default, with nothing else to install.

What is where: `executor` (the protocol), `command` (what to run, with which environment), `isolation` and `view` (what a step sees),
`link` and `connection` (the launcher, asked over its socket), `outcomes` (how a step ended, in Argo's words), `findings` (what
cannot be had here), `logs`, `places`. Only this package knows how to talk to `launcher.py`.
"""

from tiphys.executors.process.executor import ProcessExecutor, open_process
from tiphys.executors.process.opening import IsolationRefused

__all__ = ["IsolationRefused", "ProcessExecutor", "open_process"]
