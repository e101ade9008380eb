"""What simulating costs, as the command tells it, and what capacities follow from what was wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grasp_training.benchmarks.capacity import MARGIN, QUANTILE, MeasuredDemand
from grasp_training.benchmarks.simulation import SimulationCost
from grasp_training.cli import main
from grasp_training.simulators import WarpConfig
from grasp_training.simulators.mujoco_warp import Capacity


def cost(physics_s: float, render_s: float, step_s: float) -> SimulationCost:
    return SimulationCost("mujoco", "cpu", 100, "depth 64×48", physics_s, render_s, step_s, 1e4)


def test_what_is_neither_physics_nor_images_is_elsewhere():
    figures = cost(0.1, 0.2, 0.4).to_mapping()
    assert figures["elsewhere_share"] == pytest.approx(0.25)
    assert figures["physics_steps_per_s"] == pytest.approx(1000.0)
    assert figures["images_per_s"] == pytest.approx(500.0)
    assert figures["steps_per_s"] == pytest.approx(250.0)
    assert cost(0.1, 0.0, 0.2).to_mapping()["images_per_s"] is None
    assert cost(0.3, 0.0, 0.2).elsewhere == 0.0, "parts are timed apart, and may come out longer"


@pytest.mark.slow
def test_the_command_measures_and_writes_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "costs.json"
    arguments = ["bench", "simulate", "--num-envs", "8", "--image", "none", "64x48", "--steps", "1"]
    assert main([*arguments, "--json", str(path)]) == 0
    without, seen = json.loads(path.read_text())
    assert [case["images"] for case in (without, seen)] == ["none", "depth 64×48"]
    for case in (without, seen):
        assert case["num_envs"] == 8
        assert case["physics_s"] > 0.0
        assert case["step_s"] > 0.0
    assert without["render_s"] == 0.0
    assert seen["render_s"] > 0.0
    assert "physics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-envs", "1"], "--num-envs is 1; expected at least 2"),
        (["--image", "64by48"], "--image is '64by48'; expected WIDTHxHEIGHT"),
        (["--image", "0x48"], "image.width is 0 px"),
        (["--steps", "0"], "--steps is 0; expected at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", "simulate", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_what_is_reserved_is_the_quantile_with_its_margin():
    wanted = {str(QUANTILE): 40.0}
    measured = MeasuredDemand(16, 100, wanted, {str(QUANTILE): 101.0}, 12.5, 0)
    chosen = measured.chosen(WarpConfig(device="cpu"))
    assert chosen.contacts_of_one == MARGIN * 40
    assert chosen.constraint_rows == 152
    assert chosen.contacts == 19.0
    assert chosen.device == "cpu"


def test_a_single_environment_has_room_and_many_share():
    config = WarpConfig(contacts=20.0, contacts_of_one=60, constraint_rows=150)
    assert Capacity.of(config, 1) == Capacity(80, 150)
    assert Capacity.of(config, 1000) == Capacity(20060, 150)
