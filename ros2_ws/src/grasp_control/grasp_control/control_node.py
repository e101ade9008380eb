"""The command node: moves messages between ROS topics and the safety core."""

import gc
import signal
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from grasp_control.diagnostics import TickTimes, command_status
from grasp_control.driver_link import DriverLink
from grasp_control.drivers import ImaginedRobot, StateMerger, StateReader
from grasp_control.guard import CollisionGuard
from grasp_control.parameters import Settings, declare_parameters, read_settings
from grasp_control.safety import Answer, Cause, Command, CommandCore, State
from grasp_description.robot import JOINT_NAMES

NODE_NAME = "grasp_control"
HOUSEKEEPING_S = 0.1
DISARM_PATIENCE_S = 2.0
"""Time on the machine's clock after which a disarm no longer waits for the robot to stand (its clock may have
stopped)."""
FAREWELL_S = 1.0
"""Time on the machine's clock that a stop has when the process is asked to end."""
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_HISTORY = 100
"""Messages kept for who listens: at least 0.3 s, for one who counts or records and is behind for a moment."""


class ControlNode(LifecycleNode):
    """Lifecycle node ``/grasp_control``; see the README for its topics, services and parameters."""

    def __init__(self, **kwargs) -> None:
        super().__init__(NODE_NAME, **kwargs)
        declare_parameters(self)
        self._core: CommandCore | None = None
        self._settings: Settings | None = None
        self._times: TickTimes | None = None
        self._timer = None
        self._entities: list = []
        self._link: DriverLink | None = None
        self._merger = StateMerger(())
        self._imagined = ImaginedRobot(())
        self._steps_back = 0
        self._ticked_s = time.monotonic()
        self._disarmed: Future | None = None
        self._disarm_deadline_s = 0.0
        self._word = ""
        self._housekeepings = 0
        # From the start, so that whoever must miss nothing has found them before anything moves.
        self._command = self.create_lifecycle_publisher(JointState, "/control/command", _HISTORY)
        self._accepted = self.create_lifecycle_publisher(Header, "/control/accepted_target", _HISTORY)
        self._state_publisher = self.create_publisher(String, "/control/state", _LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # On the machine's clock: these go on when /clock stands.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(HOUSEKEEPING_S, self._keep_house, clock=self._steady)
        self._tell()

    @property
    def core(self) -> CommandCore | None:
        """The safety core; None while unconfigured."""
        return self._core

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, build the core, open topics and services."""
        try:
            self._settings = read_settings(self)
            guard = CollisionGuard(self._settings.guard) if self._settings.guard else None
            self._core = CommandCore(self._settings.limits, self._settings.control, guard)
            self._times = TickTimes(self._settings.control.period_s)
            self._open(self._settings)
        except Exception as error:  # noqa: BLE001 rclpy would swallow it, and say nothing
            self.get_logger().error(f"Cannot configure: {error}")
            self._close()
            return TransitionCallbackReturn.FAILURE
        # A full collection of what the libraries have brought takes many ticks.
        gc.collect()
        gc.freeze()
        result = super().on_configure(state)
        self._tell()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start ticking, disarmed."""
        assert self._settings is not None
        result = super().on_activate(state)
        # A machine's clock that is set back would stop a timer of its own until it has caught up.
        clock = self.get_clock() if self._on_sim_time else self._steady
        self._ticked_s = time.monotonic()
        self._timer = self.create_timer(self._settings.control.period_s, self._on_tick, clock=clock)
        self._tell()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop ticking. Refused while in motion: the robot is then stopped, and deactivates once it
        stands."""
        assert self._core is not None
        if self._core.moving:
            self._core.stop(self._now_s())
            self._tell()
            self.get_logger().warning(
                "Refused to deactivate in motion: decelerating; deactivate again at rest"
            )
            return TransitionCallbackReturn.FAILURE
        self._stop_ticking("")
        result = super().on_deactivate(state)
        self._tell()
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close topics and services, forget the core."""
        self._close()
        result = super().on_cleanup(state)
        self._tell()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state; a robot in motion is decelerated first."""
        self.brake()
        self._close()
        result = super().on_shutdown(state)
        self._tell()
        return result

    def begin_stop(self) -> None:
        """Decelerate, if in motion; for the process's end."""
        if self._core is not None and self._core.moving:
            self._core.stop(self._now_s())
            self._tell()

    def brake(self) -> None:
        """Decelerate now, without an executor, if in motion; returns when the robot stands."""
        self.begin_stop()
        deadline = time.monotonic() + FAREWELL_S
        while self._core is not None and self._core.moving and time.monotonic() < deadline:
            self._on_tick()
            time.sleep(self._core.config.period_s)

    @property
    def _on_sim_time(self) -> bool:
        return bool(self.get_parameter("use_sim_time").value)

    # Entities.

    def _open(self, settings: Settings) -> None:
        parts = [driver.part for driver in settings.drivers]
        self._merger, self._imagined = StateMerger(parts), ImaginedRobot(parts)
        self._link = DriverLink(self, settings, self._on_joint_states)
        target_topic = settings.topics["target_topic"]
        targets = self.create_subscription(JointTrajectory, target_topic, self._on_target, 1)
        arm = self.create_service(Trigger, "~/arm", self._on_arm)
        # In a group of its own, since it waits while ticks go on.
        waiting = MutuallyExclusiveCallbackGroup()
        # rclpy awaits coroutines here, which its annotations do not say.
        on_disarm: Any = self._on_disarm
        disarm = self.create_service(Trigger, "~/disarm", on_disarm, callback_group=waiting)
        self._entities = [
            (self.destroy_subscription, targets),
            *((self.destroy_service, entity) for entity in (arm, disarm)),
        ]

    def _close(self) -> None:
        self._stop_ticking("closed")
        for destroy, entity in self._entities:
            destroy(entity)
        self._entities = []
        if self._link is not None:
            self._link.close()
        self._core = self._link = None

    def _stop_ticking(self, reason: str) -> None:
        if self._core is not None:
            self._core.abandon(reason)
        self._answer_disarm()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    # Messages.

    def _on_tick(self) -> None:
        started = time.perf_counter()
        assert self._core is not None
        assert self._times is not None
        assert self._link is not None
        self._link.take_waiting()
        self._ask_session()
        self._note_gap()
        now = self.get_clock().now()
        now_s = _seconds(now.nanoseconds)
        command = self._core.tick(now_s)
        if command is not None:
            self._publish(command, now.to_msg())
        self._answer_disarm()
        self._tell()
        self._times.note(now_s, time.perf_counter() - started)

    def _note_gap(self) -> None:
        """Let the core know how long the drivers have got nothing.

        Not in simulation, where the robot's time is the simulator's: it may wait for us.
        """
        assert self._core is not None
        before, self._ticked_s = self._ticked_s, time.monotonic()
        if not self._on_sim_time:
            self._core.note_gap(self._ticked_s - before)

    def _ask_session(self) -> None:
        """Let the core know whether the arm's controller takes commands."""
        assert self._core is not None
        assert self._link is not None
        if self._link.session is not None:
            self._core.interlock = self._link.session.why_not_commanding(time.monotonic())

    def _publish(self, command: Command, stamp) -> None:
        assert self._core is not None
        assert self._link is not None
        assert self._settings is not None
        message = JointState(name=list(JOINT_NAMES))
        message.header.stamp = stamp
        message.position, message.velocity = command.position.tolist(), command.velocity.tolist()
        self._link.publish(command.position, stamp, arm_listens=not self._core.interlock)
        self._command.publish(message)
        if self._settings.dry_run:
            self._imagined.follow(command)
            text = ", ".join(f"{value:.3f}" for value in command.position)
            self.get_logger().info(f"Dry run, not commanded: {text} rad", throttle_duration_sec=1.0)

    def _on_joint_states(self, reader: StateReader, message: JointState) -> None:
        assert self._core is not None
        assert self._link is not None
        core, position, velocity = self._core, list(message.position), list(message.velocity)
        try:
            names, parts = reader.read(list(message.name))
        except ValueError as error:
            core.counts["measurements_rejected"] += 1
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        if core.state in (State.ARMED, State.HOLDING):
            position, velocity = self._imagined.instead_of(names, position, velocity)
        else:
            self._imagined.measured(parts)
        stamp_s = _stamp_s(message.header)
        answer = core.update_measurement(names, position, velocity, stamp_s, self._now_s())
        if not answer:
            self.get_logger().warning(answer.reason, throttle_duration_sec=1.0)
            return
        if core.counts["clock_steps_back"] != self._steps_back:
            # What was measured on the old time would look fresh on the new one.
            self._steps_back = core.counts["clock_steps_back"]
            self._merger.forget()
        merged_ns = self._merger.take(parts, Time.from_msg(message.header.stamp).nanoseconds)
        if merged_ns is not None:
            stamp = Time(nanoseconds=merged_ns).to_msg()
            self._link.publish_states(core.measured_position, core.measured_velocity, stamp)

    def _on_target(self, message: JointTrajectory) -> None:
        assert self._core is not None
        # A message of no point, or of a whole trajectory, is no target; the core counts and refuses it.
        points = list(message.points)
        positions = list(points[0].positions) if len(points) == 1 else []
        answer = self._core.accept_target(
            list(message.joint_names), positions, _stamp_s(message.header), self._now_s()
        )
        if answer:
            self._accepted.publish(message.header)
        elif self._core.state is State.ARMED:
            self.get_logger().warning(answer.reason, throttle_duration_sec=1.0)

    def _on_arm(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._core is not None
        self._ask_session()
        answer = self._arm(self._core)
        response.success, response.message = answer.accepted, answer.reason or "armed"
        # One call a severity: rclpy refuses two from the same place.
        if answer:
            self.get_logger().info(f"Arming: {response.message}")
        else:
            self.get_logger().warning(f"Arming: {response.message}")
        self._tell()
        return response

    def _arm(self, core: CommandCore) -> Answer:
        if self._timer is None:
            return Answer(False, "not active")
        if self._imagined.stands and core.state is not State.ARMED and not core.moving:
            # Of the robot itself nothing is known since: it has to be measured first.
            core.abandon("")
            core.forget_measurements()
            self._imagined.vanish()
        return core.arm(self._now_s())

    async def _on_disarm(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer once the robot is disarmed, which takes as long as it decelerates."""
        assert self._core is not None
        response.success, response.message = True, "disarmed"
        if not self._core.disarm(self._now_s()):
            # At once, not with the next tick: a simulator in lockstep may be holding the clock for a target.
            self._tell()
            self._disarmed = Future()
            self._disarm_deadline_s = time.monotonic() + DISARM_PATIENCE_S
            await self._disarmed
            response.message = (
                self._core.reason if self._core is not None and self._core.reason else "disarmed"
            )
        self._tell()
        return response

    def _answer_disarm(self) -> None:
        if self._disarmed is not None and (self._core is None or self._core.state is State.DISARMED):
            self._disarmed.set_result(None)
            self._disarmed = None

    # What is told.

    def _keep_house(self) -> None:
        if (
            self._disarmed is not None
            and time.monotonic() > self._disarm_deadline_s
            and self._core is not None
        ):
            self._core.abandon("disarmed in motion: the node's clock stood still")
            self._answer_disarm()
            self._tell()
        self._housekeepings += 1
        if self._housekeepings * HOUSEKEEPING_S >= 1.0:
            self._housekeepings = 0
            self._diagnose()

    def _tell(self) -> None:
        """Publish the state's word, and why, if it is another than before."""
        word = self._state_word()
        if word == self._word:
            return
        self._word = word
        reason = f": {self._core.reason}" if self._core is not None and self._core.reason else ""
        # One call a severity: rclpy refuses two from the same place.
        asked_for = self._core is not None and self._core.reason == Cause.REQUEST
        if word in (State.HOLDING, State.FAULTED) and not asked_for:
            self.get_logger().warning(f"State {word}{reason}")
        else:
            self.get_logger().info(f"State {word}{reason}")
        self._state_publisher.publish(String(data=word))
        self._diagnose()

    def _diagnose(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [command_status(self._word, self._core, self._now_s(), self._times)]
        self._diagnostics.publish(message)

    def _state_word(self) -> str:
        if self._core is None:
            return "unconfigured"
        return "inactive" if self._timer is None else str(self._core.state)

    def _now_s(self) -> float:
        return _seconds(self.get_clock().now().nanoseconds)


def _seconds(nanoseconds: int) -> float:
    return nanoseconds * 1e-9


def _stamp_s(header: Header) -> float:
    return _seconds(header.stamp.sec * 10**9 + header.stamp.nanosec)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is asked to end (SIGINT, SIGTERM; SIGHUP: its terminal is gone).

    A robot in motion is decelerated first.
    """
    # rclpy's own handlers would close the topics before the robot stands.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    asked_to_end: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _frame: asked_to_end.append(received))
    node, executor = ControlNode(), SingleThreadedExecutor()
    executor.add_node(node)
    try:
        # Housekeeping wakes the executor often enough for signals to be seen.
        while rclpy.ok() and not asked_to_end:
            executor.spin_once()
        node.begin_stop()
        deadline = time.monotonic() + FAREWELL_S
        while node.core is not None and node.core.moving and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.02)
    except (KeyboardInterrupt, ExternalShutdownException):
        node.get_logger().info("Ended from outside")
    except Exception:
        node.brake()
        raise
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        gc.unfreeze()  # else ruckig's bindings complain of what is not freed


if __name__ == "__main__":
    main()
