"""Whoever speaks where nobody has set the form of log lines does not speak into the result."""

import subprocess
import sys

SAYING = """
from tiphys.voice import Voice
Voice().debug("small", a=1)
Voice().warning("large", a=1)
"""


def test_without_a_form_only_warnings_are_said_and_not_to_stdout():
    said = subprocess.run([sys.executable, "-c", SAYING], check=True, capture_output=True, text=True)
    assert said.stdout == ""
    assert "large" in said.stderr
    assert "small" not in said.stderr
