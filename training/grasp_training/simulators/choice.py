"""The simulator that a configuration names."""

from dataclasses import dataclass

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.objects import ObjectSpec
from grasp_description.scene import DEFAULT_SCENE, SceneConfig
from grasp_training.runs import ConfigurationError
from grasp_training.simulators.base import Simulator
from grasp_training.simulators.config import SIMULATORS, SimulatorName, WarpConfig
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymSimulator
from grasp_training.simulators.mujoco_cpu import MujocoSimulator


@dataclass(frozen=True)
class Simulation:
    """What is simulated, whichever simulator does it."""

    objects: tuple[ObjectSpec, ...]
    """objects that resets choose from"""
    substeps: int = 4
    """physics steps a control step"""
    rgb: bool = False
    """whether colour images will be asked for"""
    depth: bool = False
    """whether depth images will be asked for"""
    scene: SceneConfig = DEFAULT_SCENE
    """gains and contacts"""
    rig: StereoRig = STEREO_RIG
    """cameras, with the size of stereo images"""
    depth_rig: StereoRig = STEREO_RIG
    """cameras, with the size of depth images"""


def make_simulator(
    name: SimulatorName,
    num_envs: int,
    simulation: Simulation,
    threads: int = 2,
    warp: WarpConfig = WarpConfig(),
    isaacgym: IsaacGymConfig = IsaacGymConfig(),
    first_object: int = 0,
) -> Simulator:
    """Make the simulator of this name.

    Args:
        name: ``mujoco``, ``mujoco_warp`` or ``isaacgym``.
        num_envs: number of simulations.
        simulation: what is simulated.
        threads: of ``mujoco``.
        warp: device and memory of ``mujoco_warp``.
        isaacgym: where Isaac Gym is and how it simulates.
        first_object: from which the simulations of ``isaacgym`` take turns through the objects, of which each
            has only some.

    Raises:
        ConfigurationError: there is no such simulator, or its device is not there.
        IsaacGymError: Isaac Gym is missing or fails.
    """
    parts = {
        "substeps": simulation.substeps,
        "images": simulation.rgb or simulation.depth,
        "depth": simulation.depth,
        "rgb": simulation.rgb,
        "scene": simulation.scene,
        "rig": simulation.rig,
        "depth_rig": simulation.depth_rig,
    }
    if name == "mujoco":
        return MujocoSimulator(num_envs, simulation.objects, threads=threads, **parts)
    if name == "mujoco_warp":
        # Imported here: Warp takes a second to start.
        from grasp_training.simulators.mujoco_warp import MujocoWarpSimulator

        return MujocoWarpSimulator(num_envs, simulation.objects, config=warp, **parts)
    if name == "isaacgym":
        return IsaacGymSimulator(num_envs, simulation.objects, isaacgym, first_object=first_object, **parts)
    raise ConfigurationError(f"task.simulator is '{name}'; expected one of {', '.join(SIMULATORS)}")
