"""The camera node over real ROS: topics, stamps, states, refusals; RealSense software devices feed it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from camera_samples import calibration, picture
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from grasp_camera.camera_node import CameraNode
from grasp_camera.rectification import NominalView, StereoRectifier
from grasp_camera.stereo_calibration import OPTICAL_FRAMES, write_stereo
from grasp_description.cameras import STEREO_RIG
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract

pytestmark = pytest.mark.ros
DOMAIN = 83
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
BEST_EFFORT = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RAW = (64, 48)
FOVY_DEG = 20.0


class Ear(Node):
    """Hears everything that the camera node says."""

    def __init__(self, context: Context) -> None:
        super().__init__("ear", context=context)
        self.heard: dict[str, list] = {}
        for eye in ("left", "right"):
            for name, kind in (("image_rect", Image), ("image_raw", Image), ("camera_info", CameraInfo)):
                self._listen(kind, f"/stereo/{eye}/{name}", BEST_EFFORT)
        self._listen(String, "/camera/state", LATCHED)
        self.statuses: list[DiagnosticStatus] = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _listen(self, kind: type, topic: str, qos: QoSProfile) -> None:
        self.heard[topic] = []
        self.create_subscription(kind, topic, self.heard[topic].append, qos)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses += [status for status in message.status if status.name == "grasp_camera"]

    def stamps(self, topic: str) -> list[tuple[int, int]]:
        return [(one.header.stamp.sec, one.header.stamp.nanosec) for one in self.heard[topic]]

    def states(self) -> list[str]:
        return [message.data for message in self.heard["/camera/state"]]

    def said(self, key: str) -> str:
        values = {one.key: one.value for one in self.statuses[-1].values} if self.statuses else {}
        return values.get(key, "")


class Bench:
    """The camera node and the ear in one executor."""

    def __init__(self, context: Context, cameras=None, **parameters) -> None:
        values = {
            "raw_width": RAW[0],
            "raw_height": RAW[1],
            "fovy_deg": FOVY_DEG,
            "settling_pairs": 3,
        } | parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = CameraNode(cameras, context=context, parameter_overrides=overrides)
        self.ear = Ear(context)
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.ear):
            self.executor.add_node(node)
        topics = [*self.ear.heard, "/diagnostics"]
        self.wait_for(
            lambda: all(self.ear.count_publishers(one) for one in topics), "the two nodes find each other"
        )

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}; {self.ear.states()}"
            self.executor.spin_once(timeout_sec=0.05)

    def start(self) -> None:
        assert self.node.trigger_configure() is SUCCESS
        assert self.node.trigger_activate() is SUCCESS

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.ear.destroy_node()


@pytest.fixture
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made, domain_id=DOMAIN)
    yield made
    rclpy.shutdown(context=made)


@contextmanager
def bench(context: Context, cameras=None, **parameters) -> Iterator[Bench]:
    made = Bench(context, cameras, **parameters)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def small():
    return calibration(*RAW, focal=70.0, baseline_m=STEREO_RIG.baseline_m)


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration")
    write_stereo(path, small)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording")
    for eye, shift in (("left", 0), ("right", 50)):
        (path / eye).mkdir()
        for number in range(5):
            cv2.imwrite(str(path / eye / f"{number}.png"), picture(number + shift)[..., ::-1])
    return path


def recorded(recording, **more) -> dict:
    return {"source": "recorded", "devices": [str(recording)]} | more


def array_of(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def test_pairs_are_published_rectified_with_one_stamp_and_their_camera_info(
    context, recording, folder, small
):
    with bench(context, **recorded(recording, calibration=str(folder))) as made:
        made.start()
        heard = made.ear.heard
        published = [topic for topic in heard if topic.endswith(("image_rect", "camera_info"))]
        made.wait_for(lambda: min(len(heard[topic]) for topic in published) >= 8, "eight pairs")
        left, right = (made.ear.stamps(f"/stereo/{eye}/image_rect") for eye in ("left", "right"))
        assert len(set(left)) == len(left)
        assert set(left[2:6]) <= set(right)
        assert set(left[2:6]) <= set(made.ear.stamps("/stereo/left/camera_info"))
        view = NominalView(STEREO_RIG.width, STEREO_RIG.height, FOVY_DEG)
        rectifier = StereoRectifier(small, view)
        expected = [rectifier.rectify((picture(number), picture(number + 50))) for number in range(5)]
        for eye, name in enumerate(("left", "right")):
            message = heard[f"/stereo/{name}/image_rect"][3]
            assert (message.encoding, message.header.frame_id) == ("rgb8", OPTICAL_FRAMES[eye])
            assert any(np.array_equal(array_of(message), pair[eye]) for pair in expected)
            info = heard[f"/stereo/{name}/camera_info"][3]
            np.testing.assert_allclose(np.reshape(info.p, (3, 4)), view.projection(eye * small.baseline_m))
        assert heard["/stereo/left/image_raw"] == []


def test_states_and_diagnostics_tell_the_life_of_the_cameras(context, recording, folder):
    with bench(context, **recorded(recording, calibration=str(folder))) as made:
        made.wait_for(lambda: "unconfigured" in made.ear.states(), "unconfigured")
        made.start()
        made.wait_for(lambda: "streaming" in made.ear.states(), "streaming")
        made.wait_for(lambda: made.ear.said("state") == "streaming", "streaming in the diagnostics")
        assert made.ear.said("channels") == "rgb"
        assert str(recording) in made.ear.said("source")
        assert made.node.trigger_deactivate() is SUCCESS
        made.wait_for(lambda: made.ear.states()[-1] == "inactive", "inactive")
        made.wait_for(lambda: made.ear.said("state") == "inactive", "inactive in the diagnostics")
        # What was under way has arrived by now; a second later nothing more has.
        count, reports = len(made.ear.heard["/stereo/left/image_rect"]), len(made.ear.statuses)
        made.wait_for(lambda: len(made.ear.statuses) > reports, "another report")
        assert len(made.ear.heard["/stereo/left/image_rect"]) == count
        assert made.node.trigger_activate() is SUCCESS
        made.wait_for(lambda: len(made.ear.heard["/stereo/left/image_rect"]) > count + 3, "images again")
        assert made.node.trigger_deactivate() is SUCCESS
        assert made.node.trigger_cleanup() is SUCCESS


class HangingSource:
    """A camera whose library does not come back, until it is let go."""

    channels = "rgb"

    def __init__(self) -> None:
        self.held, self.go = threading.Event(), threading.Event()

    def describe(self) -> str:
        return "a camera that hangs"

    def open(self) -> None:
        self.held.set()
        self.go.wait(60.0)

    def read(self, timeout_s: float) -> list:
        return []

    def close(self) -> None:
        pass


def test_a_capture_that_does_not_end_is_said_and_never_doubled(context, recording, folder, monkeypatch):
    monkeypatch.setattr("grasp_camera.camera_node._STOP_S", 0.1)
    source = HangingSource()
    with bench(context, source, **recorded(recording, calibration=str(folder))) as made:
        made.start()
        assert source.held.wait(60.0)
        assert made.node.trigger_deactivate() is TransitionCallbackReturn.ERROR
        made.wait_for(lambda: made.ear.states()[-1:] == ["refused"], "refused")
        made.wait_for(lambda: "library hangs" in made.ear.said("last_error"), "the reason is said")
        assert made.node.trigger_configure() is FAILURE
        source.go.set()
        monkeypatch.setattr("grasp_camera.camera_node._STOP_S", 60.0)
        made.start()
        made.wait_for(lambda: made.ear.states()[-1] != "refused", "a new capture")


def test_raw_images_alone_serve_calibration(context, recording):
    with bench(context, **recorded(recording, publish_raw=True)) as made:
        made.start()
        heard = made.ear.heard
        made.wait_for(lambda: len(heard["/stereo/right/image_raw"]) > 3, "raw images")
        message = heard["/stereo/right/image_raw"][-1]
        assert any(np.array_equal(array_of(message), picture(number + 50)) for number in range(5))
        assert heard["/stereo/left/image_rect"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration": ""}, "parameter 'calibration' is empty"),
        ({"calibration": "/no/such"}, "there is no such calibration file"),
        ({"source": "webcam"}, "source is 'webcam'; expected one of"),
        ({"devices": [""]}, "recorded expects 1"),
        ({"fovy_deg": 70.0}, "does not see"),
        ({"policy": "/no/such.onnx"}, "/no/such.onnx"),
    ],
)
def test_what_cannot_be_is_refused_on_configure_with_the_reason(context, recording, folder, changes, message):
    with bench(context, **(recorded(recording, calibration=str(folder)) | changes)) as made:
        assert made.node.trigger_configure() is FAILURE
        made.wait_for(lambda: message in made.ear.said("last_error"), message)
        made.wait_for(lambda: made.ear.states()[-1] == "refused", "refused")
        assert made.ear.statuses[-1].level == DiagnosticStatus.ERROR


def test_a_policy_file_says_size_and_view_and_is_held_against_the_cameras(
    context, recording, tmp_path, small
):
    spec = sample_spec(workcell_contract())
    policy = write_sample(tmp_path, spec)
    wide = calibration(*RAW, focal=60.0, baseline_m=spec.baseline_m)
    write_stereo(tmp_path / "fits", wide)
    parameters = recorded(recording, policy=str(policy), image_width=320, calibration=str(tmp_path / "fits"))
    with bench(context, **parameters) as made:
        made.start()
        heard = made.ear.heard["/stereo/left/image_rect"]
        made.wait_for(lambda: heard, "an image")
        assert (heard[0].width, heard[0].height) == (spec.image_width, spec.image_height)
    with bench(context, **(parameters | {"rate_hz": 15})) as made:
        assert made.node.trigger_configure() is FAILURE
        made.wait_for(lambda: "control_rate_hz is" in made.ear.said("last_error"), "the rate is refused")
    write_stereo(tmp_path / "wide", calibration(*RAW, focal=60.0, baseline_m=0.25))
    with bench(context, **(parameters | {"calibration": str(tmp_path / "wide")})) as made:
        assert made.node.trigger_configure() is FAILURE
        made.wait_for(lambda: "baseline_m is" in made.ear.said("last_error"), "the baseline is refused")


def test_a_calibration_of_swapped_cameras_is_refused_and_one_of_unnamed_cameras_warned_of(
    context, small, tmp_path, capfd
):
    write_stereo(tmp_path, small)
    parameters = {"source": "realsense_pair", "devices": ["111", "222"], "calibration": str(tmp_path)}
    with bench(context, HangingSource(), **parameters) as made:
        assert made.node.trigger_configure() is SUCCESS
        assert "does not say which cameras it was made with" in capfd.readouterr().err
        assert made.node.trigger_cleanup() is SUCCESS
        extrinsics = tmp_path / "extrinsics.yaml"
        extrinsics.write_text("format_version: 1\ntransforms: []\ndevices: ['222', '111']\n")
        assert made.node.trigger_configure() is FAILURE
        made.wait_for(lambda: "eyes are swapped" in made.ear.said("last_error"), "the swap is refused")
        extrinsics.write_text("format_version: 1\ntransforms: []\ndevices: ['111', '222']\n")
        capfd.readouterr()
        assert made.node.trigger_configure() is SUCCESS
        assert "does not say" not in capfd.readouterr().err


def test_a_calibration_of_images_of_another_size_is_refused_on_configure(context, folder):
    parameters = {"source": "realsense_pair", "devices": ["111", "222"], "calibration": str(folder)}
    with bench(context, HangingSource(), **parameters, raw_width=128) as made:
        assert made.node.trigger_configure() is FAILURE
        made.wait_for(lambda: "are 128, 48 px" in made.ear.said("last_error"), "the size is refused")


class SoftwarePair:
    """Two software RealSense cameras that give 30 frames a second until unplugged, from a thread of their
    own."""

    def __init__(self) -> None:
        from grasp_camera.sources import SourceConfig
        from grasp_camera.sources.realsense import RealSenseSource

        self.cameras: list = []
        self.sent = 0
        self._lock, self._end = threading.Lock(), threading.Event()
        self.plug_in()
        config = SourceConfig("realsense_pair", ("111", "222"), *RAW)
        self.source = RealSenseSource(config, devices=self._devices)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def plug_in(self) -> None:
        from software_cameras import SoftwareCamera

        with self._lock:
            self.cameras = [SoftwareCamera(serial, size=RAW) for serial in ("111", "222")]

    def unplug(self) -> None:
        with self._lock:
            self.cameras = []

    def close(self) -> None:
        self._end.set()
        self._thread.join(10.0)

    def _devices(self) -> list:
        with self._lock:
            return [camera.device for camera in self.cameras]

    def _run(self) -> None:
        while not self._end.wait(1 / 30):
            with self._lock:
                self._send()

    def _send(self) -> None:
        """A moment: 2 ms between the eyes; every fifth of the left eye's frames comes twice."""
        self.sent += 1
        now_ns = time.time_ns()
        for eye, camera in enumerate(self.cameras):
            image = picture(2 * self.sent + eye)
            camera.send(self.sent, now_ns + 2_000_000 * eye - 5_000_000, image)
            if eye == 0 and self.sent % 5 == 0:
                camera.send(self.sent, now_ns + 4_000_000, image)


@pytest.fixture
def software_pair():
    pytest.importorskip(
        "pyrealsense2",
        reason="RealSense cameras go UNTESTED: no pyrealsense2 (pip install it, apt install libusb-1.0-0)",
        exc_type=ImportError,
    )
    pair = SoftwarePair()
    yield pair
    pair.close()


def test_realsense_pairs_flow_survive_unplugging_and_never_repeat(context, software_pair, folder):
    parameters = {
        "calibration": str(folder),
        "devices": ["111", "222"],
        "retry_first_s": 0.1,
        "retry_most_s": 0.2,
    }
    with bench(context, software_pair.source, **parameters) as made:
        made.start()
        left = made.ear.heard["/stereo/left/image_rect"]
        made.wait_for(lambda: len(left) >= 30, "thirty pairs")
        made.wait_for(lambda: made.ear.said("skew_ms_p99") == "2.00", "the skew in the diagnostics")
        made.wait_for(lambda: int(made.ear.said("left_repeated") or 0) >= 3, "repeated frames are counted")
        software_pair.unplug()
        made.wait_for(lambda: made.ear.states()[-1] == "lost", "the loss is noticed")
        count = len(left)
        made.wait_for(lambda: "not connected" in made.ear.said("last_error"), "attempts in vain are said")
        assert len(left) <= count + 1
        software_pair.plug_in()
        made.wait_for(lambda: made.ear.states()[-1] == "streaming", "streaming again")
        made.wait_for(lambda: len(left) >= count + 15, "pairs again")
        made.wait_for(lambda: made.ear.said("reconnections") == "1", "the reconnection is counted")
        stamps = made.ear.stamps("/stereo/left/image_rect")
        assert stamps == sorted(set(stamps))
        pictures = {message.data.tobytes() for message in left}
        assert len(pictures) == len(left)


def test_every_parameter_of_the_shipped_file_is_declared_and_within_range(context):
    file = Path(__file__).parent.parent / "config" / "camera.yaml"
    told = yaml.safe_load(file.read_text(encoding="utf-8"))["/grasp_camera"]["ros__parameters"]
    node = CameraNode(context=context, cli_args=["--ros-args", "--params-file", str(file)])
    try:
        for name, value in told.items():
            found = node.get_parameter(name).value
            assert (list(found) if isinstance(value, list) else found) == value
    finally:
        node.destroy_node()


def test_the_process_ends_well_on_a_signal_while_it_streams(recording, folder):
    # In a namespace: rclpy keeps the lifecycle services of this process's earlier, destroyed nodes reachable.
    command = [sys.executable, "-m", "grasp_camera.camera_node", "--ros-args", "-r", "__ns:=/alone"]
    told = {"source": "recorded", "devices": f"['{recording}']", "calibration": folder, "rate_hz": 100}
    told |= {"raw_width": RAW[0], "raw_height": RAW[1], "fovy_deg": FOVY_DEG}
    command += [word for name, value in told.items() for word in ("-p", f"{name}:={value}")]
    environment = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    try:
        ear = Ear(context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(ear)
        client = ear.create_client(ChangeState, "/alone/grasp_camera/change_state")
        assert client.wait_for_service(timeout_sec=60.0)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            executor.spin_until_future_complete(future, timeout_sec=60.0)
            response = future.result()
            assert response is not None
            assert response.success
        deadline = time.monotonic() + 60.0
        while "streaming" not in ear.states():
            assert process.poll() is None
            assert time.monotonic() < deadline, f"the node never streamed: {ear.states()}"
            executor.spin_once(timeout_sec=0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60.0)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        executor.shutdown()
        ear.destroy_node()
    finally:
        process.kill()
        process.wait()
        rclpy.shutdown(context=context)
