"""The grasp task as rsl_rl sees it."""

from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from grasp_description.objects import ObjectSpec, object_set, pack, shape_features
from grasp_description.robot import FINGERTIP_LINKS, FINGERTIP_RADIUS_M, JOINT_NAMES
from grasp_description.workcell import (
    GOAL_POSITION,
    HOLD_TIME_S,
    LIFTED_M,
    SUCCESS_TOLERANCE_M,
    WORKSPACE_LOWER,
    WORKSPACE_UPPER,
)
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.runs import ConfigurationError
from grasp_training.simulators import Simulation, Simulator, SimulatorState, make_simulator
from grasp_training.simulators.isaacgym import IsaacGymSimulator
from grasp_training.tasks.actions import NUM_ACTIONS, ActionDecoder
from grasp_training.tasks.command_shaping import CommandShaper
from grasp_training.tasks.config import TaskConfig
from grasp_training.tasks.curriculum import Curriculum
from grasp_training.tasks.depth_sensor import DepthSensor
from grasp_training.tasks.kinematics import GRASP_POINT
from grasp_training.tasks.observations import (
    DEPTH,
    OBJECT_POSITION,
    PRIVILEGED,
    PROPRIOCEPTION,
    STEREO,
    PrivilegedExtras,
    check_groups,
    privileged,
)
from grasp_training.tasks.randomization import EpisodeSampler, HeldObjectsSampler
from grasp_training.tasks.rewards import GraspGeometry, reward_terms
from grasp_training.tasks.surface import object_distance

_DRAWN_ELSEWHERE = 0.7
"""share of a lesson's images in which the object is drawn where it is not; others show it in the hand"""


class GraspEnv(VecEnv):
    """Grasp an object from the table and hold it at the goal; n environments in a batch.

    Observations are a TensorDict of the groups asked for: ``proprioception`` (n, 69) joint position, joint
    velocity and previous target in rad and rad/s; ``privileged``; ``stereo`` uint8 (n, 2, H, W, 3), left and
    right; ``depth`` float32 (n, 1, H, W) in m, as a depth camera in the left one's place measures it, 0 where
    it does not; ``object_position`` (n, 3) in m, a label. Actions (n, 11): see ``ActionDecoder``.
    Environments that end are reset within ``step``; their observations are those of the new episode.

    Args:
        config: the task.
        simulator: the simulations.
        groups: observation groups to give.
        seed: of everything random in the task.
        sampler: draws the episodes instead of one made from the seed (evaluation counts on particular ones).
    """

    cfg: TaskConfig
    max_episode_length: int

    def __init__(
        self,
        config: TaskConfig,
        simulator: Simulator,
        groups: tuple[str, ...],
        seed: int,
        sampler: EpisodeSampler | None = None,
    ):
        check_groups(groups)
        self.cfg, self.groups, self.simulator = config, groups, simulator
        self.num_envs, self.num_actions, self.device = simulator.num_envs, NUM_ACTIONS, simulator.device
        self.max_episode_length = config.episode_steps
        self.curriculum = Curriculum(config.curriculum)
        self._sampler = sampler or EpisodeSampler(
            simulator.objects, config.randomization, seed, simulator.device
        )
        self._decoder = ActionDecoder().to(self.device)
        self._shaper = CommandShaper(self.num_envs, simulator.substeps, self.device)
        self._hold_steps = round(HOLD_TIME_S * config.control_rate_hz)
        self._images = STEREO in groups or DEPTH in groups
        self._everything = torch.arange(self.num_envs, device=self.device)
        self._elsewhere = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._depth_sensor = DepthSensor(self.num_envs, config.randomization.depth_sensor, self.device)
        self._constants(simulator.objects)
        self._buffers()
        self._reset(self._everything)
        self._observe()

    def _constants(self, objects: tuple[ObjectSpec, ...]) -> None:
        packed = pack(objects)

        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.device)

        self._goal, self._grasp_point = tensor(GOAL_POSITION), tensor(GRASP_POINT)
        self._lower, self._upper = tensor(WORKSPACE_LOWER), tensor(WORKSPACE_UPPER)
        self._features = tensor(np.stack([shape_features(spec) for spec in objects]))
        self._slot_kind = torch.as_tensor(packed.geom_type, device=self.device)
        self._slot_size, self._slot_position = tensor(packed.geom_size), tensor(packed.geom_position)
        self._slot_rotation = rotation_from_quaternion(tensor(packed.geom_quaternion))
        self._mass = tensor(packed.mass)

    def _buffers(self) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)

        self.episode_length_buf = zeros(dtype=torch.long)
        self._joint_target = zeros(len(JOINT_NAMES))
        self._object_index = zeros(dtype=torch.long)
        self._parameters = zeros(2)
        self._rest_height = zeros()
        self._tip_gap = zeros(len(FINGERTIP_LINKS))
        self._held_steps = zeros(dtype=torch.long)
        self._lifted = zeros(dtype=torch.bool)

    @property
    def object_index(self) -> torch.Tensor:
        """(n,) index of each environment's object in the simulator's set."""
        return self._object_index

    def get_observations(self) -> TensorDict:
        """The current observations (see the class)."""
        return self._observations

    def draw_elsewhere(self, which: torch.Tensor) -> None:
        """Make the images of the environments which (n,) bool lessons in seeing, from the next step on.

        Colours, light and cameras change there each step, and mostly the object is drawn where it is not;
        ``object_position`` says where it is drawn. Every image is a scene of its own, and neither the arm nor
        the past tells where the object is.
        """
        self._elsewhere = which.to(self.device, copy=True)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        """Apply actions (n, 11) for one control step; see ``VecEnv``.

        ``extras`` has ``time_outs`` (n,), ``log`` (scalars) and, for evaluation, as of the end of this step
        and before resets:
        ``success``, ``lifted``, ``lost`` (n,) bool, ``height`` (n,) in m and ``state``, the simulator's
        state. A simulation whose state is not finite is lost, with reward and height 0.
        """
        measured = self._proprioception[:, : len(JOINT_NAMES)]
        with torch.no_grad():
            target = self._decoder(actions, measured, self._joint_target)
        return self._advance(target, actions)

    def step_joint_targets(self, target: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        """As ``step``, but with joint targets (n, 23) in rad from a policy file, which decodes its actions
        itself."""
        return self._advance(target, torch.zeros(self.num_envs, NUM_ACTIONS, device=self.device))

    def _advance(
        self, target: torch.Tensor, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        self._joint_target = target
        self.simulator.step(self._shaper(target))
        self.episode_length_buf += 1
        state = self.simulator.state
        # A world that diverged ends as lost, with no reward: one number that is none would end the whole run.
        broken = ~state.finite()
        geometry = self._geometry(state, slice(None))
        terms = reward_terms(geometry, actions, self.cfg.reward)
        terms = {name: value.masked_fill(broken, 0.0) for name, value in terms.items()}
        reward = torch.stack(list(terms.values())).sum(0)
        self._held_steps = torch.where(geometry.at_goal, self._held_steps + 1, 0)
        self._lifted |= geometry.height > LIFTED_M
        position = state.object_position
        lost = ((position < self._lower) | (position > self._upper)).any(-1) | broken
        timed_out = (self.episode_length_buf >= self.max_episode_length) | self._held_long_enough()
        done = lost | timed_out
        # As the scoreboard counts: so many steps later than the first one at the goal.
        success = (self._held_steps > self._hold_steps) & ~lost
        extras: dict[str, Any] = {
            "time_outs": timed_out & ~lost,
            "success": success,
            "lifted": self._lifted.clone(),
        }
        extras |= {"height": geometry.height.masked_fill(broken, 0.0), "lost": lost, "state": state}
        extras["log"] = self._log(terms, done, success)
        self._tip_gap = geometry.tip_gap
        self._change_appearance(self._sampler.choose(self._appearance_changes()))
        self._reset(torch.nonzero(done).flatten())
        self._observe()
        return self._observations, reward, done, extras

    def _log(
        self, terms: dict[str, torch.Tensor], done: torch.Tensor, success: torch.Tensor
    ) -> dict[str, float]:
        finished = int(done.sum())
        self.curriculum.update(finished, float(success[done].sum()))
        # One transfer from the simulator's device for all.
        means = torch.stack([value.mean() for value in terms.values()]).tolist()
        log = {f"reward/{name}": mean for name, mean in zip(terms, means, strict=True)}
        if finished:
            log["episode/success"] = float(success[done].float().mean())
            log["episode/lifted"] = float(self._lifted[done].float().mean())
        log |= self.simulator.figures()
        log["curriculum/level"] = self.curriculum.level
        log["curriculum/recent_success"] = self.curriculum.success_rate
        return log

    def _geometry(self, state: SimulatorState, which: slice | torch.Tensor) -> GraspGeometry:
        """Distances in the environments ``which``."""
        palm, tips = state.link_position[which, 0], state.link_position[which, 1:]
        point = palm + state.link_rotation[which, 0] @ self._grasp_point
        centre = state.object_position[which]
        rotation = rotation_from_quaternion(state.object_quaternion[which])
        points = torch.cat([tips, point[:, None]], dim=1)
        index = self._object_index[which]
        distance = object_distance(
            torch.einsum("nij,npi->npj", rotation, points - centre[:, None]),
            self._slot_kind[index],
            self._slot_size[index],
            self._slot_position[index],
            self._slot_rotation[index],
        )
        offset = tips - centre[:, None]
        length = torch.linalg.norm(offset, dim=-1)
        goal_distance = torch.linalg.norm(centre - self._goal, dim=-1)
        return GraspGeometry(
            grasp_point_distance=torch.linalg.norm(point - centre, dim=-1),
            tip_distance=length.mean(-1),
            tip_gap=(distance[:, :4] - FINGERTIP_RADIUS_M).clamp(min=0.0),
            surface_distance=distance[:, 4].clamp(min=0.0),
            tip_direction=offset / length[..., None].clamp(min=1e-6),
            height=centre[:, 2] - self._rest_height[which],
            goal_distance=goal_distance,
            at_goal=goal_distance <= SUCCESS_TOLERANCE_M,
        )

    def _held_long_enough(self) -> torch.Tensor:
        """Which episodes (n,) end early because the object was held for long."""
        limit = self.cfg.end_after_held_s * self.cfg.control_rate_hz
        return self._held_steps > limit if limit > 0 else torch.zeros_like(self._lifted)

    def _appearance_changes(self) -> torch.Tensor:
        """Probability (n,) with which each environment's images change their looks in this step."""
        change = torch.full((self.num_envs,), self.cfg.randomization.appearance_change, device=self.device)
        return change.masked_fill(self._elsewhere, 1.0)

    def _change_appearance(self, env_ids: torch.Tensor) -> None:
        if not self._images or not len(env_ids):
            return
        simulator = self.simulator
        looks = self._sampler.appearance(
            len(env_ids), simulator.nominal_rgba, simulator.robot_geoms, simulator.nominal_light
        )
        simulator.randomize_appearance(env_ids, looks)

    def _reset(self, env_ids: torch.Tensor) -> None:
        if not len(env_ids):
            return
        sampler = self._sampler
        chosen = sampler.choose_objects(env_ids)
        start = sampler.reset_state(chosen, self.curriculum.level)
        self.simulator.reset(env_ids, start)
        self._shaper.reset(env_ids, start.joint_position)
        self._change_appearance(env_ids)
        if DEPTH in self.groups:
            draws = sampler.uniform(env_ids, DepthSensor.EPISODE_DRAWS)
            self._depth_sensor.reset(env_ids, self.curriculum.level, draws)
        self._object_index[env_ids] = chosen
        self._joint_target[env_ids] = start.joint_position
        self._rest_height[env_ids] = start.object_position[:, 2]
        self._parameters[env_ids, 0] = self._mass[chosen] * start.mass_scale
        self._parameters[env_ids, 1] = start.friction
        self.episode_length_buf[env_ids] = 0
        self._held_steps[env_ids] = 0
        self._lifted[env_ids] = False
        self._tip_gap[env_ids] = self._geometry(self.simulator.state, env_ids).tip_gap

    def _observe(self) -> None:
        state = self.simulator.state
        noise, level = self.cfg.randomization, self.curriculum.level
        sampler = self._sampler
        position = sampler.noise(state.joint_position, level * noise.joint_noise_rad)
        velocity = sampler.noise(state.joint_velocity, level * noise.joint_velocity_noise)
        self._proprioception = torch.cat([position, velocity, self._joint_target], dim=1)
        groups: dict[str, torch.Tensor] = {}
        if PROPRIOCEPTION in self.groups:
            groups[PROPRIOCEPTION] = self._proprioception
        if PRIVILEGED in self.groups:
            extras = PrivilegedExtras(self._features[self._object_index], self._tip_gap, self._parameters)
            observed = sampler.noise(state.object_position, level * noise.object_noise_m)
            rotation = rotation_from_quaternion(state.object_quaternion)
            groups[PRIVILEGED] = privileged(state, observed, rotation, extras)
        drawn = self._drawn_pose(state)
        if OBJECT_POSITION in self.groups:
            groups[OBJECT_POSITION] = state.object_position if drawn is None else drawn[0]
        if self._images:
            rgb, depth = self.simulator.render(drawn)
            if rgb is not None:
                groups[STEREO] = rgb
            if depth is not None:
                groups[DEPTH] = self._measured(depth)
        self._observations = TensorDict(groups, batch_size=[self.num_envs], device=self.device)

    def _measured(self, depth: torch.Tensor) -> torch.Tensor:
        """What the depth cameras make of true depth (n, 1, H, W) in m."""
        draws = DepthSensor.step_draws(depth.shape[2], depth.shape[3])
        uniform = self._sampler.uniform(self._everything, draws)
        return self._depth_sensor.measure(depth, self.curriculum.level, uniform)

    def _drawn_pose(self, state: SimulatorState) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Position (n, 3) and quaternion (n, 4) at which objects are drawn; None: where they are."""
        if not (self._images and self._elsewhere.any()):
            return None
        moved = torch.nonzero(self._elsewhere).flatten()
        moved = moved[self._sampler.choose(torch.full((len(moved),), _DRAWN_ELSEWHERE, device=self.device))]
        position, quaternion = state.object_position.clone(), state.object_quaternion.clone()
        position[moved], quaternion[moved] = self._sampler.pose_anywhere(self._object_index[moved])
        return position, quaternion

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the environment: the curriculum. Plain JSON types."""
        return {"curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.curriculum.load_state_dict(state["curriculum"])


def make_env(
    config: TaskConfig,
    num_envs: int,
    groups: tuple[str, ...],
    objects: str,
    seed: int,
    sampler: EpisodeSampler | None = None,
) -> GraspEnv:
    """The grasp task on the simulator that it names, with images of the size that it says.

    Args:
        config: the task.
        num_envs: environments in the batch.
        groups: observation groups to give (see ``GraspEnv``).
        objects: ``"training"`` or ``"held-out"``.
        seed: of the episodes.
        sampler: draws the episodes instead of one made from the seed.

    Raises:
        ValueError: a group or the object set does not exist.
        ConfigurationError: the rates are not the workcell's, images have no pixels, the simulator's device is
            not there, or it cannot do what the task asks for.
        IsaacGymError: the simulator is Isaac Gym, and missing or failing.
    """
    check_groups(groups)
    config.check_rates()
    specs, ranges = object_set(objects, config.object_seed), config.randomization
    if config.simulator == "isaacgym" and config.isaacgym.gpu_pipeline and ranges.mass != (1.0, 1.0):
        limit = "with task.isaacgym.gpu_pipeline, Isaac Gym cannot change masses: it has to be (1, 1)"
        raise ConfigurationError(f"task.randomization.mass is {ranges.mass}; {limit}")
    simulation = Simulation(
        specs,
        substeps=config.substeps,
        rgb=STEREO in groups,
        depth=DEPTH in groups,
        scene=config.scene,
        rig=config.image.rig(),
        depth_rig=config.depth_image.rig("depth_image"),
    )
    # Blocks of few environments, each with its own seed, begin at different objects.
    first_object = int(np.random.default_rng(seed % 2**32).integers(len(specs)))
    simulator = make_simulator(
        config.simulator, num_envs, simulation, config.threads, config.warp, config.isaacgym, first_object
    )
    if sampler is None and isinstance(simulator, IsaacGymSimulator):
        sampler = HeldObjectsSampler(specs, ranges, seed, simulator.held_objects)
    return GraspEnv(config, simulator, groups, seed, sampler)
