"""Writes a student's run to a policy file, checks it against torch by running it, and writes its card."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from grasp_description.cameras import STEREO_RIG
from grasp_description.workcell import EPISODE_LENGTH_S
from grasp_policy.policy_file import (
    FORMAT_VERSION,
    CameraTolerance,
    PolicySpec,
    RunIdentity,
    load_policy,
    write_policy,
)
from grasp_policy.workcell_contract import workcell_contract
from grasp_training.errors import GraspError
from grasp_training.export.card import CardFacts, read_scores, training_scores, write_model_card
from grasp_training.export.parity import Parity, check_parity, random_observations
from grasp_training.export.policy_module import ExportedPolicy
from grasp_training.export.student_run import StudentRun, load_student_run
from grasp_training.runs import RunFolder
from grasp_training.tasks import TaskConfig

_OPSET = 18
_FOVY_TOLERANCE_DEG = 0.5
_BASELINE_TOLERANCE_M = 0.005


class ExportError(GraspError, RuntimeError):
    """The exported graph is not the policy, or a file cannot say what the run is: the message says what
    differs."""


@dataclass(frozen=True)
class ExportConfig:
    """How to export."""

    parity_steps: int = 60
    """Recurrent steps over which the file is compared with torch."""
    max_difference_rad: float = 1e-4
    """Greatest difference of joint targets between file and torch, rad."""
    facts: CardFacts = field(default_factory=CardFacts)
    """What the model card says beyond the run."""


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    policy: Path
    """The policy file."""
    card: Path
    """Its model card."""
    sha256: str
    """SHA-256 of the policy file."""
    parity: Parity
    """How near the file is to torch."""


def export_policy(
    run_folder: RunFolder,
    output: Path,
    decoder: nn.Module,
    config: ExportConfig,
    iteration: int | None = None,
    scores: tuple[Path, ...] = (),
) -> ExportReport:
    """Export a student.

    Everything is checked on a trial file first: an export that fails leaves what was there.

    Args:
        run_folder: the student's run; its teacher's is looked for beside it.
        output: `NAME.onnx`; the card becomes `NAME.md`, curves and configurations go to `NAME/`.
        decoder: turns actions into joint targets, the same module as in training.
        config: how to export.
        iteration: which checkpoint; None is the last whole one.
        scores: reports of `grasp evaluate --json` about this very file, for the card.

    Raises:
        RunError: there is no such run, or it is a teacher's.
        CheckpointError: the checkpoint is not there, or not whole.
        ExportError: the graph differs from torch, or student or teacher learnt on another seed's objects.
        PolicyFileError: the student does not fit the policy format or this robot.
        GraspError: a report of scores is about another file.
    """
    run = load_student_run(run_folder, iteration)
    teacher_folder = RunFolder(run_folder.path.parent / run.config.teacher)
    _check_objects(run.folder, run.document)
    if teacher_folder.exists():
        _check_objects(teacher_folder, teacher_folder.load_config("teacher"))
    policy = ExportedPolicy(run.student, decoder)
    model = to_onnx(policy)
    parity = _checked_parity(policy, model, config)
    spec = policy_spec(run)
    with tempfile.TemporaryDirectory() as trial_folder:
        trial = Path(trial_folder) / output.name
        sha256 = write_policy(trial, model, spec)
        teacher = teacher_folder.label(run.teacher.iteration)
        measured = training_scores(run) | read_scores(scores, sha256, teacher)
        write_model_card(trial, run, teacher_folder, config.facts, measured)
        load_policy(trial, workcell_contract())  # what the node would refuse is not exported
    write_policy(output, model, spec)
    card = write_model_card(output, run, teacher_folder, config.facts, measured)
    return ExportReport(output, card, sha256, parity)


def to_onnx(policy: ExportedPolicy) -> onnx.ModelProto:
    """Turn a policy into an ONNX graph with its weights inside and batch 1."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own internals
        program = torch.onnx.export(
            policy,
            policy.example_inputs(),
            dynamo=True,
            input_names=list(policy.INPUTS),
            output_names=list(policy.OUTPUTS),
            opset_version=_OPSET,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch's exporter returned no graph")
    return program.model_proto


def policy_spec(run: StudentRun) -> PolicySpec:
    """Return the contract that a student was trained to: this repository's robot and workcell.

    Rate and length of an episode are the run's own: an older run may have learnt at a rate that the robot
    does not have, and its file is to be refused.
    """
    robot, rig, task = workcell_contract(), STEREO_RIG, run.document["task"]
    return PolicySpec(
        format_version=FORMAT_VERSION,
        joint_names=robot.joint_names,
        joint_lower=robot.joint_lower,
        joint_upper=robot.joint_upper,
        control_rate_hz=float(task.get("control_rate_hz", robot.control_rate_hz)),
        image_width=run.student.encoder.width,
        image_height=run.student.encoder.height,
        fovy_deg=robot.fovy_deg,
        baseline_m=robot.baseline_m,
        left_camera=robot.left_camera,
        right_camera=robot.right_camera,
        camera_tolerance=CameraTolerance(
            rig.position_tolerance_m, rig.rotation_tolerance_deg, _FOVY_TOLERANCE_DEG, _BASELINE_TOLERANCE_M
        ),
        memory_size=run.student.memory_size,
        episode_length_s=float(task.get("episode_length_s", EPISODE_LENGTH_S)),
        goal_position=robot.goal_position,
        run=_identity(run),
        scores=training_scores(run),
    )


def _check_objects(folder: RunFolder, document: dict[str, Any]) -> None:
    """Check that a run's objects are those of the default seed.

    A policy file does not say which: it would be scored as on held-out objects that it may have learnt on.
    """
    expected = TaskConfig().object_seed
    found = document["task"].get("object_seed", expected)
    if found != expected:
        raise ExportError(
            f"Run '{folder.name}' ({folder.config_path}) learnt with task.object_seed {found}; expected "
            f"{expected}: a policy file does not say its own, and is scored on the objects that this seed "
            "holds out"
        )


def _identity(run: StudentRun) -> RunIdentity:
    return RunIdentity(
        run_name=run.folder.name,
        git_commit=str(run.document["made_with"][-1]["code"]),
        seed=run.config.seed,
        iterations=run.checkpoint.iteration,
        environment_steps=int(run.checkpoint.content["environment_steps"]),
    )


def _checked_parity(policy: ExportedPolicy, model: onnx.ModelProto, config: ExportConfig) -> Parity:
    observations = random_observations(policy, config.parity_steps, seed=0)
    parity = check_parity(policy, model.SerializeToString(), observations)
    if not parity.joint_target_rad <= config.max_difference_rad:
        raise ExportError(
            f"The exported graph's joint targets differ from torch's by up to {parity.joint_target_rad:.2e} "
            f"rad over {parity.steps} steps; at most {config.max_difference_rad:.0e} rad is allowed"
        )
    return parity
