"""Settings of the grasp task."""

from dataclasses import dataclass, field, replace

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.scene import SceneConfig
from grasp_description.workcell import CONTROL_RATE_HZ, EPISODE_LENGTH_S, PHYSICS_RATE_HZ
from grasp_training.runs import ConfigurationError
from grasp_training.simulators.config import SimulatorName, WarpConfig
from grasp_training.simulators.isaacgym.config import IsaacGymConfig
from grasp_training.tasks.depth_sensor import DepthSensorConfig


@dataclass(frozen=True)
class RewardConfig:
    """Weights and shapes of the reward's terms; the table of the README explains them."""

    reach: float = 1.0
    """weight of the hand being near the object"""
    opposition: float = 3.0
    """weight of thumb and fingers being at opposite sides of the object's surface"""
    lift: float = 20.0
    """weight of the object's height above where it rested, relative to ``lift_height_m``"""
    goal: float = 6.0
    """weight of the object being near the goal, once lifted"""
    success: float = 12.0
    """weight of the object being within the goal's tolerance"""
    action: float = 0.0001
    """cost of the squared actions"""
    saturation: float = 0.001
    """cost of the squared excess of actions over 1"""
    scale: float = 0.01
    """factor on the sum of all terms but the two costs: returns of some tens, which the critic learns sooner
    than hundreds"""
    lift_height_m: float = 0.2
    """m, height above rest at which the lift term is full"""
    near_m: float = 0.12
    """m, all terms but reach are paid only while the grasp point is this near the object's surface"""


@dataclass(frozen=True)
class RandomizationConfig:
    """Ranges at full randomization; the curriculum's level scales each between none and these."""

    spawn_scale: tuple[float, float] = (0.35, 1.0)
    """scale of the spawn region at level 0 and at level 1"""
    mass: tuple[float, float] = (0.7, 1.4)
    """factor on the object's mass"""
    friction: tuple[float, float] = (0.6, 1.1)
    """sliding friction"""
    stiffness: tuple[float, float] = (0.85, 1.15)
    """factor on the servos' gains, by joint"""
    start_position_rad: float = 0.05
    """rad, half range of the arm's start posture about home"""
    joint_noise_rad: float = 0.005
    """rad, standard deviation of noise on observed joint positions"""
    joint_velocity_noise: float = 0.05
    """rad/s, the same for velocities"""
    object_noise_m: float = 0.005
    """m, standard deviation of noise on the object's position as the actor observes it (privileged group)"""
    camera_position_m: float = 0.01
    """m, half range of each camera's position about the nominal one; several times what a hand-eye
    calibration leaves"""
    camera_rotation_rad: float = 0.01
    """rad, half range of each camera's rotation about the nominal one; the same"""
    depth_sensor: DepthSensorConfig = field(default_factory=DepthSensorConfig)
    """errors of the depth camera (group depth)"""
    appearance_change: float = 0.0
    """probability, each step, that colours, light and camera poses change in mid-episode: a student then sees
    many more scenes in as many steps"""


@dataclass(frozen=True)
class CurriculumConfig:
    """Automatic domain randomization: the level rises from 0 to 1 while episodes succeed."""

    start_level: float = 0.0
    """level at the start of training (evaluation uses 1)"""
    step: float = 0.1
    """how much the level rises at a time"""
    threshold: float = 0.5
    """success rate of recent episodes from which the level rises"""
    min_episodes: int = 2000
    """episodes between two rises"""


@dataclass(frozen=True)
class ImageConfig:
    """Size of images; pose and field of view are the rig's, whatever the size."""

    width: int = STEREO_RIG.width
    """px; the robot's cameras, and so policy files, have the default"""
    height: int = STEREO_RIG.height
    """px"""

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"

    def rig(self, setting: str = "image") -> StereoRig:
        """The workcell's cameras with images of this size, which the setting of this name gives.

        Raises:
            ConfigurationError: there are no pixels.
        """
        for name in ("width", "height"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"{setting}.{name} is {getattr(self, name)} px; at least 1 is needed"
                )
        return replace(STEREO_RIG, width=self.width, height=self.height)


@dataclass(frozen=True)
class TaskConfig:
    """The grasp task."""

    episode_length_s: float = EPISODE_LENGTH_S
    """s, from reset to the verdict"""
    end_after_held_s: float = 0.0
    """s, an episode in which the object was held at the goal for so long ends early, so that training spends
    its steps on grasping; 0: never"""
    control_rate_hz: int = CONTROL_RATE_HZ
    """rate of policy steps: the workcell's, no other is made (`check_rates`); kept for the record of a run"""
    physics_rate_hz: int = PHYSICS_RATE_HZ
    """rate of physics steps: the same"""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """the reward"""
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    """ranges of randomization"""
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    """how randomization widens"""
    scene: SceneConfig = field(default_factory=SceneConfig)
    """gains and contacts of the simulated scene"""
    image: ImageConfig = field(default_factory=ImageConfig)
    """size of stereo images"""
    depth_image: ImageConfig = ImageConfig(48, 36)
    """size of depth images; small, for a few cores"""
    object_seed: int = 0
    """seed of the object sets (not of the episodes); policy files are exported of the default alone, since
    they do not say it"""
    simulator: SimulatorName = "mujoco"
    """`mujoco`: the CPU, any machine; `mujoco_warp`: a CUDA device (`--task.warp.device`); `isaacgym`: Isaac
    Gym Preview 4, a download of its own"""
    threads: int = 2
    """threads of physics and rendering of `mujoco`"""
    warp: WarpConfig = field(default_factory=WarpConfig)
    """device and reserved memory of `mujoco_warp`"""
    isaacgym: IsaacGymConfig = field(default_factory=IsaacGymConfig)
    """where Isaac Gym is and how it simulates, for `isaacgym`"""

    @property
    def substeps(self) -> int:
        """Physics steps a control step."""
        return self.physics_rate_hz // self.control_rate_hz

    @property
    def episode_steps(self) -> int:
        """Policy steps an episode."""
        return round(self.episode_length_s * self.control_rate_hz)

    def check_rates(self, source: str = "task") -> None:
        """Check that the rates are the workcell's, which scene, speed limits and policy files are made for.

        Args:
            source: where the task comes from, for the message.

        Raises:
            ConfigurationError: a rate is another.
        """
        rates, wanted = (self.control_rate_hz, self.physics_rate_hz), (CONTROL_RATE_HZ, PHYSICS_RATE_HZ)
        if rates != wanted:
            raise ConfigurationError(
                f"{source} has control_rate_hz {rates[0]} and physics_rate_hz {rates[1]}; expected the "
                f"workcell's, {wanted[0]} and {wanted[1]} (grasp_description.workcell)"
            )
