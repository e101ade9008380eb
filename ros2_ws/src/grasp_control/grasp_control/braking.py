"""The shortest jerk-limited stop from any state of motion, in closed form for all joints at once.

It depends on nothing but numpy: it is what remains when the trajectory generator fails, and what the
    collision guard predicts.
"""

import numpy as np

_TINY = 1e-300


class Stop:
    """Velocity and acceleration of every joint brought to zero in the least time.

    Each joint moves in three phases of constant jerk: acceleration to a peak against the motion, that peak
        held, and back to zero. Joints do not wait for each other.

    Args:
        position, velocity, acceleration: (n,) the state at time 0 in rad, rad/s, rad/s².
        max_acceleration, max_jerk: (n,) limits in rad/s², rad/s³.
    """

    def __init__(
        self,
        position: np.ndarray,
        velocity: np.ndarray,
        acceleration: np.ndarray,
        max_acceleration: np.ndarray,
        max_jerk: np.ndarray,
    ) -> None:
        ramp = acceleration * acceleration / (2.0 * max_jerk)
        self.crest = velocity + np.copysign(ramp, acceleration)
        """(n,) rad/s, the velocity that remains when the acceleration is taken to zero at once"""
        # Its sign tells which way to brake. In the frame below it is not negative, so the peak is at least as
        # strong as an acceleration that already brakes, and no phase has a negative duration.
        sign = np.copysign(1.0, self.crest)
        v, a = sign * velocity, sign * acceleration
        to_shed = np.maximum(v + ramp, 0.0)
        peak = np.maximum(np.minimum(max_acceleration, np.sqrt(max_jerk * to_shed)), -a)
        t1, t3 = (a + peak) / max_jerk, peak / max_jerk
        t2 = np.maximum(to_shed - peak * t3, 0.0) / np.maximum(peak, _TINY)
        speed_1 = to_shed - 0.5 * peak * t3
        travel_1 = t1 * (v + t1 * (a / 2.0 - t1 * max_jerk / 6.0))
        travel_2 = t2 * (speed_1 - 0.5 * t2 * peak)
        travel_3 = peak * t3 * t3 / 6.0
        self._start = (position, velocity, acceleration)
        self._durations, self._jerk = (t1, t2, t3), sign * max_jerk
        self._end_time = t1 + t2 + t3
        self.end_position = position + sign * (travel_1 + travel_2 + travel_3)
        """(n,) rad, where the joints come to rest"""
        turn = position
        if (v < 0.0).any():
            # A joint that moves against ``sign`` turns round while its acceleration is still taken back, in
            # phase 1.
            root = np.sqrt(np.maximum(a * a + 2.0 * max_jerk * v, 0.0))
            time = np.where(v < 0.0, (a - root) / max_jerk, 0.0)
            turn = position + sign * (time * (v + time * (a / 2.0 - time * max_jerk / 6.0)))
        self.lowest, self.highest = np.minimum(turn, self.end_position), np.maximum(turn, self.end_position)
        """(n,) rad each, the least and greatest position on the way"""

    @property
    def duration_s(self) -> float:
        """Time until the last joint stands."""
        return float(self._end_time.max())

    def at(self, time_s: float | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity, acceleration (n,) at a time in s, 0 or later; (k, n) for times (k, 1).

        Exactly at rest once a joint's stop is over.
        """
        t1, t2, t3 = self._durations
        p, v, a = _advance(*self._start, -self._jerk, np.minimum(time_s, t1))
        if (t1 < time_s).any():
            p, v, a = _advance(p, v, a, 0.0, np.minimum(np.maximum(time_s - t1, 0.0), t2))
            p, v, a = _advance(p, v, a, self._jerk, np.minimum(np.maximum(time_s - t1 - t2, 0.0), t3))
            over = self._end_time <= time_s
            p, v, a = np.where(over, self.end_position, p), np.where(over, 0.0, v), np.where(over, 0.0, a)
        return p, v, a


def _advance(
    position: np.ndarray,
    velocity: np.ndarray,
    acceleration: np.ndarray,
    jerk: np.ndarray | float,
    time_s: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    half = 0.5 * time_s
    mean = acceleration + half * jerk
    return (
        position + time_s * (velocity + half * (acceleration + time_s * jerk / 3.0)),
        velocity + time_s * mean,
        acceleration + time_s * jerk,
    )
