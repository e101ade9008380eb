"""Settings of the safety core and of its collision guard."""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class GuardConfig:
    """Clearances of the collision guard; positions are in the arm's base frame, the table's top is z = 0."""

    table_margin_m: float = 0.005
    """clearance that arm links and palm keep from the table"""
    finger_table_depth_m: float = 0.02
    """how far below the table's surface a command may put a finger: its servo then presses on the table,
    lightly"""
    self_margin_m: float = 0.01
    """clearance between arm links three or more joints apart, and between the hand and those links"""
    activation_m: float = 0.08
    """clearance beyond the margin from which on a target is bent away from the obstacle"""
    approach_m: float = 0.001
    """how far before its margin a bent target ends, so that the margin itself stays a hard stop that is
    rarely met"""
    workspace_lower_m: tuple[float, float, float] = (-0.45, -0.75, -0.1)
    """lower corner of the box that holds every moving link"""
    workspace_upper_m: tuple[float, float, float] = (1.05, 0.75, 1.35)
    """upper corner of the same box"""

    def __post_init__(self) -> None:
        for name in ("table_margin_m", "finger_table_depth_m", "self_margin_m", "activation_m", "approach_m"):
            _require(getattr(self, name) >= 0.0, name, getattr(self, name), "0 m or more")
        for name in ("workspace_lower_m", "workspace_upper_m"):
            value = getattr(self, name)
            _require(
                len(value) == 3 and all(map(math.isfinite, value)), name, value, "three finite numbers in m"
            )
        for lower, upper in zip(self.workspace_lower_m, self.workspace_upper_m, strict=True):
            _require(
                lower < upper, "workspace_lower_m", self.workspace_lower_m, f"below {self.workspace_upper_m}"
            )


@dataclass(frozen=True)
class ControlConfig:
    """Settings of the safety core; joint limits themselves come from ``grasp_description``."""

    command_rate_hz: float = 200.0
    """rate of ticks, one command each"""
    target_timeout_s: float = 0.1
    """longest time without a fresh target before the robot is stopped"""
    target_max_age_s: float = 0.15
    """oldest stamp of a target (that of the images it came from) that still counts as fresh on arrival"""
    target_spread_s: float = 0.05
    """longest time over which a step from one target to the next is spread; the time between their stamps if
    shorter"""
    measurement_timeout_s: float = 0.1
    """longest age of any joint's measurement before the robot is stopped"""
    clock_tolerance_s: float = 0.05
    """how far in the future a stamp may lie (clocks of two machines) before its message is refused"""
    arm_speed_rad_s: float = 1.2
    """cap on the arm's commanded joint speeds, below their limits, so that a servo's lag stays within the
    tracking bound"""
    hand_speed_rad_s: float = 6.0
    """cap on the hand's commanded joint speeds"""
    arm_tracking_rad: float = 0.15
    """largest distance between command and measurement of an arm joint"""
    tracking_grace_s: float = 0.05
    """how long an arm joint may exceed that distance before the robot is stopped"""
    hand_lead_rad: float = 0.6
    """largest lead of a hand joint's target over its measurement: it is what presses fingers on an object"""
    start_tolerance_rad: float = 0.12
    """how far outside its limits a joint may be measured when armed; the first command is then the limit. A
    finger that another one presses is found 0.09 rad beyond its end in simulation"""
    start_speed_rad_s: float = 0.3
    """largest measured speed of an arm joint at which the robot may be armed"""
    measurement_jump_rad: float = 0.2
    """jump between two measurements, beyond what the joint's speed limit allows, that counts as a reset or a
    fault"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            _require(math.isfinite(value) and value > 0.0, field.name, value, "a finite number above 0")
        _require(
            20.0 <= self.command_rate_hz <= 1000.0, "command_rate_hz", self.command_rate_hz, "20 to 1000 Hz"
        )
        _require(
            self.arm_tracking_rad <= 1.0 and self.hand_lead_rad <= 2.0,
            "arm_tracking_rad, hand_lead_rad",
            (self.arm_tracking_rad, self.hand_lead_rad),
            "at most 1 rad and 2 rad",
        )

    @property
    def period_s(self) -> float:
        """Time from one command to the next in s."""
        return 1.0 / self.command_rate_hz


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"Control setting {name} is {value}; expected {expected}")
