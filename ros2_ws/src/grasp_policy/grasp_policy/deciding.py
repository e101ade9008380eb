"""How a decision comes about: observations out of messages, the policy's steps, its episodes. No ROS in it.

The node and the replay of a recording decide through the same `Decider`, so that the one can be held against
the other bit for bit.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from grasp_policy.decoding import JointMapper, JointStateRefusedError, rgb_view
from grasp_policy.pairing import FramePairer, Observation, PairingLimits, Reason
from grasp_policy.policy import Policy, PolicyOutput

__all__ = ["Decider", "Decision"]


@dataclass(frozen=True)
class Decision:
    """One step of the policy: what it was made from and what came out."""

    observation: Observation
    """What the policy saw."""
    output: PolicyOutput
    """What it answered."""
    episode_ns: int
    """The clock when the episode began: memory zero."""
    step: int
    """Steps of the episode before this one."""
    inference_ns: int
    """Wall time that the policy took, ns."""


class Decider:
    """Collects messages, and makes decisions of those that belong together.

    Messages are taken by the fields of sensor_msgs/Image and sensor_msgs/JointState, whoever made them.

    Attributes:
        policy: the policy, with the memory of the current episode.
        restarts: episodes that began because the clock stepped back.
    """

    def __init__(self, policy: Policy, limits: PairingLimits) -> None:
        self.policy = policy
        self._pairer = FramePairer(limits)
        self._joints = JointMapper(policy.spec.joint_names)
        self.restarts = 0
        self._clock_steps = 0
        self._episode_ns = 0
        self._step = 0

    @property
    def counts(self) -> Counter[Reason]:
        """What came in and was not used, by `Reason`."""
        return self._pairer.counts

    def start(self, now_ns: int) -> None:
        """Begin an episode: memory zero, only images taken from `now_ns` on."""
        self._pairer.start(now_ns)
        self._clock_steps = self.counts[Reason.CLOCK_BACK]
        self.begin_episode(now_ns)

    def begin_episode(self, now_ns: int) -> None:
        """Memory zero; the previous target will be the position measured at the first step."""
        self.policy.reset()
        self._episode_ns = now_ns
        self._step = 0

    def image(self, source: str, message: Any) -> np.ndarray:
        """A view (H, W, 3) uint8 of an image message.

        Args:
            source: its topic, for messages.
            message: a sensor_msgs/Image, or something with its fields.

        Raises:
            ImageRefusedError: it is not what the policy takes.
        """
        spec = self.policy.spec
        fields = (message.encoding, message.width, message.height, message.step, message.data)
        return rgb_view(source, *fields, (spec.image_width, spec.image_height))

    def joint_state(self, source: str, message: Any) -> tuple[np.ndarray, np.ndarray]:
        """Positions (23,) rad and velocities (23,) rad/s of a joint state message, in canonical order.

        Args:
            source: its topic, for messages.
            message: a sensor_msgs/JointState, or something with its fields.

        Raises:
            JointStateRefusedError: a joint is missing, or a number is not finite.
        """
        names, position, velocity = list(message.name), list(message.position), list(message.velocity)
        return self._joints.vectors(source, names, position, velocity)

    def take_image(self, eye: int, source: str, message: Any, now_ns: int) -> None:
        """Take the image message of the left (0) or right (1) eye that came at `now_ns`.

        Raises:
            ImageRefusedError: it is not what the policy takes.
        """
        image = self.image(source, message)
        add = (self._pairer.add_left, self._pairer.add_right)[eye]
        add(_stamp_ns(message), image, now_ns)

    def take_joint_state(self, source: str, message: Any, now_ns: int) -> None:
        """Take the joint state message that came at `now_ns`.

        Raises:
            JointStateRefusedError: a joint is missing, or a number is not finite. The joint states before it
                are forgotten: they must not stand in for it.
        """
        try:
            position, velocity = self.joint_state(source, message)
        except JointStateRefusedError:
            self._pairer.drop_joint_states()
            raise
        self._pairer.add_joint_state(_stamp_ns(message), position, velocity, now_ns)

    def observation(self, now_ns: int) -> Observation | None:
        """What a decision can be made from at `now_ns`, once; None where something is missing.

        When the clock stepped back an episode begins: what the policy remembers happened in a time that is
        yet to come.
        """
        observation = self._pairer.take(now_ns)
        if self.counts[Reason.CLOCK_BACK] != self._clock_steps:
            self._clock_steps = self.counts[Reason.CLOCK_BACK]
            self.restarts += 1
            self.begin_episode(now_ns)
        return observation

    def decide(self, observation: Observation) -> Decision:
        """One step of the policy.

        Raises:
            PolicyInputError, PolicyOutputError: see `Policy.step`; the episode goes on as if nothing was.
        """
        began_ns = time.perf_counter_ns()
        output = self.policy.step(
            observation.left, observation.right, observation.joint_position, observation.joint_velocity
        )
        inference_ns = time.perf_counter_ns() - began_ns
        self._step += 1
        return Decision(observation, output, self._episode_ns, self._step - 1, inference_ns)


def _stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
