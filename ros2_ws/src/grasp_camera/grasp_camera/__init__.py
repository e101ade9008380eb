"""Stereo capture: sources, pairing, rectification, the calibration files (no ROS in them) and the node."""
