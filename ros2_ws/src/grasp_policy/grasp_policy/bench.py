"""Times a policy on this machine, alone and in its node: `ros2 run grasp_policy bench --policy FILE`.

Everything is measured in one run, so that ratios mean something: the policy's step alone, from messages to a
decision, the node from images to target, and, where grasp_control is installed, from camera to command.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context

from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_policy.bench_robot import BenchError, BenchRobot, joint_state_message, noise_images
from grasp_policy.deciding import Decider
from grasp_policy.pairing import PairingLimits
from grasp_policy.policy_file import Policy, PolicyFileError, load_policy
from grasp_policy.workcell_contract import workcell_contract

__all__ = ["figures", "main", "measure"]

DONE, NO_ANSWER, REFUSED = 0, 1, 2
"""Exit status: measured; a node did not answer; the policy file or a provider is refused."""
BARE, PACED = "bare inference", "bare inference, at the cameras' pace"
DECISION, INFERENCE = "messages to decision, in one process", "inference, in the node"
WAY_IN, NODE = "transport: images sent to node has them", "node path: has images to target sent"
TARGET, COMMAND = "images sent to target sent", "age: images sent to command sent"
BASES = (BARE, PACED)
"""What ratios are to. Between two frames a processor's caches go cold and its clock falls: inference called
at the cameras' pace takes longer than inference called without a pause, in a node or not."""
_WARM_UP = 30
"""steps of each kind before any is timed"""
_IMAGES = 16
_CONTROL = "grasp_control.control_node"


def measure(
    policy: Path, providers: Sequence[str], threads: int, frames: int
) -> tuple[dict[str, np.ndarray], Policy]:
    """Time everything, `frames` times each.

    Returns:
        seconds by what was timed, (n,); and the policy

    Raises:
        PolicyFileError: the file or a provider is refused.
        BenchError: a node did not answer.
    """
    loaded = load_policy(policy, workcell_contract(), providers, threads)
    period_s = 1.0 / loaded.spec.control_rate_hz
    # Half before and half after the node: a machine's speed drifts.
    halves = [_bare(loaded, frames // 2)]
    paced = [_bare(loaded, frames // 2, period_s)]
    found = {DECISION: _decisions(loaded.sibling(), frames)}
    found |= _in_the_node(policy, providers, threads, frames, loaded)
    halves.append(_bare(loaded, frames - frames // 2))
    paced.append(_bare(loaded, frames - frames // 2, period_s))
    return {BARE: np.concatenate(halves), PACED: np.concatenate(paced), **found}, loaded


def figures(found: Mapping[str, np.ndarray], period_s: float) -> dict[str, Any]:
    """Medians and 99th percentiles in ms, and the ratios.

    Args:
        found: seconds by what was timed.
        period_s: time between two frames.
    """
    rows = {
        name: {
            "count": len(seconds),
            "p50_ms": 1e3 * float(np.percentile(seconds, 50)),
            "p99_ms": 1e3 * float(np.percentile(seconds, 99)),
        }
        for name, seconds in found.items()
        if len(seconds)
    }
    ratios = {
        base: {name: row["p50_ms"] / rows[base]["p50_ms"] for name, row in rows.items()}
        for base in BASES
        if base in rows
    }
    periods = {"age p99": rows[COMMAND]["p99_ms"] / (1e3 * period_s)} if COMMAND in rows else {}
    return {"timed": rows, "ratios_of_medians": ratios, "frame_periods": periods}


def _bare(policy: Policy, count: int, pause_s: float = 0.0) -> np.ndarray:
    images = [_pixels(image) for image in noise_images(*_size(policy), _IMAGES)]
    position, velocity = np.array(HOME_POSITION), np.zeros(len(JOINT_NAMES))
    seconds = []
    for index in range(_WARM_UP + count):
        left, right = images[index % _IMAGES], images[(index + 1) % _IMAGES]
        began_s = time.perf_counter()
        policy.step(left, right, position, velocity)
        seconds.append(time.perf_counter() - began_s)
        if pause_s:
            time.sleep(pause_s)
    return np.array(seconds[_WARM_UP:])


def _decisions(policy: Policy, count: int) -> np.ndarray:
    """The node's own way from messages to a decision, without ROS around it."""
    period_ns = round(1e9 / policy.spec.control_rate_hz)
    decider = Decider(policy, PairingLimits(period_ns))
    images = noise_images(*_size(policy), _IMAGES)
    joints = joint_state_message(list(HOME_POSITION), [0.0] * len(JOINT_NAMES))
    decider.start(0)
    seconds = []
    for index in range(_WARM_UP + count):
        now_ns = index * period_ns
        left, right = images[index % _IMAGES], images[(index + 1) % _IMAGES]
        for message in (left, right, joints):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
        began_s = time.perf_counter()
        decider.take_joint_state("/joint_states", joints, now_ns)
        decider.take_image(0, "left", left, now_ns)
        decider.take_image(1, "right", right, now_ns)
        observation = decider.observation(now_ns)
        assert observation is not None
        decider.decide(observation)
        seconds.append(time.perf_counter() - began_s)
    return np.array(seconds[_WARM_UP:])


def _in_the_node(
    policy: Path, providers: Sequence[str], threads: int, frames: int, loaded: Policy
) -> dict[str, np.ndarray]:
    rate_hz = loaded.spec.control_rate_hz
    with_control = importlib.util.find_spec("grasp_control") is not None
    told = {"policy": str(policy), "providers": list(providers), "threads": threads}
    values = [part for key, value in told.items() for part in ("-p", f"{key}:={json.dumps(value)}")]
    commands = {"grasp_policy": [sys.executable, "-m", "grasp_policy.policy_node", "--ros-args", *values]}
    if with_control:
        commands["grasp_control"] = [sys.executable, "-m", _CONTROL]
    with _alone() as (context, environment), _running(commands, environment):
        robot = BenchRobot(context, noise_images(*_size(loaded), _IMAGES), rate_hz)
        try:
            if with_control:
                robot.bring_up("/grasp_control")
                robot.arm()
            robot.bring_up("/grasp_policy")
            patience_s = 180.0 + 4.0 * frames / rate_hz
            wanted = _WARM_UP + frames
            robot.run_until(lambda: len(robot.inference_ns) >= wanted, f"{wanted} targets", patience_s)
            return _stretches(robot)
        finally:
            robot.destroy_node()


def _stretches(robot: BenchRobot) -> dict[str, np.ndarray]:
    stamps = sorted(set(robot.sent_ns) & set(robot.target_ns) & set(robot.inference_ns))[_WARM_UP:]
    way_in = [robot.taken_ns[stamp] - robot.sent_ns[stamp] for stamp in stamps]
    node = [robot.target_ns[stamp] - robot.taken_ns[stamp] for stamp in stamps]
    target = [robot.target_ns[stamp] - robot.sent_ns[stamp] for stamp in stamps]
    inference = [robot.inference_ns[stamp] for stamp in stamps]
    sent_ns = np.array([sent for sent, _ in robot.commands_ns], np.int64)
    ages = []
    for stamp in stamps:
        accepted_ns = robot.accepted_ns.get(stamp)
        if accepted_ns is None:
            continue
        place = int(np.searchsorted(sent_ns, accepted_ns, side="right"))
        if place < len(sent_ns):
            ages.append(int(sent_ns[place]) - robot.sent_ns[stamp])
    named = {INFERENCE: inference, WAY_IN: way_in, NODE: node, TARGET: target, COMMAND: ages}
    return {name: 1e-9 * np.array(nanoseconds, np.float64) for name, nanoseconds in named.items()}


@contextmanager
def _alone() -> Iterator[tuple[Context, dict[str, str]]]:
    """A ROS domain of this machine alone: what is commanded here must never reach a robot."""
    domain = 1 + os.getpid() % 100
    alone = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain)}
    os.environ |= alone
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        yield context, {**os.environ, **alone}
    finally:
        context.try_shutdown()


@contextmanager
def _running(commands: Mapping[str, list[str]], environment: dict[str, str]) -> Iterator[None]:
    """Nodes in processes of their own, which end with this, also when SIGTERM ends it."""
    processes: list[subprocess.Popen] = []
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for command in commands.values():
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        signal.signal(signal.SIGTERM, previous)


def _size(policy: Policy) -> tuple[int, int]:
    return policy.spec.image_width, policy.spec.image_height


def _pixels(image: Any) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def _table(summed: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':44}{'count':>8}{'p50, ms':>10}{'p99, ms':>10}{'p50 / bare':>12}{'/ at pace':>12}"]
    for name, row in summed["timed"].items():
        ratios = "".join(f"{summed['ratios_of_medians'][base][name]:12.2f}" for base in BASES)
        lines.append(f"{name:44}{row['count']:8d}{row['p50_ms']:10.2f}{row['p99_ms']:10.2f}{ratios}")
    lines += [f"{name}: {value:.2f} frame periods" for name, value in summed["frame_periods"].items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `bench`: a table, and the same as JSON on the last line; the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description="Time a policy, alone and in its node.")
    parser.add_argument("--policy", type=Path, default=Path("models/stereo_student.onnx"), help="policy file")
    parser.add_argument(
        "--providers", nargs="+", default=["CPUExecutionProvider"], help="in order; each must"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads within an operator (default: 1)")
    parser.add_argument("--frames", type=int, default=600, help="steps that are timed (default: 600)")
    given = parser.parse_args(arguments)
    try:
        found, policy = measure(given.policy, given.providers, given.threads, given.frames)
    except PolicyFileError as error:
        print(f"bench: {error}", file=sys.stderr)
        return REFUSED
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return NO_ANSWER
    summed = figures(found, 1.0 / policy.spec.control_rate_hz)
    print(_table(summed))
    about = {
        "policy": given.policy.name,
        "sha256": policy.sha256,
        "providers": policy.providers,
        "threads": policy.threads,
        "runtime": policy.runtime,
        "image": _size(policy),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
    }
    print(json.dumps({**about, **summed}))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
