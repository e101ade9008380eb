"""The node graph as data: which processes, with which parameters. Launch files and runner both read it."""

import ast
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from grasp_bringup.files import shared_file

Value = bool | int | float | str | list[str]
"""What a parameter may be here."""
RECORDER = "grasp_recorder"
"""Name of the node that records."""
TASKS = ("episodes", "picking")
"""Modes of the task node."""
ALONE = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
"""Environment of a simulation: its joint commands must never reach a robot that listens on the network."""
PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Environment variable that names Fast DDS 2's own settings."""
Arguments = TypeVar("Arguments")
"""A dataclass of arguments, each with a default and a docstring."""
_NEARLY = 0.75
"""similarity (difflib's, 0 to 1) from which a name passes for a misspelt one"""


@dataclass(frozen=True)
class NodeProcess:
    """One process of the graph, with one node in it."""

    package: str
    """ament package"""
    executable: str
    """what `ros2 run` calls it, under lib/<package>/"""
    module: str
    """what `python -m` calls it; empty for what is no Python module, which only `ros2 launch` can start"""
    name: str
    """name of the node"""
    parameter_files: tuple[Path, ...] = ()
    """YAML files, in order; later ones win"""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """values that win over the files"""
    remappings: Mapping[str, str] = field(default_factory=dict)
    """topic or service name -> another"""
    arguments: tuple[str, ...] = ()
    """of its command line, before those of ROS"""
    log_level: str = ""
    """least severity that the node logs; empty for ROS 2's default, info"""
    ends_graph: bool = False
    """whether its end is the end of the run; the end of any other process is a failure"""
    onlooker: bool = False
    """whether it only looks on: its end is told, and nothing else"""

    def ros_arguments(self) -> list[str]:
        """What follows ``--ros-args`` on its command line."""
        files = [part for file in self.parameter_files for part in ("--params-file", str(file))]
        values = [
            part for name, value in self.parameters.items() for part in ("-p", f"{name}:={yaml_value(value)}")
        ]
        remaps = [part for name, other in self.remappings.items() for part in ("-r", f"{name}:={other}")]
        return ["-r", f"__node:={self.name}", *files, *values, *remaps, *self.own_arguments()]

    def own_arguments(self) -> list[str]:
        """The part of `ros_arguments` that launch has no word for: the node's enclave (SROS2) and its log."""
        level = ["--log-level", f"{self.name}:={self.log_level}"] if self.log_level else []
        return ["--enclave", f"/{self.name}", *level]

    def command(self, python: str) -> list[str]:
        """Its command line with the interpreter ``python``: needs the module only, neither bin/ nor lib/."""
        return [python, "-m", self.module, *self.arguments, "--ros-args", *self.ros_arguments()]


@dataclass(frozen=True)
class Bringup:
    """A launch file of somebody else's that starts a driver."""

    package: str
    """ament package"""
    launch_file: str
    """name of a file in its folder launch/"""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """of the launch file"""


@dataclass(frozen=True)
class Graph:
    """All processes of one run."""

    processes: tuple[NodeProcess, ...]
    """in the order in which they start"""
    report: Path | None = None
    """JSON file that the node that ends the graph writes"""
    endless: bool = False
    """whether the run goes on until it is interrupted"""
    policy: Path | None = None
    """policy file that one of the nodes is to load"""
    recording: Path | None = None
    """file that one of the nodes is to make; it must not exist"""
    environment: Mapping[str, str] = field(default_factory=dict)
    """environment variables that hold unless the caller's own environment sets them"""
    bringups: tuple[Bringup, ...] = ()
    """launch files of the drivers, before all processes; only `ros2 launch` can start them"""

    def __post_init__(self) -> None:
        names = [process.name for process in self.processes]
        if len(set(names)) != len(names):
            raise ValueError(f"processes are named {names}; expected no name twice")
        ending = [process.name for process in self.processes if process.ends_graph]
        if len(ending) != 1:
            raise ValueError(f"processes {ending} end the graph; expected exactly one")

    @property
    def ending(self) -> NodeProcess:
        """The process whose end is the end of the run."""
        return next(process for process in self.processes if process.ends_graph)


def yaml_value(value: Value) -> str:
    """A parameter's value as YAML that rcl reads back as the same type."""
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for a text: a number needs its point.
        mantissa, exponent, power = repr(value).partition("e")
        return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power
    # JSON is YAML; quoted texts stay texts even where they look like numbers.
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class SimArguments:
    """What a user says about a run in simulation; the same names in the runner and in sim.launch.py."""

    task: str = "episodes"
    """episodes: attempts, each reset by the simulator; picking: one object after another into a bin"""
    episodes: int = 20
    """episodes to run; 0 runs until Ctrl-C"""
    seed: int = 0
    """seed of the sequence of objects and of their poses"""
    policy: str = "models/stereo_student.onnx"
    """policy file"""
    objects: str = "held-out"
    """object set: held-out or training"""
    view: bool = False
    """serve the live scene, both camera images and the score to a browser"""
    lockstep: bool = True
    """simulated time advances only when the graph has answered; false runs in real time, for latencies"""
    report: str = "runs/sim/report.json"
    """where the scoreboard is written as JSON"""
    contact_sheet: str = "runs/sim/episodes.png"
    """where pictures of the episodes go, PNG; or none"""
    video: str = "none"
    """where a video of the first episodes goes, MP4; or none"""
    rates: bool = False
    """also measure the rate of every topic and the age of the images behind each command"""
    record: str = "none"
    """file that everything the decisions saw is recorded in, NAME.mcap, a new one; or none"""
    parameters: str = "none"
    """YAML file with parameters that win over sim.yaml; or none"""

    def __post_init__(self) -> None:
        check_run(self.episodes, self.task, self.report)


def check_run(episodes: int, task: str, report: str) -> None:
    """Refuse what no run can be, in simulation or on a robot.

    Raises:
        ValueError: a negative number of episodes, a task that is none of `TASKS`, or no report.
    """
    if episodes < 0:
        raise ValueError(f"episodes is {episodes}; expected 0 (endless) or more")
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; expected one of {', '.join(TASKS)}")
    if is_none(report):
        raise ValueError(f"report is {report!r}; expected a path: it is how a run is judged")


def supply(task: str) -> dict[str, Value]:
    """Parameters of the task node in simulation: who brings the objects."""
    # A bin is filled by a robot that is never put back home.
    return {"reset_service": "/sim/supply"} if task == "picking" else {}


def is_none(path: str) -> bool:
    """Whether a path is not given. launch takes no empty arguments, so there is a word for it."""
    return path in ("", "none")


def convert(kind: Any, name: str, text: str) -> Any:
    """Read an argument given as text, by the type of its default.

    Raises:
        ValueError: the text does not say a value of that type.
    """
    if kind is bool:
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"argument {name!r} is {text!r}; expected true or false (or 1 or 0)")
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"argument {name!r} is {text!r}; expected {kind.__name__}") from error


def arguments_from(kind: type[Arguments], texts: Mapping[str, str]) -> Arguments:
    """Arguments from texts, as a command line or launch gives them.

    Args:
        kind: dataclass of the arguments, each with a default
        texts: name -> text

    Raises:
        ValueError: a name is unknown or a value malformed.
    """
    kinds = {one.name: type(one.default) for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(texts) - set(kinds))
    if unknown:
        raise ValueError(f"unknown arguments {unknown}; expected some of {sorted(kinds)}")
    return kind(**{name: convert(kinds[name], name, text) for name, text in texts.items()})


def sim_arguments(texts: Mapping[str, str]) -> SimArguments:
    """`arguments_from` texts for a run in simulation."""
    return arguments_from(SimArguments, texts)


def check_spelling(names: Iterable[str], kind: type = SimArguments) -> None:
    """Refuse names that look like an argument's and are none: ``ros2 launch`` takes any name without a word.

    Raises:
        ValueError: a name is nearly that of an argument of ``kind``.
    """
    known = [one.name for one in fields(kind)]
    for name in names:
        near = get_close_matches(name, known, n=1, cutoff=_NEARLY)
        if near and name not in known:
            raise ValueError(f"unknown argument {name!r}; did you mean {near[0]!r}?")


def described_arguments(kind: type = SimArguments) -> list[tuple[str, str, str]]:
    """Name, default as text, and description of every argument of ``kind``."""
    texts, described = _docstrings(kind), []
    for one in fields(kind):
        default = str(one.default).lower() if isinstance(one.default, bool) else str(one.default)
        described.append((one.name, default, texts[one.name]))
    return described


def _docstrings(kind: type) -> dict[str, str]:
    """The line under each field of a dataclass, so that --help and the code cannot differ."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            found[statement.target.id] = ast.literal_eval(following.value)  # type: ignore[union-attr]
    return found


def own_node(
    files: tuple[Path, ...], package: str, executable: str, parameters: Mapping[str, Value], **more: Any
) -> NodeProcess:
    """A node of one of our packages, called as its package; parameters win over files of them."""
    module = f"{package}.{executable}"
    return NodeProcess(package, executable, module, package, files, parameters, **more)


def sim_graph(arguments: SimArguments) -> Graph:
    """The graph of a run in simulation: grasp_sim in place of the robot's drivers and cameras."""
    files = [shared_file("config", "sim.yaml")]
    if not is_none(arguments.parameters):
        files.append(absolute(arguments.parameters))
    report, policy = absolute(arguments.report), absolute(arguments.policy)
    labels = ["mode=sim"] + [
        f"{name}={getattr(arguments, name)}" for name in ("task", "policy", "objects", "seed", "lockstep")
    ]

    process = partial(own_node, tuple(files))
    processes = [
        process(
            "grasp_sim",
            "sim_node",
            {
                "objects": arguments.objects,
                "seed": arguments.seed,
                "lockstep": arguments.lockstep,
                "view": arguments.view,
                "contact_sheet": _absolute_or_empty(arguments.contact_sheet),
                "video": _absolute_or_empty(arguments.video),
            },
        ),
        # It is armed and disarmed several times an episode, and would say so each time.
        process("grasp_control", "control_node", {}, log_level="warn"),
        process("grasp_policy", "policy_node", {"policy": str(policy)}),
        process(
            "grasp_task",
            "task_node",
            {
                "mode": arguments.task,
                **supply(arguments.task),
                "episodes": arguments.episodes,
                "autostart": True,
                "autostart_listener": "" if is_none(arguments.record) else RECORDER,
                "report": str(report),
                "labels": labels,
            },
            ends_graph=True,
        ),
    ]
    if arguments.rates:
        processes.append(
            NodeProcess("grasp_bringup", "rates", "grasp_bringup.rates", "grasp_rates", tuple(files), {})
        )
    recording = None if is_none(arguments.record) else absolute(arguments.record)
    if recording is not None:
        processes.append(recorder(recording, tuple(files)))
    return Graph(
        tuple(processes),
        report=report,
        endless=arguments.episodes == 0,
        policy=policy,
        recording=recording,
        environment=environment_of_nodes(alone=True),
    )


def environment_of_nodes(alone: bool) -> dict[str, str]:
    """Environment of a graph's processes, where the caller's is silent.

    Args:
        alone: whether they are to talk to this machine only
    """
    return {**(ALONE if alone else {}), PROFILES: str(shared_file("config", "fastdds.xml"))}


def recorder(recording: Path, files: tuple[Path, ...], more_topics: Sequence[str] = ()) -> NodeProcess:
    """The node that records what decisions see, and more, into a file that does not exist yet."""
    module = "grasp_bringup.recorder_node"
    told: dict[str, Value] = {"file": str(recording)}
    if more_topics:
        told["more_topics"] = list(more_topics)
    return NodeProcess("grasp_bringup", "recorder_node", module, RECORDER, files, told)


def absolute(path: str) -> Path:
    """A path as meant from where the command runs."""
    return Path(path).expanduser().absolute()


def _absolute_or_empty(path: str) -> str:
    return "" if is_none(path) else str(absolute(path))
