"""RealSense cameras without hardware: librealsense's own software devices, behind the real pyrealsense2."""

from __future__ import annotations

import numpy as np
import pyrealsense2 as rs

SIZE = (64, 48)


class SoftwareCamera:
    """A device with one sensor, that gives the frames that a test sends."""

    def __init__(
        self, serial: str, infrared: bool = False, size: tuple[int, int] = SIZE, rate_hz: int = 30
    ) -> None:
        self.serial, self.size = serial, size
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.device.register_info(rs.camera_info.name, "Software RealSense")
        self.sensor = self.device.add_sensor("Stereo Module" if infrared else "RGB Camera")
        self.channels = 1 if infrared else 3
        indices = (1, 2) if infrared else (0,)
        self.profiles = {index: self._profile(index, infrared, rate_hz) for index in indices}

    def _profile(self, index: int, infrared: bool, rate_hz: int):
        stream = rs.video_stream()
        stream.type = rs.stream.infrared if infrared else rs.stream.color
        stream.fmt = rs.format.y8 if infrared else rs.format.rgb8
        stream.index = stream.uid = index
        stream.width, stream.height = self.size
        stream.fps, stream.bpp = rate_hz, self.channels
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height = self.size
        stream.intrinsics = intrinsics
        return self.sensor.add_video_stream(stream).as_video_stream_profile()

    def send(
        self,
        number: int,
        time_ns: int,
        image: np.ndarray,
        index: int = 0,
        domain: rs.timestamp_domain = rs.timestamp_domain.global_time,
    ) -> None:
        """Let the camera give a frame taken at a time; image (H, W, 3) or (H, W)."""
        frame = rs.software_video_frame()
        frame.pixels = np.ascontiguousarray(image)
        frame.stride, frame.bpp = self.channels * self.size[0], self.channels
        frame.timestamp, frame.domain = 1e-6 * time_ns, domain
        frame.frame_number = number
        frame.profile = self.profiles[index]
        self.sensor.on_video_frame(frame)
