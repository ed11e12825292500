"""What every test shares: the settings of hypothesis, and where the project's files are."""

from pathlib import Path

import hypothesis
import pytest

# A slow machine is not a failing test; examples are still shrunk and printed.
hypothesis.settings.register_profile("tiphys", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tiphys")


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return Path(__file__).resolve().parent.parent
