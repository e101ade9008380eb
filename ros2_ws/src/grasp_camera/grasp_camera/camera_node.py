"""The camera node ``/grasp_camera``: a lifecycle node that publishes what `grasp_camera.capture` hands on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import ok as rclpy_ok
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from grasp_camera.capture import Capture, CaptureThread
from grasp_camera.contract import check_cameras, has_hand_eye
from grasp_camera.frames import EYES, Source, StereoPair
from grasp_camera.messages import camera_info, diagnostic_array, image_message, stamp_of, static_transforms
from grasp_camera.monitor import CameraMonitor
from grasp_camera.parameters import CameraParameters, declare_parameters, read_parameters
from grasp_camera.rectification import NominalView, StereoRectifier
from grasp_camera.source_fit import check_devices, check_size, is_of_unnamed_cameras
from grasp_camera.sources import make_source
from grasp_camera.stereo_calibration import OPTICAL_FRAMES, read_stereo

try:
    from tf2_msgs.msg import TFMessage  # type: ignore[import-not-found]
except ImportError:
    # Not on the Python index; part of every ROS 2 installation.
    TFMessage = None

__all__ = ["CameraNode", "main"]

_SENSOR_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_STATE_PERIOD_S = 0.05
_STOP_S = 15.0
"""s that a capture may take to end: opening a RealSense camera takes a few"""


class CameraNode(LifecycleNode):
    """Reads the calibration on configure, streams while active. README.md has its topics and parameters."""

    def __init__(self, source: Source | None = None, **arguments: Any) -> None:
        """
        Args:
            source: in place of the one that the parameters describe, for tests.
            arguments: of `rclpy.lifecycle.LifecycleNode`.
        """
        super().__init__("grasp_camera", **arguments)
        declare_parameters(self)
        self._given_source = source
        self._settings: CameraParameters | None = None
        self._source: Source | None = None
        self._rectifier: StereoRectifier | None = None
        self._capture: Capture | None = None
        self._thread: CaptureThread | None = None
        self._refused = ""
        self._said_state = ""
        self._idle_monitor = CameraMonitor(1.0)
        self._make_publishers()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_STATE_PERIOD_S, self._publish_state, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    def _make_publishers(self) -> None:
        def images(name: str) -> list:
            return [self.create_publisher(Image, f"/stereo/{eye}/{name}", _SENSOR_QOS) for eye in EYES]

        self._rect_publishers, self._raw_publishers = images("image_rect"), images("image_raw")
        self._info_publishers = [
            self.create_publisher(CameraInfo, f"/stereo/{eye}/camera_info", _SENSOR_QOS) for eye in EYES
        ]
        self._state_publisher = self.create_publisher(String, "/camera/state", _LATCHED)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._tf_publisher = None
        if TFMessage is not None:
            self._tf_publisher = self.create_publisher(TFMessage, "/tf_static", _LATCHED)

    @property
    def state(self) -> str:
        """The word that ``/camera/state`` says."""
        if self._refused:
            return "refused"
        if self._capture is not None:
            return self._capture.state
        return "unconfigured" if self._settings is None else "inactive"

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters and calibration; FAILURE, with the reason in log and diagnostics, if they do not
        fit."""
        if not self._stop():
            return TransitionCallbackReturn.FAILURE
        self._refused = self._idle_monitor.last_error = ""
        try:
            self._load()
        # Whatever else goes wrong in here rclpy would swallow without a word.
        except Exception as error:  # noqa: BLE001
            self._forget()
            self._refuse(str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to stream; cameras that are not there yet are tried again and again."""
        assert self._settings is not None
        assert self._source is not None
        self._capture = Capture(self._source, self._publish_pair, self._settings.capture, say=self._say)
        self._thread = CaptureThread(self._capture)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop streaming and let go of the cameras."""
        if not self._stop():
            return TransitionCallbackReturn.ERROR
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget calibration and parameters."""
        self._forget()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and forget."""
        self._forget()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Let go of the cameras before the publishers go."""
        self._stop()
        super().destroy_node()

    def _load(self) -> None:
        parameters = read_parameters(self)
        self._source = self._given_source or make_source(parameters.source)
        self._rectifier = None
        if parameters.calibration is not None:
            self._rectifier = self._made_rectifier(parameters)
        self._settings = parameters

    def _made_rectifier(self, parameters: CameraParameters) -> StereoRectifier:
        assert parameters.calibration is not None
        calibration = read_stereo(parameters.calibration)
        check_devices(calibration, parameters.source, parameters.calibration)
        check_size(calibration, parameters.source, parameters.calibration)
        if is_of_unnamed_cameras(calibration, parameters.source):
            self.get_logger().warning(
                f"{parameters.calibration} does not say which cameras it was made with: that these are they, "
                "and not swapped, was not checked"
            )
        view = parameters.view
        if parameters.policy is not None:
            # Imported here: ONNX is the policy's, and not needed without one.
            from grasp_policy.policy_file import read_spec

            spec = read_spec(parameters.policy)
            view = NominalView(spec.image_width, spec.image_height, spec.fovy_deg)
            check_cameras(spec, calibration, view, parameters.source.rate_hz)
            if not has_hand_eye(calibration):
                self.get_logger().warning(
                    f"{parameters.calibration}: no hand-eye calibration: where the cameras stand was not "
                    f"held against {parameters.policy}"
                )
        self._publish_transforms(calibration.transforms)
        return StereoRectifier(calibration, view)

    def _publish_transforms(self, transforms: tuple) -> None:
        if self._tf_publisher is None or TFMessage is None:
            self.get_logger().info(
                "tf2_msgs is not installed: the calibration's frames are not on /tf_static"
            )
            return
        stamp = self.get_clock().now().to_msg()
        self._tf_publisher.publish(TFMessage(transforms=static_transforms(transforms, stamp)))

    def _publish_pair(self, pair: StereoPair) -> None:
        """Called from the capture's thread."""
        try:
            self._publish_images(pair)
        except RuntimeError:
            # A signal takes the context away under the publishers; anything else is a fault.
            if self.context.ok():
                raise

    def _publish_images(self, pair: StereoPair) -> None:
        stamp = stamp_of(pair.stamp_ns)
        if self._settings is not None and self._settings.publish_raw:
            for eye, image in enumerate(pair.images):
                self._raw_publishers[eye].publish(
                    image_message(image, stamp, f"stereo_{EYES[eye]}_raw_optical_frame")
                )
        if self._rectifier is None:
            return
        view, baseline_m = self._rectifier.view, self._rectifier.calibration.baseline_m
        for eye, image in enumerate(self._rectifier.rectify(pair.images)):
            frame = OPTICAL_FRAMES[eye]
            self._info_publishers[eye].publish(camera_info(view, eye * baseline_m, stamp, frame))
            self._rect_publishers[eye].publish(image_message(image, stamp, frame))

    def _say(self, text: str) -> None:
        """Called from the capture's thread."""
        # rclpy ties a severity to the line that logs.
        if text.startswith(("lost", "refused")):
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    def _stop(self) -> bool:
        """Whether the cameras were let go of; if not, a camera's library hangs, and the node is refused."""
        self._capture = None
        if self._thread is not None:
            try:
                self._thread.stop(_STOP_S)
            except RuntimeError as error:
                self._refuse(str(error))
                return False
        self._thread = None
        return True

    def _refuse(self, reason: str) -> None:
        self._refused = self._idle_monitor.last_error = reason
        self.get_logger().error(f"refused: {reason}")

    def _forget(self) -> None:
        self._stop()
        self._settings = self._source = self._rectifier = None

    def _publish_state(self) -> None:
        if self.state != self._said_state:
            self._said_state = self.state
            self._state_publisher.publish(String(data=self.state))

    def _publish_diagnostics(self) -> None:
        capture = self._capture
        now_s = time.monotonic()
        if capture is None:
            report = self._idle_monitor.report(self.state, (Counter(), Counter()), False, now_s)
        else:
            settled = capture.settling.settled and not capture.settling.gave_up
            report = capture.monitor.report(capture.state, capture.pairer.counts, settled, now_s)
        source = self._source
        more = {"source": source.describe(), "channels": source.channels} if source is not None else {}
        stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(diagnostic_array(report, "cameras", more, stamp))


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; returns 0 then."""
    rclpy.init(args=arguments)
    node = None
    try:
        node = CameraNode()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # A signal amid a callback takes the context away under its publishers; anything else is a fault.
        if rclpy_ok():
            raise
    finally:
        if node is not None:
            node.destroy_node()
        with contextlib.suppress(RuntimeError):  # the signal's handler may be at it at this very moment
            try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
