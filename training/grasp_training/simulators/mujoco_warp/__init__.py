"""Physics and images in MuJoCo Warp: on CUDA, or a handful of environments on the CPU.

Importing this starts Warp, which takes a second; ``grasp_training.simulators`` alone does not.
"""

from grasp_training.simulators.mujoco_warp.capacity import Capacity, OverflowCount
from grasp_training.simulators.mujoco_warp.devices import simulation_device
from grasp_training.simulators.mujoco_warp.simulator import MujocoWarpSimulator

__all__ = ["Capacity", "MujocoWarpSimulator", "OverflowCount", "simulation_device"]
