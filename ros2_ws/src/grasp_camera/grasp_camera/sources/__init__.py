"""Where images come from: RealSense cameras, V4L2 cameras, recorded files."""

from grasp_camera.sources.choice import KINDS, SourceConfig, make_source

__all__ = ["KINDS", "SourceConfig", "make_source"]
