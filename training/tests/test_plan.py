"""Plans: what is measured becomes how many environments fit, how fast they are, and what is best."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from learning_samples import small_teacher
from rich.console import Console
from toy_environment import ToyTask, make_toy_env

from grasp_training.benchmarks.plan_page import BEGIN, END, markdown, replace_between_marks
from grasp_training.cli import main, train
from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode
from grasp_training.planning import (
    EnvironmentCosts,
    Line,
    Memory,
    Plan,
    Seconds,
    best,
    compare,
    make_plan,
    measure,
    measuring,
    most_environments,
    placements_of,
    rank_bytes,
    rank_parts,
    resolve_placement,
    steps_per_s,
)
from grasp_training.planning.report import show
from grasp_training.presets import student_preset
from grasp_training.runs import ConfigurationError, RunFolder
from grasp_training.tasks import ImageConfig, TaskConfig

MB = 1e6
MEMORY = Memory(
    process=Line(100 * MB, 0.0),
    simulator=Line(20 * MB, 1 * MB),
    renderer=Line(0.0, 1 * MB),
    messages=Line(0.0, 0.1 * MB),
    buffer=Line(0.0, 3 * MB),
    activations=Line(30 * MB, 1 * MB),
)
SECONDS = Seconds(simulate=3e-3, infer=0.0, learn=20e-3, steps=20)
COSTS = EnvironmentCosts(MEMORY, SECONDS)
LEAN = EnvironmentCosts(dataclasses.replace(MEMORY, buffer=Line(0.0, 0.5 * MB)), SECONDS)


def made_up(config: Any, task: Any, make_env: Any, sizes: Any, modes: Any) -> dict[Mode, EnvironmentCosts]:
    """Costs that nobody measured."""
    twice = dataclasses.replace(MEMORY, buffer=Line(0.0, 6 * MB))
    costs = {"synchronous": COSTS, "overlapped": EnvironmentCosts(twice, SECONDS)}
    return {mode: costs[mode] for mode in modes}


def nobody(*_: Any) -> Any:
    raise AssertionError("nothing is to be measured")


def test_a_line_goes_through_both_measurements_and_never_falls() -> None:
    line = Line.through((10, 70.0), (30, 110.0))
    assert (line.fixed, line.each) == (50.0, 2.0)
    assert line.at(100) == 250.0
    assert Line.through((10, 70.0), (30, 60.0)) == Line(70.0, 0.0)
    bent = Line.through((10, 70.0), (30, 110.0), bent=True)
    assert (bent.at(5), bent.at(20)) == (70.0, 90.0), "fewer take no less than the fewest measured"


def test_each_rank_pays_for_what_it_does() -> None:
    found = rank_bytes(MEMORY, Placement.parse("3:1"), 30)
    assert found["simulator 2"] == pytest.approx((100 + 20 + 2.1 * 10) * MB)
    assert found["learner 0"] == pytest.approx((100 + 30 + 4 * 30) * MB)
    both = rank_bytes(MEMORY, Placement.parse("data-parallel:2"), 30)
    assert both["learner 1 and simulator 1"] == pytest.approx((100 + 20 + 30 + 6 * 15) * MB)
    parts = rank_parts(MEMORY, Placement.parse("3:1"), 30)
    assert list(parts["simulator 0"]) == ["process", "simulator", "renderer", "messages"]
    assert list(parts["learner 0"]) == ["process", "buffer", "activations"]


def test_as_many_fit_as_the_fullest_rank_allows() -> None:
    assert most_environments(MEMORY, Placement.parse("data-parallel:4"), 750 * MB) == 4 * 100
    assert most_environments(MEMORY, Placement.parse("3:1"), 770 * MB) == 160
    assert most_environments(MEMORY, Placement.parse("2:2"), 770 * MB) == 2 * 160
    assert most_environments(MEMORY, Placement.parse("single"), 155 * MB) == 0


def test_all_placements_of_some_devices_are_found() -> None:
    assert [str(placement) for placement in placements_of(4)] == ["data-parallel:4", "3:1", "2:2", "1:3"]
    assert [str(placement) for placement in placements_of(1)] == ["single"]


def test_steps_a_second_follow_from_the_schedule() -> None:
    """An environment's rollout takes 20 × 3 ms to simulate and 20 ms to learn from."""
    expected = {
        ("single", "synchronous"): 20 / 0.080,
        ("single", "overlapped"): 20 / 0.080,
        ("data-parallel:4", "synchronous"): 20 / 0.020,
        ("3:1", "synchronous"): 20 / 0.040,
        ("3:1", "overlapped"): 20 / 0.020,
    }
    for (placement, mode), steps in expected.items():
        found = steps_per_s(Placement.parse(placement), mode, SECONDS)  # type: ignore[arg-type]
        assert found == pytest.approx(steps, rel=0.02), (placement, mode)


def test_the_best_placement_is_the_fastest_that_holds_the_environments_or_else_the_roomiest() -> None:
    choices = compare({"synchronous": LEAN}, placements_of(4), 770 * MB)
    fits = {str(choice.placement): choice.environments for choice in choices}
    assert fits == {"data-parallel:4": 4 * 177, "3:1": 426, "2:2": 618, "1:3": 309}
    assert choices[1].fullest == "learner 0"
    assert str(best(choices, 500).placement) == "data-parallel:4"
    rich = [
        dataclasses.replace(choice, environments=10 * (index + 1)) for index, choice in enumerate(choices)
    ]
    assert str(best(rich, 15).placement) == "3:1", "the fastest but one, since the fastest holds 10 only"
    assert str(best(rich, 1000).placement) == "1:3", "none holds as many; it holds most"


def test_a_plan_shows_every_placement_and_mode_at_every_size_of_images() -> None:
    config = dataclasses.replace(small_teacher("plan"), observe="depth")
    task = TaskConfig(depth_image=ImageConfig(64, 48))
    plan = make_plan(config, task, nobody, 4, 80e9, measure=made_up)
    assert list(plan.costs) == ["depth 64×48", "depth 160×120", "depth 320×240"]
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(show(plan))
    shown = console.export_text()
    for words in ("depth 320×240: on 4 devices of 80 GB", "data-parallel:4", "1:3", "overlapped", "best"):
        assert words in shown
    assert "those of the CPU backends" in " ".join(shown.split())
    document = json.loads(json.dumps(plan.to_mapping()))
    found = document["observed"]["depth 160×120"]["overlapped"]["placements"]
    assert [row["placement"] for row in found if row["best"]] == ["data-parallel:4"]
    state = make_plan(small_teacher("plan"), TaskConfig(), nobody, 4, 80e9, measure=made_up)
    assert list(state.costs) == ["state"]
    odd = TaskConfig(depth_image=ImageConfig(100, 70))
    assert "depth 100×70" in make_plan(config, odd, nobody, 4, 80e9, measure=made_up).costs


def test_one_device_is_given_everything_without_measuring() -> None:
    config = dataclasses.replace(small_teacher("auto"), placement="auto")
    said: list[str] = []
    for memories in ([], [80e9]):
        resolved = resolve_placement(config, ToyTask(), nobody, memories, measure=nobody, report=said.append)
        assert resolved == dataclasses.replace(config, placement="single")
    assert said[0] == "Placement: single, since there is one device"
    named = dataclasses.replace(config, placement="3:1")
    assert resolve_placement(named, ToyTask(), nobody, [80e9] * 4, measure=nobody) is named


def test_several_devices_are_given_the_plans_best_placement() -> None:
    config = dataclasses.replace(small_teacher("auto"), placement="auto", mode="overlapped", num_envs=100)
    said: list[str] = []

    def placed(num_envs: int, memory: float) -> str:
        wanted = dataclasses.replace(config, num_envs=num_envs)
        arguments = (wanted, ToyTask(), nobody, [memory] * 4)
        return resolve_placement(*arguments, measure=made_up, report=said.append).placement

    assert placed(100, 770e6) == "data-parallel:4"
    assert "Placement: data-parallel:4; 272 environments would fit" in said[-1]
    assert placed(102, 770e6) == "2:2", "four learners cannot share as many; one has no room"
    assert placed(102, 250e6) == "1:3", "none holds as many; it holds most"


def test_what_cannot_be_planned_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    student = dataclasses.replace(student_preset("smoke", "auto"), placement="auto")
    with pytest.raises(ConfigurationError, match="planned for teachers only"):
        resolve_placement(student, ToyTask(), nobody, [80e9] * 2, measure=nobody)
    teacher = dataclasses.replace(small_teacher("auto"), placement="auto", num_envs=1)
    with pytest.raises(ConfigurationError, match="which no placement of 3 devices can share"):
        resolve_placement(teacher, ToyTask(), nobody, [80e9] * 3, measure=nobody)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigurationError, match="under torchrun"):
        resolve_placement(teacher, ToyTask(), nobody, [80e9] * 3, measure=nobody)


def test_the_chosen_placement_is_told_and_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(config: Any, *arguments: Any) -> Any:
        return make_toy_env(ToyTask(), *arguments)

    monkeypatch.setattr(train, "make_env", make)
    arguments = ["train", "teacher", "--run", "one", "--preset", "smoke", "--iterations", "1"]
    assert main([*arguments, "--placement", "auto", "--runs-folder", str(tmp_path)]) == 0
    assert "Placement: single" in capsys.readouterr().out
    assert RunFolder(tmp_path / "one").load_config("teacher")["training"]["placement"] == "single"


def test_the_command_prints_tables_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def plan(*arguments: Any, **_: Any) -> Plan:
        return make_plan(*arguments, measure=made_up)

    monkeypatch.setattr(train, "make_plan", plan)
    path = tmp_path / "plan.json"
    arguments = ["--run", "one", "--plan", "--plan-devices", "3", "--plan-json", str(path)]
    assert main(["train", "teacher", *arguments]) == 0
    assert "state: on 3 devices of 80 GB" in capsys.readouterr().out
    document = json.loads(path.read_text())
    assert document["devices"] == 3
    assert document["observed"]["state"]["synchronous"]["memory"]["buffer"]["each"] == 3 * MB


def test_a_page_takes_up_the_figures_beside_the_papers() -> None:
    config = dataclasses.replace(small_teacher("plan"), observe="depth")
    plan = make_plan(config, TaskConfig(), nobody, 4, 80e9, measure=made_up)
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    written = replace_between_marks(page, markdown(plan))
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
    rows = [line for line in written.splitlines() if line.startswith("| 160×120 | synchronous | ")]
    assert [row.split(" | ")[2:6] for row in rows] == [
        ["data-parallel:4 (most)", "53 232", "1.00", "4096"],
        ["3:1", "19 967", "0.38", "8400"],
    ]
    with pytest.raises(ValueError, match="0 times; once is expected"):
        replace_between_marks("nothing", "")


def test_what_is_to_learn_on_another_device_is_measured_on_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "in_process", lambda function, *arguments: function(*arguments))
    config = dataclasses.replace(small_teacher("plan"), device="cuda")
    costs = measure(config, ToyTask(), make_toy_env, sizes=(4, 8), modes=("synchronous",))
    assert costs["synchronous"].memory.buffer.each > 0.0
    asked: list[tuple[Any, ...]] = []

    def note(function: Any, teacher: Any, task: Any, *_: Any) -> Any:
        asked.append((teacher.device, task.simulator, task.threads))
        raise InterruptedError

    monkeypatch.setattr(measuring, "in_process", note)
    with pytest.raises(InterruptedError):
        measure(config, TaskConfig(simulator="mujoco_warp", threads=3), nobody, sizes=(4, 8))
    assert asked == [("cpu", "mujoco", 3)]


@pytest.mark.slow
def test_parts_are_measured_on_small_runs() -> None:
    costs = measure(small_teacher("plan"), ToyTask(), make_toy_env, sizes=(64, 512))
    memory, twice = costs["synchronous"].memory, costs["overlapped"].memory
    stored = 8 * (4 * (69 + 4) + 4 * (5 + 2 * 11) + 1)
    assert stored <= memory.buffer.each < 2.5 * stored, "eight stored steps, and messages"
    assert stored <= twice.buffer.each - memory.buffer.each < 2 * stored, "two rollouts"
    assert memory.renderer.each == 0.0
    assert memory.process.fixed > 50 * MB
    assert all(value > 0.0 for value in dataclasses.astuple(costs["synchronous"].seconds))
