"""Makes the helpers beside the tests importable; time that passes when told to."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from camera_samples import FakeTime


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()
