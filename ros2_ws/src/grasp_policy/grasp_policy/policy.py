"""A loaded policy: one recurrent step at a time. `grasp evaluate` and the ROS node run this very class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime

from grasp_policy.errors import PolicyInputError, PolicyOutputError
from grasp_policy.policy_spec import PolicySpec

__all__ = ["Policy", "PolicyOutput"]

OUTPUT_NAMES = ("joint_target", "object_position", "memory_out")


@dataclass(frozen=True)
class PolicyOutput:
    """What one step of a policy gives. Both arrays are finite."""

    joint_target: np.ndarray
    """Joint position targets, (23,) float32, rad, canonical order."""
    object_position: np.ndarray
    """The policy's estimate of the object's position, (3,) float32, m, in the arm's base frame."""


class Policy:
    """An inference session with its recurrent state. Not for several threads at a time.

    Attributes:
        spec: what the file says about itself.
        sha256: SHA-256 of the file, hexadecimal.
        providers: the execution providers that the session really has, by its own word.
    """

    def __init__(self, session: onnxruntime.InferenceSession, spec: PolicySpec, sha256: str) -> None:
        self.spec = spec
        self.sha256 = sha256
        self._session = session
        self._image_shape = (spec.image_height, spec.image_width, 3)
        self._memory = np.zeros((1, spec.memory_size), np.float32)
        self._previous_target: np.ndarray | None = None

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers that the session really has, by its own word, preferred one first."""
        return tuple(self._session.get_providers())

    @property
    def threads(self) -> int:
        """Threads within an operator, by the session's own word."""
        return self._session.get_session_options().intra_op_num_threads

    @property
    def runtime(self) -> str:
        """What computes, with its version: another one may round otherwise."""
        return f"onnxruntime {onnxruntime.__version__}"

    def sibling(self) -> Policy:
        """A policy with state of its own over the same session: one an environment, weights held once."""
        return Policy(self._session, self.spec, self.sha256)

    def reset(self, measured: np.ndarray | None = None) -> None:
        """Start an episode: memory zero, the previous target the measured joint position.

        Args:
            measured: measured joint position, (23,), rad, canonical order; None takes the joint position
                of the first step, which is the same thing when that step is the first after the reset.

        Raises:
            PolicyInputError: `measured` has another shape or is not finite; the state is as before.
        """
        previous = None if measured is None else self._joint_vector("measured", measured)
        self._memory = np.zeros((1, self.spec.memory_size), np.float32)
        self._previous_target = previous

    def step(
        self, left: np.ndarray, right: np.ndarray, joint_position: np.ndarray, joint_velocity: np.ndarray
    ) -> PolicyOutput:
        """One control step.

        Args:
            left, right: rectified images, (H, W, 3) uint8 RGB, of one moment.
            joint_position: measured, (23,), rad, canonical order.
            joint_velocity: measured, (23,), rad/s, canonical order.

        Raises:
            PolicyInputError: a wrong type or shape, or a number that is not finite.
            PolicyOutputError: the policy's answer or its memory is not finite, or the runtime failed.

        After either error the state is as before.
        """
        position = self._joint_vector("joint_position", joint_position)
        feed = {
            "left": self._image("left", left),
            "right": self._image("right", right),
            "joint_position": position,
            "joint_velocity": self._joint_vector("joint_velocity", joint_velocity),
            "previous_target": position if self._previous_target is None else self._previous_target,
            "memory_in": self._memory,
        }
        try:
            values = self._session.run(list(OUTPUT_NAMES), feed)
        except Exception as error:
            # ONNX Runtime raises a dozen classes that share nothing but Exception.
            raise PolicyOutputError(f"ONNX Runtime cannot run the policy: {error}") from error
        outputs = {name: np.asarray(value) for name, value in zip(OUTPUT_NAMES, values, strict=True)}
        for name, value in outputs.items():
            _require_finite_output(name, value)
        self._memory = outputs["memory_out"]
        # A copy: the caller owns what it gets, and changing it must not change the state.
        self._previous_target = outputs["joint_target"].copy()
        return PolicyOutput(outputs["joint_target"][0], outputs["object_position"][0])

    def _image(self, name: str, image: np.ndarray) -> np.ndarray:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != self._image_shape:
            raise PolicyInputError(f"{name} is {_describe(image)}; expected uint8 {self._image_shape}")
        return image[np.newaxis]

    def _joint_vector(self, name: str, value: np.ndarray) -> np.ndarray:
        count = self.spec.joint_count
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != (count,):
            raise PolicyInputError(f"{name} is {_describe(value)}; expected floating point ({count},)")
        with np.errstate(over="ignore"):
            vector = value.astype(np.float32)
        if not np.isfinite(vector).all():
            index = int(np.flatnonzero(~np.isfinite(vector))[0])
            joint = self.spec.joint_names[index]
            raise PolicyInputError(f"{name}[{index}] ({joint}) is {value[index]}; expected a finite number")
        return vector[np.newaxis]


def _require_finite_output(name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        index = int(np.flatnonzero(~np.isfinite(value))[0])
        raise PolicyOutputError(
            f"the policy's {name}[{index}] is {value.flat[index]}; expected a finite number"
        )


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"a {type(value).__name__}"
