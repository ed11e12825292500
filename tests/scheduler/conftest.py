"""`pytest tests/scheduler --regenerate` writes the transcripts anew: then read the diff."""

import pytest


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether transcripts are written instead of compared."""
    return bool(request.config.getoption("--regenerate", default=False))
