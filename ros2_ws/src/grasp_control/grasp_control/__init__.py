"""The command node of the grasp stack, and the safety core behind it (no ROS in the core).

``CommandCore`` takes joint targets and measurements and gives one limited command a tick; ``SequenceChecker``
judges a sequence of commands by finite differences alone, knowing nothing of how they were made.
"""

from grasp_control.checker import SequenceChecker, Violation
from grasp_control.config import ControlConfig, GuardConfig
from grasp_control.safety import Answer, Command, CommandCore, State

__all__ = [
    "Answer",
    "Command",
    "CommandCore",
    "ControlConfig",
    "GuardConfig",
    "SequenceChecker",
    "State",
    "Violation",
]
