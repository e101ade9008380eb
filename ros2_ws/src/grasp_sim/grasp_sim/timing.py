"""When ticks and frames happen, on the simulation's own clock."""

from grasp_description.workcell import CONTROL_RATE_HZ, PHYSICS_RATE_HZ

TICKS_PER_FRAME = PHYSICS_RATE_HZ // CONTROL_RATE_HZ
"""Physics ticks from one frame of the cameras to the next."""

if TICKS_PER_FRAME * CONTROL_RATE_HZ != PHYSICS_RATE_HZ:
    raise ValueError(
        f"CONTROL_RATE_HZ is {CONTROL_RATE_HZ} and PHYSICS_RATE_HZ {PHYSICS_RATE_HZ} in "
        f"grasp_description.workcell; expected a physics rate that is a multiple of the control rate"
    )


def tick_time_ns(tick: int) -> int:
    """Time of a physics tick in ns. Rounded once from the tick's number, so that no error accumulates."""
    return (tick * 1_000_000_000 + PHYSICS_RATE_HZ // 2) // PHYSICS_RATE_HZ


def is_frame_tick(tick: int) -> bool:
    """Whether the cameras take a pair of images at this tick."""
    return tick % TICKS_PER_FRAME == 0
