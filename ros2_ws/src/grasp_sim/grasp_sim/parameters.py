"""Parameters of /grasp_sim, declared with ranges and descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from grasp_description.objects import OBJECT_SETS
from grasp_sim.driver_style import NATIVE, STYLES, DriverStyle, driver_style
from grasp_sim.lockstep import LockstepConfig
from grasp_sim.realtime import RealTimeConfig
from grasp_sim.recording import RecorderConfig
from grasp_sim.world import WorldConfig

__all__ = ["SimParameters", "declare_parameters"]


@dataclass(frozen=True)
class SimParameters:
    """All parameters, as read at start."""

    world: WorldConfig
    lockstep: LockstepConfig
    realtime: RealTimeConfig
    recorder: RecorderConfig
    style: DriverStyle
    rehearses: bool
    in_lockstep: bool
    view: bool
    view_host: str
    view_port: int


def declare_parameters(node: Node) -> SimParameters:
    """Declare and read them all.

    Raises:
        rclpy.exceptions.ParameterException: a value of the wrong type or out of its range was given.
        ValueError: an object set or a driver style that does not exist was given.
    """

    def declare(name: str, default: Any, description: str, **ranges: list) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True, **ranges)
        return node.declare_parameter(name, default, descriptor).value

    def whole(name: str, default: int, low: int, high: int, description: str) -> int:
        bounds = [IntegerRange(from_value=low, to_value=high, step=1)]
        return declare(name, default, description, integer_range=bounds)

    def real(name: str, default: float, low: float, high: float, description: str) -> float:
        bounds = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        return declare(name, default, description, floating_point_range=bounds)

    objects = declare("objects", "held-out", f"object set: {' or '.join(OBJECT_SETS)}")
    if objects not in OBJECT_SETS:
        raise ValueError(
            f"Parameter 'objects' of /grasp_sim is {objects!r}; expected one of {', '.join(OBJECT_SETS)}"
        )
    world = WorldConfig(
        objects=objects,
        seed=whole("seed", 0, 0, 2**31 - 1, "seed of the sequence of objects and of their poses"),
        clearance_m=real(
            "clearance_m", 0.01, 0.0, 0.2, "m, least distance of a placed object from the robot"
        ),
        placement_attempts=whole("placement_attempts", 50, 1, 1000, "poses tried before a reset is refused"),
    )
    lockstep = LockstepConfig(
        command_limit_s=real(
            "command_limit_s", 1.0, 0.01, 60.0, "s of wall time to wait for a tick's command"
        ),
        target_limit_s=real("target_limit_s", 3.0, 0.01, 60.0, "s of wall time to wait for a frame's target"),
        idle_wait_s=real(
            "idle_wait_s", 0.002, 0.0, 1.0, "s of wall time a tick takes while nobody is waited for"
        ),
        give_up_after=whole(
            "give_up_after", 3, 1, 1000, "time-outs in a row after which a partner is not waited for"
        ),
        idle_frame_divider=whole(
            "idle_frame_divider", 3, 1, 30, "between episodes, one of so many frames is taken"
        ),
        drivers_commanded=declare(
            "drivers_commanded", True, "whether the drivers get the commands; false beside a dry run"
        ),
    )
    realtime = RealTimeConfig(
        frame_lag_s=real("frame_lag_s", 0.02, 0.0, 1.0, "s behind schedule from which frames are skipped"),
        most_lag_s=real("most_lag_s", 0.25, 0.01, 10.0, "s behind schedule from which lost time is given up"),
    )
    recorder = RecorderConfig(
        video=declare("video", "", "path of an MP4 of the first episodes; empty for none"),
        video_episodes=whole("video_episodes", 4, 1, 1000, "episodes that the video shows"),
        contact_sheet=declare(
            "contact_sheet", "", "path of a PNG with pictures of every episode; empty for none"
        ),
        sheet_episodes=whole("sheet_episodes", 60, 1, 1000, "episodes that the contact sheet shows"),
    )
    style = declare("driver_style", NATIVE, f"whose topics, names and orders: {' or '.join(STYLES)}")
    order_seed = whole("driver_order_seed", 0, 0, 2**31 - 1, "shuffles names in joint states; 0 does not")
    return SimParameters(
        world=world,
        style=driver_style(style, order_seed),
        rehearses=style != NATIVE,
        lockstep=lockstep,
        realtime=realtime,
        recorder=recorder,
        in_lockstep=declare(
            "lockstep", True, "time advances only when the graph has answered; false: real time"
        ),
        view=declare("view", False, "serve the live scene, both camera images and the score to a browser"),
        view_host=declare("view_host", "127.0.0.1", "address that the view listens on; 0.0.0.0 for all"),
        view_port=whole("view_port", 8080, 1, 65535, "port that the view listens on"),
    )
