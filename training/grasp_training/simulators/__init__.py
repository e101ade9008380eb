"""Batched simulators behind one interface; MuJoCo on the CPU so far."""

from grasp_training.simulators.base import LINKS, ResetState, Simulator, SimulatorState
from grasp_training.simulators.mujoco_cpu import MujocoSimulator

__all__ = ["LINKS", "MujocoSimulator", "ResetState", "Simulator", "SimulatorState"]
