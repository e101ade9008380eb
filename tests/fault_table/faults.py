"""The declared list of faults."""

from dataclasses import dataclass
from enum import Enum

from fault_table import tampering as spoilt
from fault_table.injecting import Injection, Kill, NoSuchProvider, Pause, PolicyIsLost, RobotLeaves, Spoil


class Expected(Enum):
    """What the robot is to do."""

    HOLDS = "holds"
    """the command node decelerates within limits, stands, and moves no more until it is armed again"""
    GOES_ON = "goes on"
    """it stays armed and moves on within limits"""
    ENDS = "ends"
    """commands end: the command node is gone, or its clock stands; none come until it is armed again"""
    REFUSES = "refuses"
    """it is not armed at all"""


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    """what is wrong, in words"""
    injection: Injection
    """what is done to the running graph"""
    promise: str
    """number of the promise that it touches (house plan, §3); – for none"""
    expected: Expected
    """what the robot is to do"""
    bounded: bool = False
    """whether a promise bounds the time to hold: 100 ms and one control period"""
    steps: int = 10
    """accepted targets by which a robot that is to go on has gone on"""
    clock_offset_s: float = 0.0
    """by how much the nodes' clock differs from the simulator's while it lasts"""
    remark: str = ""
    """what to know about it"""


def _holds(name: str, promise: str, injection: Injection, **more) -> Fault:
    """The robot is to hold in time."""
    return Fault(name, injection, promise, Expected.HOLDS, bounded=True, **more)


def _goes_on(name: str, promise: str, injection: Injection, remark: str, **more) -> Fault:
    return Fault(name, injection, promise, Expected.GOES_ON, remark=remark, **more)


def _both_eyes(make) -> Spoil:
    return Spoil({"left": make, "right": make})


IMAGES = (
    _holds("images 100 ms late", "2, 6", _both_eyes(lambda _: spoilt.late(0.1))),
    _goes_on("images 30 ms late", "6", _both_eyes(lambda _: spoilt.late(0.03)), "within two frame periods"),
    _holds("images repeated, stamp and all", "2, 6", _both_eyes(spoilt.repeated)),
    _goes_on("images twice each", "6", _both_eyes(lambda _: spoilt.twice), "the second of each is not used"),
    _goes_on(
        "same picture under new stamps",
        "–",
        _both_eyes(spoilt.frozen),
        "a scene at rest looks so too; grasp_camera drops identical pictures before they come here",
    ),
    _holds("stamps of the two eyes 1 ms apart", "2, 6", Spoil({"right": lambda _: spoilt.restamped(0.001)})),
    _holds("right camera gone", "2, 6, 8", Spoil({"right": lambda _: spoilt.dropped})),
    _holds("both cameras gone", "2, 6, 8", _both_eyes(lambda _: spoilt.dropped)),
    _goes_on("images black", "–", _both_eyes(lambda _: spoilt.painted(0)), "dark is no fault to the policy"),
    _holds("images cut short", "2, 6", _both_eyes(lambda _: spoilt.cut_short)),
    _holds("images of another encoding", "2, 6", _both_eyes(lambda _: spoilt.other_encoding)),
    _holds("images stamped 1 s ahead", "2, 6", _both_eyes(lambda _: spoilt.restamped(1.0))),
)
JOINTS = (
    _holds("a joint state is NaN", "6, 7", Spoil({"joints": lambda _: spoilt.not_finite})),
    _goes_on(
        "joint states in reverse order", "1", Spoil({"joints": lambda _: spoilt.other_order}), "by name"
    ),
    _goes_on(
        "joint states overtake one another",
        "1",
        Spoil({"joints": spoilt.overtaken}),
        "older ones are refused",
    ),
    _holds("a joint renamed", "1, 7", Spoil({"joints": lambda _: spoilt.renamed})),
    _holds("a joint missing", "1, 7", Spoil({"joints": lambda _: spoilt.without(22, 23)})),
    _holds("the arm's joint states missing", "7", Spoil({"joints": lambda _: spoilt.without_arm})),
    _holds(
        "the hand faults in mid-grasp: no joint states, deaf to commands",
        "7",
        Spoil({"joints": lambda _: spoilt.without_hand, "hand": lambda _: spoilt.dropped}),
    ),
    _holds("all joint states missing", "6, 7", Spoil({"joints": lambda _: spoilt.dropped})),
    _holds("joint states 150 ms late", "6, 7", Spoil({"joints": lambda _: spoilt.late(0.15)})),
    _goes_on(
        "joint states 20 ms late",
        "6, 7",
        Spoil({"joints": lambda _: spoilt.late(0.02)}),
        "still fresh enough",
    ),
    _holds("a measurement jumps by 0.5 rad", "3", Spoil({"joints": lambda _: spoilt.displaced(0.5)})),
    Fault(
        "measurements stick, under new stamps",
        Spoil({"joints": spoilt.stuck}),
        "4",
        Expected.HOLDS,
        remark="bounded by distance, not by time",
    ),
)
DRIVERS = (
    Fault(
        "the arm's driver ignores commands",
        Spoil({"arm": lambda _: spoilt.dropped}),
        "4",
        Expected.HOLDS,
        remark="bounded by distance, not by time",
    ),
    _goes_on(
        "the hand's driver ignores commands",
        "4",
        Spoil({"hand": lambda _: spoilt.dropped}),
        "a hand that presses does so too; its lead is bounded",
    ),
)
CLOCKS = (
    _holds(
        "clock jumps 2 s ahead, stamps do not",
        "2",
        Spoil({"clock": lambda _: spoilt.clock_shifted(2.0)}),
        clock_offset_s=2.0,
    ),
    _holds(
        "clock jumps 2 s back, stamps do not",
        "2",
        Spoil({"clock": lambda _: spoilt.clock_shifted(-2.0)}),
        clock_offset_s=-2.0,
    ),
    *(
        _holds(
            f"clock and stamps jump 2 s {where}",
            "2",
            Spoil(
                {
                    "clock": lambda _, by_s=by_s: spoilt.clock_shifted(by_s),
                    **dict.fromkeys(("joints", "left", "right"), lambda _, by_s=by_s: spoilt.restamped(by_s)),
                }
            ),
            clock_offset_s=by_s,
        )
        for where, by_s in (("ahead", 2.0), ("back", -2.0))
    ),
    Fault("clock stands", Spoil({"clock": spoilt.repeated}), "2", Expected.ENDS),
)
TARGETS = (
    _holds("policy computes NaN", "1, 2", _both_eyes(lambda _: spoilt.painted(255))),
    _holds("a target is NaN", "1, 2", Spoil({"targets": lambda _: spoilt.target_not_finite})),
    _holds(
        "a target names another joint", "1, 2", Spoil({"targets": lambda _: spoilt.target_of_another_robot})
    ),
    _holds("targets 200 ms late", "2", Spoil({"targets": lambda _: spoilt.late(0.2)})),
    _holds("a target comes again and again", "2", Spoil({"targets": spoilt.repeated})),
    _goes_on(
        "targets 3 rad off, to and fro",
        "1, 4, 5",
        Spoil({"targets": lambda _: spoilt.thrown(3.0)}),
        "clipped, limited, stopped short of obstacles",
    ),
    _goes_on(
        "targets lead into the table",
        "5",
        Spoil({"targets": lambda _: spoilt.into_the_table}),
        "stopped short of it",
        steps=45,
    ),
)
NODES = (
    _holds("grasp_policy stopped (SIGSTOP), continued later", "2", Pause("grasp_policy")),
    _holds("grasp_policy killed", "2", Kill("grasp_policy")),
    _holds("grasp_policy killed and started again at once", "2, 3", Kill("grasp_policy", restart=True)),
    Fault(
        "grasp_control stopped (SIGSTOP) for 0.5 s of the clock",
        Pause("grasp_control", clock_s=0.5),
        "2, 3",
        Expected.HOLDS,
        remark="while it stands still nothing is commanded; it holds as it wakes",
    ),
    Fault(
        "grasp_control killed",
        Kill("grasp_control"),
        "3",
        Expected.ENDS,
        remark="then the driver has to stop the robot",
    ),
    Fault(
        "grasp_control killed and started again at once",
        Kill("grasp_control", restart=True),
        "3",
        Expected.ENDS,
        remark="it comes back unconfigured",
    ),
    _goes_on(
        "grasp_task stopped (SIGSTOP) for 0.5 s of the clock",
        "–",
        Pause("grasp_task", clock_s=0.5),
        "it only asks",
    ),
    _goes_on(
        "grasp_task killed, started again later",
        "–",
        Kill("grasp_task"),
        "on a robot runner or launch file end all; here it comes back idle, and /grasp/stop stops the robot",
    ),
    _goes_on(
        "grasp_sim stopped (SIGSTOP) for 2 s of wall time",
        "2",
        Pause("grasp_sim", for_s=2.0),
        "its clock stood still as well",
    ),
    Fault("grasp_sim killed (clock, drivers, cameras)", Kill("grasp_sim"), "2, 3", Expected.ENDS),
    _holds("drivers and cameras leave the ROS domain and come back", "2, 3, 7, 8", RobotLeaves()),
    _holds("grasp_policy lost by discovery and found again", "2", PolicyIsLost()),
    Fault("an execution provider that is not there", NoSuchProvider(), "9", Expected.REFUSES),
)
FAULTS = (*IMAGES, *JOINTS, *DRIVERS, *CLOCKS, *TARGETS, *NODES)
