"""The node ``/grasp_sim``: it only moves messages between ROS and `grasp_sim.world`.

Run it as ``python -m grasp_sim.sim_node --ros-args …``. README.md has its topics and parameters.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from collections.abc import Callable

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header, String
from std_srvs.srv import Trigger

from grasp_description.rendering import StereoRenderer
from grasp_sim.diagnostics import Counters, Reporter
from grasp_sim.driver_style import CommandHeard, CompanyError
from grasp_sim.drivers import CommandRefusedError, Drivers
from grasp_sim.lockstep import Lockstep
from grasp_sim.messages import (
    ImageMessage,
    JointStateMessage,
    PoseMessage,
    camera_info,
    canonical_positions,
    set_stamp,
    stamp_ns,
)
from grasp_sim.parameters import declare_parameters
from grasp_sim.realtime import RealTime
from grasp_sim.recording import Recorder
from grasp_sim.spawning import Spawn
from grasp_sim.viewer import Viewer, ViewerConfig, ViewerUnavailableError
from grasp_sim.world import PlacementRefusedError, World, WorldDivergedError

__all__ = ["SimNode", "main"]

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# More than one: a word that the next one overtakes counts as well.
LATCHED_QOS = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
COMMAND_QOS = QoSProfile(depth=10)
EYES = ("left", "right")
_WAIT_SLICE_S = 0.1
"""s after which a wait looks whether the process is to end"""
_LOG_PERIOD_S = 1.0


class SimNode(Node):
    """The robot, its cameras and its clock, as the graph sees them. Implements
    `grasp_sim.lockstep.TickActions`.
    """

    def __init__(self, **arguments) -> None:
        super().__init__("grasp_sim", **arguments)
        self.parameters = declare_parameters(self)
        self.world = World(self.parameters.world)
        self.drivers = Drivers()
        self.counters = Counters()
        self.running = True
        self._renderer = StereoRenderer(1, self.world.rig)
        # The first call loads the ray tracer: better here than within a tick.
        self._eyes = self._renderer.render(self.world.scene_state())[0][0]
        self._recorder = self._new_recorder()
        view = self.parameters
        self.viewer = Viewer(self.world, ViewerConfig(view.view_host, view.view_port)) if view.view else None
        self.lockstep = Lockstep(self, self.parameters.lockstep)
        in_lockstep = self.parameters.in_lockstep
        self.runner: Lockstep | RealTime = (
            self.lockstep if in_lockstep else RealTime(self, self.parameters.realtime)
        )
        self._reporter = Reporter(self.counters, self.drivers)
        self._next_report_s = time.monotonic()
        self._make_publishers()
        self._make_subscriptions()
        self.create_service(Trigger, "/sim/reset", self._on_reset)
        self.create_service(Trigger, "/sim/supply", self._on_supply)
        self._spinner = _make_executor(self)
        if self.viewer is not None:
            self.get_logger().info(f"the scene is served at {self.viewer.url}")

    def _make_publishers(self) -> None:
        rig = self.world.rig
        self._clock_publisher = self.create_publisher(Clock, "/clock", SENSOR_QOS)
        self._joint_publishers = [
            (
                self.create_publisher(JointState, one.topic, SENSOR_QOS),
                JointStateMessage(one.names, one.columns),
            )
            for one in self.parameters.style.states
        ]
        self._joints_said_ns = [-1 for _ in self._joint_publishers]
        self._image_publishers = [
            self.create_publisher(Image, f"/stereo/{eye}/image_rect", SENSOR_QOS) for eye in EYES
        ]
        self._info_publishers = [
            self.create_publisher(CameraInfo, f"/stereo/{eye}/camera_info", SENSOR_QOS) for eye in EYES
        ]
        self._pose_publisher = self.create_publisher(PoseStamped, "/sim/object_pose", COMMAND_QOS)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._clock_message = Clock()
        self._pose = PoseMessage()
        self._images = [ImageMessage(rig, eye) for eye in range(2)]
        self._infos = [camera_info(rig, eye) for eye in range(2)]

    def _make_subscriptions(self) -> None:
        for heard in self.parameters.style.commands:
            kind = JointState if heard.style == "joint_state" else Float64MultiArray
            self._listen(kind, heard.topic, self._on_part(heard), COMMAND_QOS)
        self._listen(JointState, "/control/command", self._on_command, COMMAND_QOS)
        self._listen(Header, "/control/accepted_target", self._on_accepted, COMMAND_QOS)
        self._listen(PointStamped, "/policy/object_position", self._on_estimate, COMMAND_QOS)
        self._listen(String, "/control/state", self._on_control_state, LATCHED_QOS)
        self._listen(String, "/grasp/state", self._on_grasp_state, LATCHED_QOS)
        self._listen(DiagnosticStatus, "/grasp/score", self._on_score, LATCHED_QOS)

    def _listen(self, kind: type, topic: str, callback: Callable, qos: QoSProfile) -> None:
        self.create_subscription(kind, topic, callback, qos)

    # What a tick does

    @property
    def tick(self) -> int:
        """Number of the current tick."""
        return self.world.tick

    @property
    def time_ns(self) -> int:
        """Time of the current tick, ns."""
        return self.world.time_ns

    def publish_joint_states(self) -> None:
        """All 23 joints, with the tick's stamp; in real time each driver's at its own rate."""
        world, time_ns = self.world, self.world.time_ns
        values = world.joint_position, world.joint_velocity, world.joint_effort
        for place, (publisher, message) in enumerate(self._joint_publishers):
            spoken = self.parameters.style.states[place]
            if self.parameters.in_lockstep or spoken.is_due(time_ns, self._joints_said_ns[place]):
                publisher.publish(message.fill(time_ns, *values))
                self._joints_said_ns[place] = time_ns

    def take_frame(self) -> None:
        """Render both eyes, and fill the messages with the tick's stamp."""
        time_ns, started_s = self.world.time_ns, time.perf_counter()
        self._eyes = self._renderer.render(self.world.scene_state())[0][0]
        self.counters.render_ms.append(1e3 * (time.perf_counter() - started_s))
        for image, info, pixels in zip(self._images, self._infos, self._eyes, strict=True):
            image.fill(time_ns, pixels)
            set_stamp(info.header.stamp, time_ns)
        self.counters.frames += 1

    def publish_frame(self) -> None:
        """Both images and their camera_info; and the object's pose, on its privileged topic."""
        for eye in range(2):
            self._info_publishers[eye].publish(self._infos[eye])
            self._image_publishers[eye].publish(self._images[eye].message)
        world = self.world
        self._pose_publisher.publish(
            self._pose.fill(world.time_ns, world.object_position, world.object_quaternion)
        )

    def record_frame(self) -> None:
        """Show the frame to recorder and viewer."""
        self._record(lambda recorder: recorder.on_frame(self._eyes))
        if self.viewer is not None:
            self.viewer.update(self._eyes)

    def publish_clock(self) -> None:
        """The tick's time."""
        set_stamp(self._clock_message.clock, self.world.time_ns)
        self._clock_publisher.publish(self._clock_message)

    def step(self) -> None:
        """One physics tick with the drivers' targets."""
        self.world.step(self.drivers.target)
        self.counters.ticks += 1

    def stand(self) -> None:
        """One tick in which nothing moves."""
        self.world.stand()
        self.counters.ticks += 1

    def _new_recorder(self) -> Recorder | None:
        """The recorder; None in real time, where the robot would feel that a picture takes several frames."""
        asked = self.parameters.recorder
        if self.parameters.in_lockstep:
            return Recorder(self.world, asked)
        if asked.video or asked.contact_sheet:
            self.get_logger().info("No pictures are kept: that would hold up the simulation in real time")
        return None

    def drivers_hold(self, command: np.ndarray) -> bool:
        """Whether both drivers have this command."""
        return self.drivers.hold(command)

    def wait(self, done: Callable[[], bool], limit_s: float) -> None:
        """Take in messages until done, at most for limit_s of wall time."""
        deadline_s = time.monotonic() + limit_s
        while self.running and not done():
            left_s = deadline_s - time.monotonic()
            self._spinner.spin_once(timeout_sec=min(max(left_s, 0.0), _WAIT_SLICE_S))
            if left_s <= 0.0:
                return

    def run(self) -> None:
        """Run ticks until `stop`."""
        while self.running:
            self.runner.run_tick()
            if time.monotonic() >= self._next_report_s:
                self._publish_diagnostics()
                self._refuse_company()

    def stop(self) -> None:
        """End `run` within a moment; safe to call from a signal handler."""
        self.running = False

    def close(self) -> None:
        """Finish the recording, stop serving, let go of the node. Nothing of it works afterwards."""
        self._record(lambda recorder: recorder.close())
        if self.viewer is not None:
            self.viewer.close()
        self._spinner.remove_node(self)
        self._spinner.shutdown()
        # The event-driven executor and the node hold each other, where the interpreter's exit would hang.
        del self._spinner
        self.destroy_node()

    # What comes in

    def _on_part(self, heard: CommandHeard) -> Callable[[Float64MultiArray | JointState], None]:
        def take(message: Float64MultiArray | JointState) -> None:
            values = message.position if isinstance(message, JointState) else message.data
            try:
                self.drivers.command(heard.part, heard.canonical(list(values)), heard.topic)
            except CommandRefusedError as error:
                self.get_logger().error(str(error), throttle_duration_sec=_LOG_PERIOD_S)

        return take

    def _on_command(self, message: JointState) -> None:
        position = canonical_positions(message)
        if position is not None:
            self.lockstep.on_command(stamp_ns(message.header.stamp), position)

    def _on_accepted(self, message: Header) -> None:
        self.lockstep.on_accepted_target(stamp_ns(message.stamp))

    def _on_estimate(self, message: PointStamped) -> None:
        self.lockstep.on_estimate(stamp_ns(message.header.stamp))

    def _on_control_state(self, message: String) -> None:
        self.lockstep.on_control_state(message.data)
        if self.viewer is not None:
            self.viewer.show_word("control", message.data)

    def _on_grasp_state(self, message: String) -> None:
        self.lockstep.on_grasp_state(message.data)
        self._record(lambda recorder: recorder.on_grasp_state(message.data))
        if self.viewer is not None:
            self.viewer.show_word("state", message.data)

    def _on_score(self, message: DiagnosticStatus) -> None:
        if self.viewer is not None:
            self.viewer.show_score({pair.key: pair.value for pair in message.values})

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        begins_episode = self.parameters.in_lockstep and self.lockstep.preparing
        answer = self._place(response, lambda: self.world.reset_object(robot_home=begins_episode))
        if answer.success and begins_episode:
            self.lockstep.stand_until_start()
            # Before the answer: whoever arms the robot next is to know where it stands now.
            self.publish_joint_states()
        return answer

    def _on_supply(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._place(response, self.world.supply_object)

    def _place(self, response: Trigger.Response, place: Callable[[], Spawn]) -> Trigger.Response:
        try:
            spawn = place()
        except PlacementRefusedError as error:
            self.counters.resets_refused += 1
            self.get_logger().warning(str(error))
            response.success, response.message = False, str(error)
            return response
        self.counters.resets += 1
        if self.viewer is not None:
            self.viewer.show_object()
        # Not where it lies: that is for the policy to see.
        told = {"object": spawn.spec.name, "family": spawn.spec.family, "index": spawn.index}
        response.success, response.message = True, json.dumps(told)
        return response

    def _refuse_company(self) -> None:
        """End beside a real driver: it would hear what a rehearsal commands.

        Raises:
            CompanyError: somebody else says where the joints are, on a driver's topic.
        """
        for spoken in self.parameters.style.states if self.parameters.rehearses else ():
            if self.count_publishers(spoken.topic) > 1:
                raise CompanyError(
                    f"Somebody else publishes {spoken.topic} too; expected to be alone: a rehearsal must "
                    f"never share a ROS domain with a robot"
                )

    # What else goes out

    def _record(self, what: Callable[[Recorder], None]) -> None:
        """Tell the recorder; if it fails, go on without: pictures are not worth a run."""
        if self._recorder is None:
            return
        try:
            what(self._recorder)
        except OSError as error:
            self._recorder = None
            self.counters.recording_error = str(error)
            self.get_logger().error(f"recording given up: {error}")

    def _publish_diagnostics(self) -> None:
        now_s = time.monotonic()
        self._next_report_s = now_s + 1.0
        report = self._reporter.report(self.runner, now_s, 1e-9 * self.world.time_ns)
        status = DiagnosticStatus(
            level=bytes([report.level]),
            name="grasp_sim: simulation",
            message=report.message,
            hardware_id="grasp_sim",
            values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
        )
        array = DiagnosticArray(status=[status])
        set_stamp(array.header.stamp, self.world.time_ns)
        self._diagnostics_publisher.publish(array)


def _make_executor(node: Node) -> Executor:
    """rclpy's event-driven executor where there is one: it halves the time of a lockstep tick.

    Only its ``spin_once`` is used: its ``spin`` keeps a core busy while idle (rclpy 7.1.6).
    """
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        executor: Executor = SingleThreadedExecutor()
    else:
        executor = EventsExecutor()
    executor.add_node(node)
    return executor


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (status 0) or until it cannot go on (status 1)."""
    # rclpy's own handlers would close the context in the midst of a tick.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node: SimNode | None = None

    def stop(_number: int, _frame: object) -> None:
        if node is None:
            raise KeyboardInterrupt
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        node = SimNode()
        # Half a million objects of imported libraries: a full collection in the midst of a run takes half a
        # second, and one more at exit.
        gc.freeze()
        node.run()
    except KeyboardInterrupt:
        pass
    except (CompanyError, ViewerUnavailableError, WorldDivergedError) as error:
        get_logger("grasp_sim").fatal(str(error))
        return 1
    finally:
        if node is not None:
            node.close()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
