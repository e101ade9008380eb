"""The real robot's graph, started by the runner, against grasp_sim, which speaks as the drivers do."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rclpy
from closed_loop import DOMAIN, Listener, Run, commands_by_tick, wait_until
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from stand_in import write_stand_in
from std_srvs.srv import Trigger

from grasp_bringup.report import write_report
from grasp_description.drivers import ALLEGRO_V4, LBR
from grasp_policy.recordings import Recording
from grasp_policy.replay import SAME
from grasp_policy.replay import main as replay

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the nodes' processes in /proc"),
]
EPISODE_TICKS = 120


def parameters(folder: Path, order_seed: int = 0, autostart: bool = True, listener: str = "") -> str:
    """A file of parameters: one short episode, drivers that list their joints in another order."""
    path = folder / f"rehearsal_{order_seed}.yaml"
    path.write_text(
        f"/grasp_sim: {{ros__parameters: {{driver_order_seed: {order_seed}, command_limit_s: 20.0}}}}\n"
        f"/grasp_task: {{ros__parameters: {{episode_length_s: 1.0, autostart: {str(autostart).lower()}, "
        f"autostart_listener: '{listener}'}}}}\n"
    )
    return str(path)


def rehearse(folder: Path, robot: str, order_seed: int, policy: Path) -> dict[int, tuple[float, ...]]:
    """What was commanded in an episode, by tick; it is recorded in ROBOT.mcap."""
    told = parameters(folder, order_seed, listener="grasp_recorder")
    recording = ("--record", str(folder / f"{robot}.mcap"))
    arguments = (
        "--rehearsal",
        "true",
        "--episodes",
        "1",
        "--policy",
        str(policy),
        "--parameters",
        told,
        *recording,
    )
    with Listener() as heard, Run(folder, "--robot-config", robot, *arguments, mode="real") as run:
        assert run.finish() == 0, run.output
        assert run.children() == {}
    assert (run.report["episodes"], run.report["outcome"]) == (1, "ran whole")
    assert run.report["counters"]["lockstep_timeouts"] == 0
    episodes = commands_by_tick(heard.commands, EPISODE_TICKS)
    assert len(episodes) == 1
    return episodes[0]


def test_an_episode_is_the_same_whichever_hand_driver_there_is_and_however_joints_are_ordered(tmp_path):
    policy = write_stand_in(tmp_path, sees=True)
    one = rehearse(tmp_path, "lbr_allegro_v4", 0, policy)
    other = rehearse(tmp_path, "lbr_allegro_v5", 7, policy)
    both = sorted(set(one) & set(other))
    # A listener may miss some of what is sent while the machine is busy.
    assert len(both) > 0.9 * EPISODE_TICKS
    assert np.ptp([one[tick] for tick in both], axis=0).max() > 0.01, "it moves"
    assert all(one[tick] == other[tick] for tick in both), "bit for bit"
    for robot in ("lbr_allegro_v4", "lbr_allegro_v5"):
        assert replay([str(tmp_path / f"{robot}.mcap")]) == SAME
        assert write_report(Recording(tmp_path / f"{robot}.mcap"), tmp_path / f"{robot}.html") == 1


class Operator:
    """Starts the run as a person would, and watches what the drivers say and hear."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node("operator", context=self._context)
        self.arm: list[np.ndarray] = []
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(
            JointState, LBR.states_topic, lambda message: self.arm.append(np.array(message.position)), qos
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def spin(self) -> bool:
        """Take in what has come; always false, to be used within conditions."""
        self._executor.spin_once(timeout_sec=0.05)
        return False

    def start(self) -> bool:
        """Call /grasp/start; whether it was accepted."""
        client = self.node.create_client(Trigger, "/grasp/start")
        wait_until(lambda: self.spin() or client.service_is_ready(), "the service /grasp/start")
        future = client.call_async(Trigger.Request())
        wait_until(lambda: self.spin() or future.done(), "the answer of /grasp/start")
        answer = future.result()
        return answer is not None and answer.success

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


def test_a_dry_run_waits_for_a_person_runs_its_episode_and_commands_no_driver(tmp_path):
    policy = write_stand_in(tmp_path, turn_rad_s=0.4)
    told = parameters(tmp_path, autostart=False)
    arguments = ("--rehearsal", "true", "--dry-run", "true", "--episodes", "1", "--parameters", told)
    operator = Operator()
    with Listener() as heard, Run(tmp_path, *arguments, "--policy", str(policy), mode="real") as run:
        ended = run.process.poll
        wait_until(
            lambda: operator.spin() or len(operator.arm) > 20 or ended() is not None, "the arm's driver"
        )
        assert ended() is None, run.output
        assert heard.commands == [], "nothing is armed before a person says so"
        assert operator.start()
        wait_until(lambda: operator.spin() or "grasp" in heard.words or ended() is not None, "the episode")
        listened = [
            operator.node.count_publishers(topic) for topic in (LBR.command_topic, ALLEGRO_V4.command_topic)
        ]
        wait_until(lambda: operator.spin() or ended() is not None, "the end")
        assert run.finish() == 0, run.output
    operator.close()
    assert listened == [0, 0]
    assert run.report["counters"]["inferences"] > 20
    assert np.ptp([command.position for command in heard.commands], axis=0).max() > 0.1, "computed"
    assert np.ptp(operator.arm, axis=0).max() < 0.02, "the arm stood"
    assert "Dry run, not commanded" in run.output
