"""The errors of the camera package: every one names the value, where it came from and what was expected."""

from __future__ import annotations

__all__ = ["CalibrationFileError", "CameraConfigError", "CameraEndedError", "CameraLostError"]


class CalibrationFileError(ValueError):
    """A calibration file is missing, malformed, or does not fit the others."""


class CameraConfigError(ValueError):
    """What was asked of the cameras cannot be: no retry helps."""


class CameraEndedError(RuntimeError):
    """A recording has been shown to its end: there is nothing to wait for."""


class CameraLostError(RuntimeError):
    """A camera is not there, fell silent or went away: trying again later may help."""
