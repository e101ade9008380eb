"""The model card of an exported student: how it was trained, how long, on what, and what it scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grasp_policy.policy_file import ModelCard, companion_folder, write_card
from grasp_training.errors import GraspError
from grasp_training.export.student_run import StudentRun
from grasp_training.runs import RunError, RunFolder

_RECENT_ITERATIONS = 20


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the run does not know."""

    licence: str = "Apache-2.0"
    """Licence of the weights, an SPDX identifier."""
    description: str = (
        "Grasps an unknown object from a table and holds it up, seeing two colour images and its own joints."
    )
    """What the policy does, in a sentence."""
    limits: str = (
        "Trained in simulation only, on procedural objects made of simple shapes, with the cameras, table "
        "and goal of this repository's workcell. Not tested on a real robot."
    )
    """What it was not trained or tested for."""


def training_scores(run: StudentRun) -> dict[str, float]:
    """Return the score known from training: the student's own success over the last iterations."""
    rows = [row for row in run.folder.metrics.rows() if row["iteration"] <= run.checkpoint.iteration]
    found = [row["episode/student_success"] for row in rows if "episode/student_success" in row]
    recent = found[-_RECENT_ITERATIONS:]
    return {"success_in_training": round(sum(recent) / len(recent), 4)} if recent else {}


def read_scores(reports: Sequence[Path], sha256: str, teacher: str) -> dict[str, float]:
    """Return the scores in reports of `grasp evaluate --json`; a teacher's are named `teacher_…`.

    Args:
        reports: files.
        sha256: of the policy file that they may be about.
        teacher: label of the teacher's run (`RunFolder.label`) that they may be about.

    Raises:
        GraspError: a file is no such report, or is about another policy file or teacher.
    """
    scores: dict[str, float] = {}
    for path in reports:
        try:
            report = json.loads(path.read_text())
            facts, found = report["facts"], report["scores"]
            about = {name: facts[name] for name in ("SHA-256", "teacher's run") if name in facts}
        except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise GraspError(f"{path} is no report of grasp evaluate --json: {error!r}") from error
        if about not in ({"SHA-256": sha256}, {"teacher's run": teacher}):
            raise GraspError(
                f"{path} is about {about or 'nothing that it names'}; expected the file exported here, with "
                f"SHA-256 {sha256}, or its teacher's run, {teacher}"
            )
        prefix = "" if "SHA-256" in about else "teacher_"
        scores |= {f"{prefix}{name}": float(value) for name, value in found.items()}
    return scores


def write_model_card(
    policy: Path, run: StudentRun, teacher_folder: RunFolder, facts: CardFacts, scores: dict[str, float]
) -> Path:
    """Write the card beside a policy file, curves and configurations into its folder; return its path."""
    seconds = float(run.figures.get("wall_time_s", 0.0)) + run.teacher.wall_time_s
    card = ModelCard.for_policy(
        policy,
        licence=facts.licence,
        description=facts.description,
        trained_how=_how(run),
        trained_on=_on_what(run),
        training_hours=round(seconds / 3600.0, 2),
        environment_steps=int(run.checkpoint.content["environment_steps"]) + run.teacher.environment_steps,
        scores=scores,
        commands=_commands(run, teacher_folder, policy),
        limits=facts.limits,
        figures=_copy_companions(policy, run.folder, teacher_folder),
    )
    return write_card(policy, card)


def _how(run: StudentRun) -> str:
    record, config = run.teacher, run.config
    own = f"{int(run.checkpoint.content['environment_steps']) / 1e6:.2f}"
    return (
        f"A teacher on {record.config.observe} learnt by PPO (rsl_rl): {record.iteration} iterations, "
        f"{record.config.num_envs} environments, {record.environment_steps / 1e6:.2f} million steps, "
        f"{_hours(record.wall_time_s)}. The student was distilled from it online (DAgger: it acts, "
        f"the teacher labels): {run.checkpoint.iteration} iterations, {config.num_envs} environments, {own} "
        f"million steps, {_hours(float(run.figures.get('wall_time_s', 0.0)))}; backpropagation through "
        f"{config.distillation.steps_per_rollout} steps, an auxiliary head for the object's position. Seeds: "
        f"teacher {record.config.seed}, student {config.seed}."
    )


def _on_what(run: StudentRun) -> str:
    made: dict[str, Any] = run.document["made_with"][0]
    # Older runs do not know their cores: nothing is said of their machine then.
    machine = f" {made['cores']} cores, {made['machine']};" if "cores" in made else ""
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    level = run.figures.get("curriculum/level")
    reached = "" if level is None else f" Randomization at level {level:.2f} of 1."
    return (
        f"The {run.config.objects} objects in {_simulator(run.document['task'])}; learning on "
        f"{run.config.device};{machine} Python {made['python']}, {packages}.{reached}"
    )


def _simulator(task: dict[str, Any]) -> str:
    """Name a run's simulator, its device and where its images come from."""
    name: str = task.get("simulator", "mujoco")  # the only one, before there was a choice
    words = {
        "mujoco": "MuJoCo on the CPU, images by MuJoCo Warp's ray tracer",
        "mujoco_warp": f"MuJoCo Warp on {task.get('warp', {}).get('device')}, images by its ray tracer",
        "isaacgym": "Isaac Gym Preview 4 on a GPU, images by its camera sensors",
    }
    return words.get(name, name)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600.0:.2f} hours"


def _commands(run: StudentRun, teacher_folder: RunFolder, policy: Path) -> tuple[str, ...]:
    try:
        teacher = teacher_folder.load_config("teacher")["made_with"]
    except RunError:  # its folder may be gone; the student's run holds what is needed of it
        teacher = []
    commands = [record["command"] for record in (*teacher, *run.document["made_with"]) if "command" in record]
    return (*commands, f"grasp export {run.folder.name} --output models/{policy.name}")


def _copy_companions(policy: Path, run: RunFolder, teacher: RunFolder) -> tuple[str, ...]:
    """Copy curves and configurations into the policy's folder; return the pictures relative to the card."""
    folder = companion_folder(policy)
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for source, prefix in ((run, ""), (teacher, "teacher_")):
        if source.curves_path.exists():
            shutil.copyfile(source.curves_path, folder / f"{prefix}curves.png")
            figures.append(f"{folder.name}/{prefix}curves.png")
        if source.config_path.exists():
            shutil.copyfile(source.config_path, folder / f"{prefix}config.yaml")
    return tuple(figures)
