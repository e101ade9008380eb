"""Which images and joint states a policy step may use: safety promise 6. No ROS in it.

A step takes a left and a right image of the same stamp, not older than two frame periods, newer than those
of the step before, and the joint state of that moment. Anything else is dropped and counted by reason.
Times are integers in nanoseconds on one clock.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass

import numpy as np

__all__ = ["FramePairer", "Observation", "PairingLimits", "Reason"]

WAITING_IMAGES = 3
"""Images of one eye that wait for the other eye's: one camera may lag the other by more than a period."""
JOINT_HISTORY = 1024
"""Joint states kept at most; those too old for any usable image go earlier."""


class Reason(enum.Enum):
    """Why something that came in was not used, or was forgotten."""

    UNPAIRED = "unpaired"
    """No image of the same stamp came from the other eye."""
    REPEATED = "repeated"
    """The stamp is not newer than one already seen from that eye, or already used."""
    OLD = "old"
    """The images are older than the limit at the moment of inference."""
    AHEAD = "ahead_of_clock"
    """The stamp is further ahead of the clock than the limit."""
    BEFORE_START = "before_start"
    """The images were taken before the start of the episode."""
    NO_JOINT_STATE = "no_joint_state"
    """No joint state near enough to the images' stamp."""
    JOINTS_OFF_CLOCK = "joint_state_off_clock"
    """A joint state's stamp is too far from the clock to belong to any usable image."""
    CLOCK_BACK = "clock_stepped_back"
    """The clock stepped back: everything waiting was forgotten."""


@dataclass(frozen=True)
class PairingLimits:
    """What may go into one step."""

    frame_period_ns: int
    """Time between two frames, in nanoseconds."""
    max_age_periods: float = 2.0
    """Oldest images at the moment of inference, in frame periods; as far ahead of the clock at most."""
    max_joint_skew_periods: float = 1.0
    """Largest distance of the joint state's stamp from the images', in frame periods."""

    @property
    def max_age_ns(self) -> int:
        """`max_age_periods` in nanoseconds."""
        return round(self.max_age_periods * self.frame_period_ns)

    @property
    def max_joint_skew_ns(self) -> int:
        """`max_joint_skew_periods` in nanoseconds."""
        return round(self.max_joint_skew_periods * self.frame_period_ns)


@dataclass(frozen=True)
class Observation:
    """What one policy step is computed from."""

    stamp_ns: int
    """Stamp of both images."""
    left: np.ndarray
    """Left image."""
    right: np.ndarray
    """Right image."""
    joint_stamp_ns: int
    """Stamp of the joint state."""
    joint_position: np.ndarray
    """Measured joint positions, rad."""
    joint_velocity: np.ndarray
    """Measured joint velocities, rad/s."""


@dataclass(frozen=True)
class _JointState:
    stamp_ns: int
    position: np.ndarray
    velocity: np.ndarray


def _stamp(state: _JointState) -> int:
    return state.stamp_ns


class FramePairer:
    """Collects images and joint states; gives out an `Observation` when one is complete and fit for use.

    The joint state used is the nearest to the images' stamp, chosen only once one of that stamp or later has
    come: so the choice depends on stamps alone, never on which message happened to arrive first.

    Attributes:
        counts: what was dropped, by `Reason`, since construction. A pair counts once.
    """

    def __init__(self, limits: PairingLimits) -> None:
        self.limits = limits
        self.counts: Counter[Reason] = Counter()
        self._start_ns: int | None = None
        self._latest_now_ns: int | None = None
        self._used_stamp_ns: int | None = None
        self._forget()

    def start(self, now_ns: int) -> None:
        """Begin an episode: forget what waits, and use no image taken before `now_ns`."""
        self._forget()
        self._start_ns = now_ns
        self._latest_now_ns = now_ns

    def add_left(self, stamp_ns: int, image: np.ndarray, now_ns: int) -> None:
        """Take a left image that arrived at `now_ns`."""
        self._add_image(0, stamp_ns, image, now_ns)

    def add_right(self, stamp_ns: int, image: np.ndarray, now_ns: int) -> None:
        """Take a right image that arrived at `now_ns`."""
        self._add_image(1, stamp_ns, image, now_ns)

    def add_joint_state(self, stamp_ns: int, position: np.ndarray, velocity: np.ndarray, now_ns: int) -> None:
        """Take a joint state, already checked to be finite and in canonical order."""
        self._watch_clock(now_ns)
        reach_ns = self.limits.max_age_ns + self.limits.max_joint_skew_ns
        if abs(stamp_ns - now_ns) > reach_ns:
            self.counts[Reason.JOINTS_OFF_CLOCK] += 1
            return
        insort(self._joints, _JointState(stamp_ns, position, velocity), key=_stamp)
        usable = bisect_left(self._joints, now_ns - reach_ns, key=_stamp)
        del self._joints[: max(usable, len(self._joints) - JOINT_HISTORY)]

    def drop_joint_states(self) -> None:
        """Forget the joint states: a bad one came, and the ones before it must not stand in for it."""
        self._joints.clear()

    def take(self, now_ns: int) -> Observation | None:
        """The observation that is complete and fit for use at `now_ns`, once; None where there is none."""
        self._watch_clock(now_ns)
        if self._pair is None:
            return None
        stamp_ns, left, right = self._pair
        if abs(now_ns - stamp_ns) > self.limits.max_age_ns:
            self._drop_pair(Reason.OLD if now_ns > stamp_ns else Reason.AHEAD)
            return None
        if not self._joints or self._joints[-1].stamp_ns < stamp_ns:
            return None
        joints = min(self._joints, key=lambda state: abs(state.stamp_ns - stamp_ns))
        if abs(joints.stamp_ns - stamp_ns) > self.limits.max_joint_skew_ns:
            self._drop_pair(Reason.NO_JOINT_STATE)
            return None
        self._pair = None
        self._used_stamp_ns = stamp_ns
        return Observation(stamp_ns, left, right, joints.stamp_ns, joints.position, joints.velocity)

    def _forget(self) -> None:
        self._images: tuple[dict[int, np.ndarray], dict[int, np.ndarray]] = ({}, {})
        self._seen_ns: list[int | None] = [None, None]
        self._pair: tuple[int, np.ndarray, np.ndarray] | None = None
        self._joints: list[_JointState] = []

    def _watch_clock(self, now_ns: int) -> None:
        """Forget everything when the clock stepped back further than an image may be old.

        A smaller step, such as a clock being disciplined, needs nothing: stamps overtake what was seen
        before within the time that images stay fit for use.
        """
        if self._latest_now_ns is not None and now_ns < self._latest_now_ns - self.limits.max_age_ns:
            self.counts[Reason.CLOCK_BACK] += 1
            self._forget()
            self._start_ns = None if self._start_ns is None else now_ns
            self._latest_now_ns = now_ns
        else:
            self._latest_now_ns = max(now_ns, self._latest_now_ns or now_ns)

    def _add_image(self, eye: int, stamp_ns: int, image: np.ndarray, now_ns: int) -> None:
        self._watch_clock(now_ns)
        reason = self._reason_to_refuse(eye, stamp_ns, now_ns)
        if reason is not None:
            self.counts[reason] += 1
            return
        self._seen_ns[eye] = stamp_ns
        mine, other = self._images[eye], self._images[1 - eye]
        partner = other.pop(stamp_ns, None)
        if partner is None:
            mine[stamp_ns] = image
            if len(mine) > WAITING_IMAGES:
                del mine[min(mine)]
                self.counts[Reason.UNPAIRED] += 1
            return
        for waiting in self._images:
            for earlier in [key for key in waiting if key < stamp_ns]:
                del waiting[earlier]
                self.counts[Reason.UNPAIRED] += 1
        if self._pair is not None:
            self._drop_pair(Reason.NO_JOINT_STATE)
        left, right = (image, partner) if eye == 0 else (partner, image)
        self._pair = (stamp_ns, left, right)

    def _reason_to_refuse(self, eye: int, stamp_ns: int, now_ns: int) -> Reason | None:
        if stamp_ns - now_ns > self.limits.max_age_ns:
            return Reason.AHEAD
        if now_ns - stamp_ns > self.limits.max_age_ns:
            return Reason.OLD
        seen = self._seen_ns[eye]
        if stamp_ns == self._used_stamp_ns or (seen is not None and stamp_ns <= seen):
            return Reason.REPEATED
        if self._start_ns is not None and stamp_ns < self._start_ns:
            return Reason.BEFORE_START
        return None

    def _drop_pair(self, reason: Reason) -> None:
        self.counts[reason] += 1
        self._pair = None
