"""What every test shares: the settings of hypothesis, and where the project's files are."""

import asyncio
from pathlib import Path

import hypothesis
import pytest

# A slow machine is not a failing test; examples are still shrunk and printed.
hypothesis.settings.register_profile("tiphys", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tiphys")

# pytest-asyncio 1.5 asks for the current event loop before each test; up to Python 3.13 that makes one which nobody closes,
# and its ResourceWarning fails whatever test is running then. Saying that there is none avoids it.
asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option of our own."""
    parser.addoption("--regenerate", action="store_true", default=False, help="write transcripts and golden texts anew")
