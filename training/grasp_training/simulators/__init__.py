"""Batched simulators behind one interface: MuJoCo on the CPU, MuJoCo Warp on CUDA."""

from grasp_training.simulators.base import LINKS, ResetState, Simulator, SimulatorState
from grasp_training.simulators.choice import Simulation, make_simulator
from grasp_training.simulators.config import SIMULATORS, SimulatorName, WarpConfig
from grasp_training.simulators.mujoco_cpu import MujocoSimulator

__all__ = [
    "LINKS",
    "SIMULATORS",
    "MujocoSimulator",
    "ResetState",
    "Simulation",
    "Simulator",
    "SimulatorName",
    "SimulatorState",
    "WarpConfig",
    "make_simulator",
]
