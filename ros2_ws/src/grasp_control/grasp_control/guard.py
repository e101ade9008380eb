"""Keeps commands from taking a link through the table, out of the workspace or into the robot itself.

Two means. *Bending*: a target that would violate a clearance, by the linear change of the gaps with the
joints, is moved to the nearest one that does not, so that the hand slides along the table instead of stopping
dead; the arm answers for the arm's part of the target and the hand for the hand's, and the bent target is
never further away than the given one. *Stopping*: a next state is allowed only if it, and the postures on the
shortest stop from it, keep every clearance. Since the state before it was allowed too, braking along its stop
is always possible. A clearance that is already violated (the robot was armed there) may not shrink further;
moving out of it is free.
"""

import numpy as np

from grasp_control.braking import Stop
from grasp_control.collision import Clearances, CollisionModel
from grasp_control.config import GuardConfig
from grasp_control.limiter import MotionState
from grasp_description.robot import ARM_JOINTS

STOP_SAMPLES = np.array([1.0, 0.6, 0.35, 0.2, 0.1])
"""Where on the way to rest a stop is checked, as shares of its duration, beside the next state itself."""
_GAP_TOLERANCE_M = 1e-6
_PROJECTIONS = 16
_FLAT = 1e-6
"""(m/rad)², squared gradients below this are a gap that the joints in question do not change."""
_ARM = len(ARM_JOINTS)


class CollisionGuard:
    """Judges the states of one command sequence, in order.

    Args:
        config: clearances and workspace.
    """

    def __init__(self, config: GuardConfig = GuardConfig()) -> None:
        self._config = config
        self._model = CollisionModel(config)
        self._near: Clearances | None = None
        self._gradients = np.zeros((0, 0))
        self._floors: dict[int, float] = {}
        self.obstacle = ""
        """what the last refused state would have met"""

    def restart(self, position: np.ndarray) -> None:
        """Begin at joint positions (23,) in rad, whatever their clearances are."""
        self.obstacle = ""
        self.settle(position)

    def settle(self, position: np.ndarray) -> None:
        """Take a posture (23,) in rad as the present one without judging it."""
        self._take(self._model.clearances(position), position)

    def bend(self, position: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The target (23,) to aim at from ``position``, the state last settled; ``target`` itself if nothing
        is in its way."""
        if self._near is None:
            return target
        wanted = target - position
        room = np.maximum(self._near.gaps - self._config.approach_m, 0.0)
        arm_gradients, hand_gradients = self._gradients[:, :_ARM], self._gradients[:, _ARM:]
        if (room + self._gradients @ wanted >= 0.0).all() and (
            room + arm_gradients @ wanted[:_ARM] >= 0.0
        ).all():
            return target
        arm = _nearest_within(wanted[:_ARM], arm_gradients, room)
        hand = _nearest_within(wanted[_ARM:], hand_gradients, np.maximum(room + arm_gradients @ arm, 0.0))
        return position + np.concatenate([arm, hand])

    def allows(self, state: MotionState, stop: Stop) -> bool:
        """Whether a state may be the next one; if so, it is taken as such."""
        if not self._keeps(state.position):
            return False
        clearances = self._model.clearances(state.position)
        duration = stop.duration_s
        if duration > 0.0 and (len(clearances.gaps) or not self._stays_near(state, stop)):
            postures = stop.at(duration * STOP_SAMPLES[:, None])[0]
            if not all(self._keeps(posture) for posture in postures):
                return False
        self._take(clearances, state.position)
        return True

    def _stays_near(self, state: MotionState, stop: Stop) -> bool:
        """Whether no point of the robot can travel as far as ``activation_m`` on a stop."""
        travel = np.maximum(stop.highest - state.position, state.position - stop.lowest)
        return float(travel @ self._model.reach_m) < self._config.activation_m

    def _keeps(self, position: np.ndarray) -> bool:
        for key, gap in self._model.violations(position).items():
            if gap < self._floors.get(key, 0.0) - _GAP_TOLERANCE_M:
                self.obstacle = self._model.describe(key)
                return False
        return True

    def _take(self, clearances: Clearances, position: np.ndarray) -> None:
        self._near, self._floors = None, {}
        if len(clearances.gaps):
            self._near, self._gradients = clearances, self._model.gradients(clearances)
            if (clearances.gaps < 0.0).any():
                self._floors = self._model.violations(position)


def _nearest_within(step: np.ndarray, gradients: np.ndarray, room: np.ndarray) -> np.ndarray:
    """A step near the given one with ``gradients @ step >= -room``.

    Projects on the most violated half-space in turn. No projection lengthens the step, since the zero step is
    inside all.
    """
    squares = np.einsum("ij,ij->i", gradients, gradients)
    useful = squares > _FLAT
    gradients, squares, room = gradients[useful], squares[useful], room[useful]
    scale = np.sqrt(squares)
    for _ in range(_PROJECTIONS):
        slack = room + gradients @ step
        if (slack >= -1e-9).all():
            break
        worst = int(np.argmin(slack / scale))
        step = step - gradients[worst] * (slack[worst] / squares[worst])
    return step
