"""Finds what is to be evaluated: a policy file, or the run of a teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rsl_rl.models import MLPModel
from rsl_rl.utils import resolve_class
from tensordict import TensorDict

from grasp_policy.policy_file import load_policy
from grasp_policy.workcell_contract import workcell_contract
from grasp_training.evaluation.actors import Actor, PolicyFileActor, TeacherActor
from grasp_training.learning.config import TeacherConfig
from grasp_training.learning.rsl_rl_settings import actor_settings
from grasp_training.runs import Checkpoint, RunFolder, from_mapping
from grasp_training.tasks import NUM_ACTIONS, GraspEnv, ImageConfig, TaskConfig


@dataclass(frozen=True)
class Subject:
    """What is evaluated."""

    name: str
    """the file's or the run's name"""
    facts: dict[str, str]
    """what identifies it, for reports"""
    groups: tuple[str, ...]
    """observation groups that it reads"""
    object_seed: int
    """seed of the object sets it was trained with: held-out is a promise within one seed"""
    image: ImageConfig
    """size of the stereo images that it was trained with"""
    depth_image: ImageConfig
    """size of the depth images that it was trained with, if any"""
    make_actor: Callable[[GraspEnv, int], Actor]
    """makes the actor for environments, with a number of threads"""


def open_subject(path: Path) -> Subject:
    """The subject at a path: a policy file ``NAME.onnx`` with its card, or the folder of a teacher's run.

    Raises:
        FileNotFoundError: there is nothing there.
        PolicyFileError: the policy file is refused.
        RunError: the folder is no run, or not a teacher's.
        ConfigurationError: the run learnt at other rates than the workcell's.
        CheckpointError: the run has no whole checkpoint.
    """
    if path.is_dir():
        return _teacher(RunFolder(path))
    if not path.exists():
        expected = "a policy file such as models/NAME.onnx, or a teacher's run such as runs/NAME"
        raise FileNotFoundError(f"There is nothing at {path}; expected {expected}")
    return _policy_file(path)


def _policy_file(path: Path) -> Subject:
    policy = load_policy(path, workcell_contract())
    run = policy.spec.run
    return Subject(
        name=path.name,
        facts={
            "policy file": path.name,
            "SHA-256": policy.sha256,
            "training run": f"{run.run_name}, {run.iterations} iterations, {run.environment_steps:,} steps",
            "executed by": f"onnxruntime, {', '.join(policy.providers)}",
        },
        groups=PolicyFileActor.groups,
        object_seed=TaskConfig().object_seed,
        image=ImageConfig(policy.spec.image_width, policy.spec.image_height),
        depth_image=TaskConfig().depth_image,
        make_actor=lambda env, threads: PolicyFileActor(policy, env.num_envs, threads),
    )


def _teacher(folder: RunFolder) -> Subject:
    document = folder.load_config("teacher")
    config = from_mapping(TeacherConfig, document["training"], f"{folder.config_path}: training")
    task = from_mapping(TaskConfig, document["task"], f"{folder.config_path}: task")
    task.check_rates(f"{folder.config_path}: task")
    checkpoint = folder.checkpoints().load_latest()
    groups = config.actor_groups()

    def make_actor(env: GraspEnv, threads: int) -> Actor:
        del threads  # torch's own threads serve it
        return TeacherActor(teacher_network(config, checkpoint, env.get_observations()), groups)

    return Subject(
        name=folder.name,
        facts={
            "teacher's run": folder.label(checkpoint.iteration),
            "steps": f"{int(checkpoint.content.get('environment_steps', 0)):,}",
            "executed by": "torch, mean of the actions",
        },
        groups=groups,
        object_seed=task.object_seed,
        image=task.image,
        depth_image=task.depth_image,
        make_actor=make_actor,
    )


def teacher_network(config: TeacherConfig, checkpoint: Checkpoint, observations: TensorDict) -> MLPModel:
    """A teacher's actor as it was saved.

    Args:
        config: the run's.
        checkpoint: of the run.
        observations: of an environment that gives the actor's groups; their sizes count.
    """
    network_class, settings = resolve_class(actor_settings(config))
    groups = {"actor": list(config.actor_groups())}
    network = network_class(observations, groups, "actor", NUM_ACTIONS, **settings)
    network.load_state_dict(checkpoint.content["actor_state_dict"])
    return network.eval()
