"""Makes the stand-ins for other nodes (`fake_graph`) importable by the tests beside it, and a graph."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def graph(request, tmp_path):
    """The graph: the task node has the module's `QUICK` as parameters, and those of `with_parameters`."""
    from fake_graph import FakeGraph  # needs ROS 2

    parameters = {
        **request.module.QUICK,
        "report": str(tmp_path / "report.json"),
        **getattr(request, "param", {}),
    }
    made = FakeGraph(**parameters)
    yield made
    made.close()
