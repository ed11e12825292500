"""Named points at which a test can have the process killed, to see that nothing is lost or doubled there.

A test sets TIPHYS_FAULT to `NAME:COUNT`: the process kills itself when the point NAME is passed for the COUNTth time. Without that
variable a point is one comparison.
"""

import os
import signal


class _Fault:
    """The point that was asked for, and how often it is still to be passed."""

    name, _, _count = os.environ.get("TIPHYS_FAULT", "").partition(":")
    left = int(_count or 1)


def point(name: str) -> None:
    """Pass a point."""
    if name != _Fault.name:
        return
    _Fault.left -= 1
    if _Fault.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
