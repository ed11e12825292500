"""`pytest tests/scheduler --regenerate` writes the transcripts anew: then read the diff."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", default=False, help="write the scheduler's transcripts anew")


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether transcripts are written instead of compared."""
    return bool(request.config.getoption("--regenerate", default=False))
