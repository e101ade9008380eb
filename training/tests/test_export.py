"""Export: the policy file does what torch does, step for step, and is what the node accepts."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from learning_samples import SMALL_NETWORK, SimpleDecoder, small_student, small_teacher
from toy_environment import ToyTask, make_toy_env

from grasp_description.cameras import STEREO_RIG
from grasp_policy.policy_file import PolicyFileError, card_path, load_policy, read_card, read_spec
from grasp_policy.workcell_contract import workcell_contract
from grasp_training.errors import GraspError
from grasp_training.export import (
    ExportConfig,
    ExportedPolicy,
    ExportError,
    ExportReport,
    export,
    export_policy,
    load_student_run,
)
from grasp_training.export.card import read_scores
from grasp_training.export.parity import check_parity, random_observations
from grasp_training.learning import train_student, train_teacher
from grasp_training.runs import RunError, RunFolder, save_yaml
from grasp_training.tasks import ActionDecoder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of a teacher and of a student whose images have the workcell's size."""
    folder = tmp_path_factory.mktemp("runs")
    task = ToyTask(image_size=(STEREO_RIG.height, STEREO_RIG.width))
    train_teacher(small_teacher("teacher", iterations=2), task, make_toy_env, folder)
    student = dataclasses.replace(small_student("student", "teacher", iterations=2), network=SMALL_NETWORK)
    train_student(student, task, make_toy_env, folder)
    return folder


@pytest.fixture(scope="module")
def exported(runs: Path) -> ExportReport:
    """The student's policy file."""
    output = runs / "models" / "policy.onnx"
    return export_policy(RunFolder(runs / "student"), output, ActionDecoder(), ExportConfig())


def test_the_file_agrees_with_torch_over_sixty_recurrent_steps(exported: ExportReport) -> None:
    assert exported.parity.steps >= 50
    assert exported.parity.joint_target_rad < 1e-4
    assert exported.parity.object_position_m < 1e-4
    assert exported.parity.memory < 1e-4


def test_the_loaded_policy_acts_as_the_student_in_training_does(runs: Path, exported: ExportReport) -> None:
    """The class that the node runs, against the student's own forward pass and the task's decoder."""
    policy = load_policy(exported.policy, workcell_contract())
    run, decoder = load_student_run(RunFolder(runs / "student")), ActionDecoder()
    steps = random_observations(ExportedPolicy(run.student, decoder), 50, seed=3)
    previous = torch.from_numpy(steps[0]["joint_position"])
    policy.reset()
    for step in steps:
        tensors = {name: torch.from_numpy(value) for name, value in step.items()}
        joints = torch.cat([tensors["joint_position"], tensors["joint_velocity"], previous], dim=1)
        images = torch.stack([tensors["left"], tensors["right"]], dim=1)
        with torch.inference_mode():
            action = run.student({"stereo": images, "proprioception": joints})  # type: ignore[arg-type]
            previous = decoder(action, tensors["joint_position"], previous)
        output = policy.step(
            step["left"][0], step["right"][0], step["joint_position"][0], step["joint_velocity"][0]
        )
        assert np.abs(output.joint_target - previous[0].numpy()).max() < 1e-4


def test_the_file_is_self_contained_and_says_where_it_comes_from(exported: ExportReport) -> None:
    model = onnx.load(exported.policy, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [entry.name for entry in model.graph.input] == list(ExportedPolicy.INPUTS)
    assert [entry.name for entry in model.graph.output] == list(ExportedPolicy.OUTPUTS)
    spec = read_spec(exported.policy)
    assert (spec.run.run_name, spec.run.iterations, spec.run.environment_steps) == ("student", 2, 2 * 16 * 6)
    assert spec.memory_size == SMALL_NETWORK.memory_size


def test_the_card_says_how_it_was_made_with_curves_and_configuration_beside(exported: ExportReport) -> None:
    card = read_card(exported.card)
    assert card.sha256 == exported.sha256
    assert card.licence == "Apache-2.0"
    assert "2 iterations" in card.trained_how
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    assert (
        f"in MuJoCo on the CPU, images by MuJoCo Warp's ray tracer; learning on cpu; {machine}; Python"
        in (card.trained_on)
    )
    assert card.environment_steps == 2 * 16 * 6 + 2 * 16 * 8
    assert card.commands[-1] == "grasp export student --output models/policy.onnx"
    beside = {path.name for path in exported.policy.with_suffix("").iterdir()}
    assert beside == {"curves.png", "config.yaml", "teacher_curves.png", "teacher_config.yaml"}
    assert str(exported.policy.parent) not in exported.card.read_text(), "no folder of this machine"


def test_the_card_names_the_simulator_and_the_machine_of_the_run_and_not_of_the_export(
    runs: Path, tmp_path: Path
) -> None:
    run = copied_run(runs, tmp_path, simulator="mujoco_warp", warp={"device": "cuda:1"})
    document = run.load_config()
    document["training"]["device"] = "cuda:0"
    made = document["made_with"][0] | {"cores": 64, "machine": "aarch64"}
    for record, machine in ((made, " 64 cores, aarch64;"), ({**made, "cores": None}, "")):
        known = {name: value for name, value in record.items() if value is not None}
        save_yaml(run.config_path, document | {"made_with": [known]})
        report = export_policy(run, tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
        trained_on = read_card(report.card).trained_on
        simulated = "The training objects in MuJoCo Warp on cuda:1, images by its ray tracer"
        assert trained_on.startswith(f"{simulated}; learning on cuda:0;{machine} Python 3.")


def test_a_second_export_gives_the_same_file_and_takes_scores_about_it(
    runs: Path, exported: ExportReport, tmp_path: Path
) -> None:
    report = tmp_path / "scores.json"
    report.write_text(
        json.dumps({"facts": {"SHA-256": exported.sha256}, "scores": {"success_held_out": 0.5}})
    )
    again = export_policy(
        RunFolder(runs / "student"), exported.policy, ActionDecoder(), ExportConfig(), scores=(report,)
    )
    assert again.sha256 == exported.sha256
    assert read_card(card_path(exported.policy)).scores["success_held_out"] == 0.5


def test_only_scores_of_this_file_and_of_its_teacher_are_taken(tmp_path: Path) -> None:
    report = tmp_path / "scores.json"

    def read(facts: dict[str, str]) -> dict[str, float]:
        report.write_text(json.dumps({"facts": facts, "scores": {"success": 0.5}}))
        return read_scores((report,), "1" * 64, "expert, 9 iterations")

    assert read({"SHA-256": "1" * 64}) == {"success": 0.5}
    assert read({"teacher's run": "expert, 9 iterations"}) == {"teacher_success": 0.5}
    with pytest.raises(GraspError, match="expected the file exported here, with SHA-256 1111"):
        read({"SHA-256": "0" * 64})
    with pytest.raises(GraspError, match="or its teacher's run, expert, 9 iterations"):
        read({"teacher's run": "expert, 8 iterations"})
    report.write_text("[]")
    with pytest.raises(GraspError, match="is no report of grasp evaluate --json"):
        read_scores((report,), "1" * 64, "expert, 9 iterations")


def test_a_graph_that_differs_from_torch_is_noticed(runs: Path, exported: ExportReport) -> None:
    student = load_student_run(RunFolder(runs / "student")).student
    other = ExportedPolicy(student, SimpleDecoder())
    parity = check_parity(other, exported.policy.read_bytes(), random_observations(other, 50, seed=1))
    assert parity.joint_target_rad > 1e-3
    with torch.no_grad():
        student.head[0].weight.mul_(1.01)
    drifted = ExportedPolicy(student, ActionDecoder())
    parity = check_parity(drifted, exported.policy.read_bytes(), random_observations(drifted, 50, seed=1))
    assert parity.joint_target_rad > 1e-6


def test_a_failed_parity_check_writes_nothing(
    runs: Path, exported: ExportReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda policy: onnx.load(exported.policy))
    config, student = ExportConfig(max_difference_rad=-1.0), RunFolder(runs / "student")
    with pytest.raises(ExportError, match="differ from torch's by up to"):
        export_policy(student, tmp_path / "p.onnx", ActionDecoder(), config)
    assert list(tmp_path.iterdir()) == []


def copied_run(runs: Path, folder: Path, name: str = "student", **task: Any) -> RunFolder:
    """A copy of a run whose task has other settings, as an older run may."""
    copy = RunFolder(folder / name)
    shutil.copytree(runs / name, copy.path)
    document = copy.load_config()
    save_yaml(copy.config_path, document | {"task": document["task"] | task})
    return copy


def test_a_run_at_another_rate_gives_a_file_that_the_node_refuses(runs: Path, tmp_path: Path) -> None:
    run = copied_run(runs, tmp_path, control_rate_hz=60)
    with pytest.raises(PolicyFileError, match=r"control_rate_hz.*60.*30"):
        export_policy(run, tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
    assert not (tmp_path / "p.onnx").exists()


def test_a_run_on_other_objects_is_refused_since_its_file_could_not_say_so(
    runs: Path, tmp_path: Path
) -> None:
    run = copied_run(runs, tmp_path, object_seed=1)
    with pytest.raises(ExportError, match=r"Run 'student'.* learnt with task\.object_seed 1; expected 0"):
        export_policy(run, tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
    copied_run(runs, tmp_path, "teacher", object_seed=2)
    save_yaml(run.config_path, run.load_config() | {"task": {}})
    with pytest.raises(ExportError, match=r"Run 'teacher'.* learnt with task\.object_seed 2; expected 0"):
        export_policy(run, tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
    assert not (tmp_path / "p.onnx").exists()


def test_a_teacher_cannot_be_exported(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a teacher, which acts on state that no robot has"):
        export_policy(RunFolder(runs / "teacher"), tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
    with pytest.raises(RunError, match="no run 'nobody'"):
        export_policy(RunFolder(runs / "nobody"), tmp_path / "p.onnx", ActionDecoder(), ExportConfig())
