"""/grasp_task: runs the episodes and keeps the score. It only moves messages: `grasp_task.episode` decides.

Run it as ``python -m grasp_task.task_node --ros-args …``.
"""

import signal
import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, PointStamped, PoseStamped
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from rich.console import Console
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from grasp_description.robot import JOINT_NAMES
from grasp_task.diagnostics import collect_counters
from grasp_task.episode import State, Step, advance, refusal
from grasp_task.events import (
    Ask,
    CloseEpisode,
    ControlSaid,
    Effect,
    Event,
    Home,
    Instant,
    NoteFault,
    OpenEpisode,
    Phase,
    Request,
    Sighting,
    Start,
    Stop,
    TargetAccepted,
    Tick,
)
from grasp_task.parameters import declare_parameters
from grasp_task.picking import Grip, Search
from grasp_task.requests import RequestDesk
from grasp_task.scoreboard import EpisodeResult, Scoreboard
from grasp_task.scoring import EpisodeScorer

_LATEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_TICK_S = 0.02
"""s of wall time between looks at the limits"""
_EXPLANATION_S = 0.3
"""s of wall time that the cause of a stop may come after the stop"""
_ROUNDING_S = 1e-6
"""s, stamps are rounded to ns"""
_EARLY_POSES = 64
"""positions kept at most that came before it was known when the episode began"""
_LAST_WORDS_S = 1.5
"""s of wall time that an interrupted node takes at most to stop what moves"""
_RESTING = (Step.IDLE, Step.STOPPED, Step.FAULT, Step.DONE)
EXIT_WHOLE, EXIT_ENDED_EARLY, EXIT_NO_INFERENCE, EXIT_INTERRUPTED = 0, 1, 3, 130


def _seconds(stamp: Time) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def _vector(point: Point) -> np.ndarray:
    return np.array([point.x, point.y, point.z])


class TaskNode(Node):
    """Moves messages between the graph and the state machine."""

    def __init__(self, **arguments: Any) -> None:
        """Takes the arguments of `rclpy.node.Node`, for tests."""
        super().__init__("grasp_task", **arguments)
        self.parameters = declare_parameters(self)
        self.state = State()
        self.scoreboard = Scoreboard(wanted=self.parameters.rules.episodes, settings=self.parameters.labels)
        picking, source = self.parameters.picking, self.parameters.score_source
        self._search = Search(picking) if picking is not None else None
        self._grip = Grip()
        self._true_position: np.ndarray | None = None
        self._last_joints: JointState | None = None
        self._handed_over_s = 0.0
        self._cycle_began_s = 0.0
        self._scorer = EpisodeScorer(scored=bool(source) or picking is not None)
        own = "the policy's own estimate and the hand's joints" if picking is not None else "nothing"
        self.scoreboard.judged_by = source or own
        self._desk = RequestDesk(self, self.parameters, self._dispatch)
        self._console = Console(highlight=False)
        self._events: deque[Event] = deque()
        self._advancing = False
        self._early_poses: deque[tuple[float, np.ndarray]] = deque(maxlen=_EARLY_POSES)
        self._unexplained: tuple[str, float] | None = None
        self._complaints: dict[str, str] = {}
        self._make_publishers()
        self._make_subscriptions()
        self._make_services_and_timers()
        self._publish_state()
        self._publish_score()
        if self.parameters.report:
            self.scoreboard.write(Path(self.parameters.report))  # refused here where it cannot be
        self._starting = self.parameters.autostart
        self._patience_ends_s = time.monotonic() + self.parameters.rules.startup_limit_s
        if not self._starting:
            service = self.resolve_service_name("/grasp/start")
            how = f"ros2 service call {service} std_srvs/srv/Trigger, or grasp_bringup's `call start`"
            self.get_logger().info(f"waiting for a person: {how}")
        self._start_by_itself()

    def _make_publishers(self) -> None:
        self._target_publisher = self.create_publisher(JointTrajectory, "/policy/joint_target", 1)
        self._state_publisher = self.create_publisher(String, "/grasp/state", _LATCHED)
        self._score_publisher = self.create_publisher(DiagnosticStatus, "/grasp/score", _LATCHED)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def _make_subscriptions(self) -> None:
        self.create_subscription(JointState, "/joint_states", self._on_joint_states, _LATEST)
        self.create_subscription(String, "/control/state", self._on_control_state, _LATCHED)
        # Each is counted, and this node may be behind for a moment.
        self.create_subscription(Header, "/control/accepted_target", self._on_accepted, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        if self.parameters.score_source:
            self.create_subscription(PoseStamped, self.parameters.score_source, self._on_object_pose, 10)
        if self.parameters.picking is not None:
            self.create_subscription(PointStamped, "/policy/object_position", self._on_estimate, 10)
            self.create_subscription(JointTrajectory, "/policy/joint_target", self._on_policy_target, 1)

    def _make_services_and_timers(self) -> None:
        for name, command in (("start", Start()), ("stop", Stop()), ("home", Home())):
            self.create_service(
                Trigger, f"/grasp/{name}", lambda _, response, command=command: self._serve(command, response)
            )
        # Limits hold in wall time too: the node's clock stands still while the simulator waits.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_TICK_S, self._on_tick, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    # The machine

    def _now(self) -> Instant:
        return Instant(1e-9 * self.get_clock().now().nanoseconds, time.monotonic())

    def _dispatch(self, event: Event) -> None:
        """Give the machine an event and carry out what it says; events that arise meanwhile wait."""
        self._events.append(event)
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._events:
                self._take(self._events.popleft())
        finally:
            self._advancing = False

    def _take(self, event: Event) -> None:
        before, now = self.state, self._now()
        self.state, effects = advance(before, event, now, self.parameters.rules)
        if before.step in _RESTING and not self.resting:
            self._cycle_began_s = now.node_s
        if self._search is not None and before.step is Step.SEARCH_POLICY:
            self._search.restart()
        if self.state.phase is not before.phase:
            self._publish_state()
            self._log_phase()
        # What is asked of other nodes comes before the books, which may fail or take their time.
        for effect in sorted(effects, key=lambda one: not isinstance(one, Ask)):
            self._carry_out(effect, before, now)

    def _carry_out(self, effect: Effect, before: State, now: Instant) -> None:
        match effect:
            case Ask(request):
                self._ask(request)
            case OpenEpisode():
                self._early_poses.clear()
                self._scorer.open(*self._desk.object_told, wall_s=now.wall_s)
            case CloseEpisode(cause, counts):
                self.scoreboard.add(self._result(cause, counts, before, now))
                self._console.print(self.scoreboard.live_line(), markup=False, soft_wrap=True)
                self._publish_score()
                self._save()
            case NoteFault(cause):
                self.scoreboard.faults.append(cause)
                self._publish_score()
                self._save()

    def _ask(self, request: Request) -> None:
        self._desk.take(request, self.state.control)
        if request is Request.CARRY:
            self._grip.restart()
            # The fingers press on: the command node must not miss a target until the next joint state comes.
            last = self._last_joints
            if last is not None and _seconds(last.header.stamp) > self._handed_over_s:
                self._on_joint_states(last)

    def _result(self, cause: str, counts: bool, before: State, now: Instant) -> EpisodeResult:
        began, carried = before.acting_since_s, before.step is Step.CARRY
        duration = 0.0 if began is None else max(now.node_s - began, 0.0)
        if carried:
            # The way to the bin comes after the policy's part, which has lasted as long as it may.
            duration = self.parameters.rules.episode_length_s
            cause = cause or self._why_not_delivered()
        cycle, self._cycle_began_s = now.node_s - self._cycle_began_s, now.node_s
        result = self._scorer.close(cause, counts, duration, now.wall_s, cycle)
        return replace(result, grip_shift_rad=self._grip.shift_rad) if carried else result

    def _why_not_delivered(self) -> str:
        """Why what was carried is not over the bin, in words; empty if it is, as far as can be known."""
        picking, position = self.parameters.picking, self._true_position
        assert picking is not None
        if self.parameters.score_source:
            if position is None:
                return "no pose of the object arrived"
            x, y, z = position
            lost = f"lost on the way to the bin: it is at ({x:.2f}, {y:.2f}, {z:.2f}) m"
            return "" if picking.is_carried(position) else lost
        shift, most = self._grip.shift_rad, picking.grip_shift_rad
        lost = f"lost on the way to the bin: the hand closed by {shift:.2f} rad more; limit is {most:g} rad"
        return "" if shift <= most else lost

    # What comes in

    def _serve(self, command: Start | Stop | Home, response: Trigger.Response) -> Trigger.Response:
        why = refusal(self.state, command)
        response.success = not why
        if not why:
            self._dispatch(command)
        response.message = why or f"state {self.state.phase.value}"
        return response

    def _start_by_itself(self) -> None:
        """Begin, once whoever must not miss anything is ready; a fault is noted where that takes too long."""
        if not self._starting:
            return
        listener = self.parameters.autostart_listener
        ready = not listener or self.scoreboard.diagnostics.get(listener, {}).get("ready") == "true"
        if not ready and time.monotonic() < self._patience_ends_s:
            return
        self._starting = False
        if not ready:
            limit_s = self.parameters.rules.startup_limit_s
            cause = f"{listener} was not ready in {limit_s:g} s; begun without it"
            self.get_logger().error(cause)
            self._carry_out(NoteFault(cause), self.state, self._now())
        self._dispatch(Start())

    def _on_tick(self) -> None:
        self._start_by_itself()
        self._desk.poll()
        if self._unexplained is not None and time.monotonic() > self._unexplained[1]:
            self._explain(self._unexplained[0], "")
        self._dispatch(Tick(self._desk.waiting_for(), self._desk.motion_s))

    def _on_control_state(self, message: String) -> None:
        self._unexplained = None
        if message.data in ("holding", "faulted"):
            # Why comes on /diagnostics at the same moment; a fault without its cause would help nobody.
            self._unexplained = (message.data, time.monotonic() + _EXPLANATION_S)
        else:
            self._dispatch(ControlSaid(message.data))

    def _explain(self, word: str, reason: str) -> None:
        self._unexplained = None
        self._dispatch(ControlSaid(word, reason))

    def _on_accepted(self, message: Header) -> None:
        if self.state.step is Step.RUN:
            self.scoreboard.counters.inferences += 1
            self._dispatch(TargetAccepted(_seconds(message.stamp)))
            early = list(self._early_poses)
            self._early_poses.clear()
            for stamp_s, position in early:
                self._on_position(stamp_s, position)

    def _on_object_pose(self, message: PoseStamped) -> None:
        """The simulator's word: in picking it is asked for the verdict alone, never for what to do."""
        self._true_position = _vector(message.pose.position)
        if self._search is None:
            self._on_position(_seconds(message.header.stamp), self._true_position)

    def _on_estimate(self, message: PointStamped) -> None:
        stamp_s, position = _seconds(message.header.stamp), _vector(message.point)
        if self.state.step is not Step.SEARCH:
            self._on_position(stamp_s, position)
        elif self._search is not None:
            self._dispatch(Sighting(stamp_s, found=self._search.see(position)))

    def _on_position(self, stamp_s: float, position: np.ndarray) -> None:
        began = self.state.acting_since_s
        if began is None:
            # That of the first frame comes before the target made from it.
            self._early_poses.append((stamp_s, position))
        elif stamp_s >= began:
            self._judge(position, stamp_s - began)

    def _judge(self, position: np.ndarray, acted_s: float) -> None:
        """Score where the object is after ``acted_s`` of the episode; beyond its end nothing counts."""
        progress = self.state.progress
        if acted_s <= self.parameters.rules.episode_length_s + _ROUNDING_S:
            progress = self._scorer.see(position, acted_s)
        self._dispatch(replace(progress, until_s=acted_s))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.scoreboard.diagnostics[status.name] = {one.key: one.value for one in status.values}
            self._on_status(status.name, self.scoreboard.diagnostics[status.name])
            if status.level == DiagnosticStatus.ERROR and not status.name.startswith("grasp_task"):
                self._complaints[status.name] = status.message
            else:
                self._complaints.pop(status.name, None)
        collect_counters(self.scoreboard.counters, self.scoreboard.diagnostics)

    def _on_status(self, name: str, values: dict[str, str]) -> None:
        of_control = name.lstrip("/").startswith(self.parameters.control_node.lstrip("/"))
        if of_control and self._unexplained is not None and values.get("state") == self._unexplained[0]:
            self._explain(self._unexplained[0], values.get("reason", ""))

    def _on_policy_target(self, message: JointTrajectory) -> None:
        points = list(message.points)
        if self.state.step in (Step.RUN, Step.HAND_OVER) and points:
            named = dict(zip(message.joint_names, points[0].positions, strict=False))
            if named.keys() >= set(JOINT_NAMES):
                self._desk.handed_over = np.array([named[name] for name in JOINT_NAMES])
                self._handed_over_s = _seconds(message.header.stamp)

    def _on_joint_states(self, message: JointState) -> None:
        self._last_joints = message
        if not self._desk.watching:
            return
        columns = {name: column for column, name in enumerate(message.name)}
        if len(message.position) < len(columns) or any(name not in columns for name in JOINT_NAMES):
            return  # a partial message, as some drivers send: the command node judges staleness
        order = [columns[name] for name in JOINT_NAMES]
        velocity = np.array(message.velocity)
        velocity = velocity[order] if len(velocity) == len(columns) else np.zeros(0)
        position = np.array(message.position)[order]
        if self.state.step is Step.CARRY:
            self._grip.see(position)
        target = self._desk.follow(position, velocity, _seconds(message.header.stamp))
        if target is not None:
            self._publish_target(target, message.header.stamp)

    # What goes out

    def _publish_target(self, target: np.ndarray, stamp: Time) -> None:
        message = JointTrajectory(joint_names=list(JOINT_NAMES))
        message.header.stamp = stamp
        message.points = [JointTrajectoryPoint(positions=target.tolist())]
        self._target_publisher.publish(message)

    def _publish_state(self) -> None:
        self._state_publisher.publish(String(data=self.state.phase.value))

    def _publish_score(self) -> None:
        self._score_publisher.publish(self._status("grasp_task: score", self.scoreboard.key_values()))

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        values = {"state": self.state.phase.value, "step": self.state.step.value, "reason": self.state.reason}
        values["search"] = self.search_status
        message.status = [self._status("grasp_task: episode", values | self.scoreboard.key_values())]
        self._diagnostics_publisher.publish(message)

    def _status(self, name: str, values: dict[str, str]) -> DiagnosticStatus:
        fault = self.state.phase is Phase.FAULT or self.state.failed
        return DiagnosticStatus(
            level=DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK,
            name=name,
            message=self.state.reason or self.state.phase.value,
            hardware_id="grasp_task",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def _log_phase(self) -> None:
        phase = self.state.phase
        if phase is Phase.FAULT:
            self.get_logger().error(f"fault: {self.state.reason}")
        elif phase in (Phase.STOPPED, Phase.DONE) and self.state.reason:
            self.get_logger().warning(f"{phase.value}: {self.state.reason}")
        else:
            self.get_logger().debug(phase.value)

    def _save(self) -> bool:
        """Write the report, if one is wanted; whether that went well. A robot does not depend on a disk."""
        try:
            if self.parameters.report:
                self.scoreboard.write(Path(self.parameters.report))
        except OSError as error:
            self.get_logger().error(f"the report was not written: {error}", throttle_duration_sec=10.0)
            return False
        return True

    # The end

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self.state.step is Step.DONE

    @property
    def search_status(self) -> str:
        """What a search lacks, in words; empty when it has found an object, and where none is sought."""
        return self._search.why_not if self._search is not None else ""

    @property
    def resting(self) -> bool:
        """Whether nothing moves and nothing is asked."""
        return self.state.step in _RESTING

    def interrupt(self) -> None:
        """Stop, as /grasp/stop does, unless a fault is being stood down from anyway."""
        if not self.resting and self.state.step is not Step.STAND_DOWN:
            self._dispatch(Stop("interrupted"))

    def destroy_node(self) -> None:
        """Go, once the last state and score have been heard (or after half a second each)."""
        for publisher in (self._state_publisher, self._score_publisher):
            publisher.wait_for_all_acked(Duration(seconds=0.5))
        super().destroy_node()

    def conclude(self, interrupted: bool) -> int:
        """Judge the run, write the report and print the table; the exit status of the process."""
        status, self.scoreboard.outcome = self._verdict(interrupted)
        saved = self._save()
        self._console.print(self.scoreboard.table())
        return status if saved else status or EXIT_ENDED_EARLY

    def _verdict(self, interrupted: bool) -> tuple[int, str]:
        complaints = "".join(f"; {name} says: {text}" for name, text in self._complaints.items())
        if self.state.failed:
            return EXIT_ENDED_EARLY, f"ended early: {self.state.reason}{complaints}"
        if self.state.phase is Phase.FAULT:
            return EXIT_ENDED_EARLY, f"interrupted in fault: {self.state.reason}"
        if not self.scoreboard.counters.inferences:
            said = f"no inference happened: no target of the policy was ever accepted{complaints}"
            return EXIT_NO_INFERENCE, said
        if interrupted and self.scoreboard.wanted:
            return EXIT_INTERRUPTED, "interrupted"
        return EXIT_WHOLE, "ran whole"


def _spin(node: TaskNode, executor: SingleThreadedExecutor, interruptions: list[int]) -> None:
    """Spin until the run is over; if interrupted, until what moves has stopped or the time for it is up."""
    while not node.finished and not interruptions:
        executor.spin_once(timeout_sec=0.1)
    if node.state.failed:
        # What failed elsewhere is said on /diagnostics once a second; the report is to quote it.
        deadline = time.monotonic() + _LAST_WORDS_S
        while time.monotonic() < deadline and not interruptions:
            executor.spin_once(timeout_sec=0.1)
    if interruptions:
        _come_to_rest(node, executor)


def _come_to_rest(node: TaskNode, executor: SingleThreadedExecutor) -> None:
    node.interrupt()
    deadline = time.monotonic() + _LAST_WORDS_S
    while not node.resting and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)


def main() -> None:
    """Run the node until the run is over or it is interrupted; exits with `TaskNode.conclude`'s status."""
    interruptions: list[int] = []
    # rclpy's own handler would close the context, and with it the chance to stop and conclude in order.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _: interruptions.append(received))
    node, executor = TaskNode(), SingleThreadedExecutor()
    executor.add_node(node)
    try:
        _spin(node, executor, interruptions)
        status = node.conclude(interrupted=bool(interruptions))
    except Exception:
        _come_to_rest(node, executor)
        raise
    finally:
        node.destroy_node()
        try_shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
