"""Learning curves of several runs in one picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from grasp_training.cli import main
from grasp_training.runs.comparison import band, group_by_seed, smoothed


def write_run(folder: Path, name: str, slope: float) -> None:
    (folder / name).mkdir()
    rows = [
        {"iteration": i, "environment_steps": 1e5 * i, "wall_time_s": 9.0 * i, "episode/success": slope * i}
        for i in range(1, 21)
    ]
    (folder / name / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_that_differ_by_seed_are_one_group() -> None:
    assert group_by_seed(["a-0", "b", "a-1", "c-3-0"]) == {"a": ["a-0", "a-1"], "b": ["b"], "c-3": ["c-3-0"]}


def test_values_are_means_of_the_window_that_ends_there() -> None:
    rows = [{"environment_steps": float(i), "x": float(i)} for i in range(4)] + [{"environment_steps": 4.0}]
    places, values = smoothed(rows, "x", "environment_steps", 2)
    assert places.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert values.tolist() == [0.0, 0.5, 1.5, 2.5]
    assert len(smoothed(rows, "y", "environment_steps", 2)[0]) == 0


def test_a_band_is_drawn_where_all_runs_have_values() -> None:
    first = np.array([0.0, 4.0]), np.array([0.0, 4.0])
    second = np.array([1.0, 3.0]), np.array([3.0, 3.0])
    places, (low, mean, high) = band([first, second, (np.zeros(0), np.zeros(0))])
    assert (places[0], places[-1]) == (1.0, 3.0)
    assert (low[0], mean[0], high[0]) == (1.0, 2.0, 3.0)
    assert (low[-1], mean[-1], high[-1]) == (3.0, 3.0, 3.0)


def test_a_picture_of_several_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, slope in (("single-0", 0.01), ("single-1", 0.02), ("other", 0.03)):
        write_run(tmp_path, name, slope)
    picture = tmp_path / "new" / "curves.png"
    arguments = ["compare", "single-0", "single-1", "other", "--runs-folder", str(tmp_path)]
    arguments += ["--output", str(picture), "--metrics", "episode/success"]
    assert main(arguments) == 0
    assert picture.stat().st_size > 10_000
    assert main([*arguments[:-1], "episode/lifted"]) == 1
    assert "No run has figures of 'episode/lifted'" in capsys.readouterr().err
    assert main(["compare", "nobody", *arguments[4:]]) == 1
    assert "'nobody'" in capsys.readouterr().err
