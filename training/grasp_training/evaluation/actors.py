"""What is evaluated: a policy file, or a teacher's run. Both act in the task through one small interface."""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from grasp_description.robot import JOINT_NAMES
from grasp_policy.policy_file import Policy
from grasp_training.tasks import GraspEnv
from grasp_training.tasks.observations import PROPRIOCEPTION, STEREO

Transition = tuple[TensorDict, torch.Tensor, torch.Tensor, dict]
_JOINTS = len(JOINT_NAMES)


class Actor(Protocol):
    """Acts in a batch of environments."""

    groups: tuple[str, ...]
    """observation groups that it reads"""

    def begin(self, env_ids: np.ndarray, observations: TensorDict) -> None:
        """The environments env_ids (k,) are at the start of an episode, with these observations."""
        ...

    def step(self, env: GraspEnv, observations: TensorDict, active: np.ndarray) -> Transition:
        """Act for one step; what happens in environments that are not active (n,) does not matter."""
        ...


class PolicyFileActor:
    """A policy file, as the robot runs it: images and joints in, joint targets out, one by one.

    Each environment has recurrent state of its own over one shared session.

    Args:
        policy: as loaded.
        num_envs: number of environments.
        threads: environments served at the same time; the results do not depend on it.
    """

    groups: tuple[str, ...] = (PROPRIOCEPTION, STEREO)

    def __init__(self, policy: Policy, num_envs: int, threads: int = 1):
        self._policies = [policy.sibling() for _ in range(num_envs)]
        self._pool = ThreadPoolExecutor(threads)

    def begin(self, env_ids: np.ndarray, observations: TensorDict) -> None:
        """See ``Actor``."""
        proprioception = observations[PROPRIOCEPTION].numpy()
        for env in env_ids:
            self._policies[env].reset(proprioception[env, 2 * _JOINTS :])

    def step(self, env: GraspEnv, observations: TensorDict, active: np.ndarray) -> Transition:
        """See ``Actor``. Raises PolicyOutputError if the policy's answer is not finite."""
        proprioception, stereo = observations[PROPRIOCEPTION].numpy(), observations[STEREO].numpy()
        target = proprioception[:, 2 * _JOINTS :].copy()

        def answer(index: int) -> None:
            position, velocity = proprioception[index, :_JOINTS], proprioception[index, _JOINTS : 2 * _JOINTS]
            output = self._policies[index].step(stereo[index, 0], stereo[index, 1], position, velocity)
            target[index] = output.joint_target

        # list() raises here what was raised in a thread.
        list(self._pool.map(answer, np.flatnonzero(active)))
        return env.step_joint_targets(torch.from_numpy(target))


class TeacherActor:
    """A teacher's network: the mean of its actions, exploration off.

    Args:
        network: an rsl_rl model from observations to actions (n, 11).
        groups: observation groups that it reads.
    """

    def __init__(self, network: MLPModel, groups: tuple[str, ...]):
        self.groups, self._network = groups, network.eval()

    def begin(self, env_ids: np.ndarray, observations: TensorDict) -> None:
        """See ``Actor``; a teacher with memory forgets."""
        begun = torch.zeros(observations.batch_size[0], dtype=torch.bool)
        begun[torch.from_numpy(env_ids)] = True
        self._network.reset(begun)

    def step(self, env: GraspEnv, observations: TensorDict, active: np.ndarray) -> Transition:
        """See ``Actor``."""
        del active
        with torch.no_grad():
            return env.step(self._network(observations))
