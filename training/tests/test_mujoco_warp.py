"""MuJoCo Warp's physics and images against the default simulator's, on its CPU device.

Its kernels are compiled without optimization, in a third of the time; all simulators here have the same
sizes, so that they are compiled once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest
import torch
import warp

from grasp_description.cameras import StereoRig
from grasp_description.objects import ObjectSpec, object_set, pack
from grasp_description.robot import JOINT_NAMES
from grasp_description.scene import OBJECT_BODY, OBJECT_GEOMS, build_spec
from grasp_training.benchmarks.motions import grasp_and_lift
from grasp_training.benchmarks.side_by_side import draw_side_by_side
from grasp_training.disaggregation import Setup, SingleWiring
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.runs import ConfigurationError
from grasp_training.simulators import (
    MujocoSimulator,
    ResetState,
    Simulation,
    Simulator,
    SimulatorState,
    WarpConfig,
    make_simulator,
)
from grasp_training.simulators.mujoco_warp import MujocoWarpSimulator, simulation_device
from grasp_training.tasks import (
    CurriculumConfig,
    EpisodeSampler,
    ImageConfig,
    RandomizationConfig,
    TaskConfig,
    make_env,
)

pytestmark = pytest.mark.slow

JOINTS, WORLDS = len(JOINT_NAMES), 8
OBJECTS = object_set("training")[:WORLDS]
EVERYTHING = torch.arange(WORLDS)
ON_CPU = WarpConfig(device="cpu")
SEEN = Simulation(OBJECTS, rgb=True, depth=True)
FULL = TaskConfig(
    simulator="mujoco_warp", warp=ON_CPU, threads=1, curriculum=CurriculumConfig(start_level=1.0, step=0.0)
)


@pytest.fixture(scope="module", autouse=True)
def _quick_kernels() -> Iterator[None]:
    """Kernels without optimization, for this file alone."""
    config = warp.config
    before = config.optimization_level, config.cpu_compiler_flags
    config.optimization_level, config.cpu_compiler_flags = 0, None
    yield
    config.optimization_level, config.cpu_compiler_flags = before


@pytest.fixture(scope="module")
def simulators() -> tuple[Simulator, MujocoWarpSimulator]:
    """The default simulator and MuJoCo Warp's, with images; every test resets them."""
    other = make_simulator("mujoco_warp", WORLDS, SEEN, warp=ON_CPU)
    assert isinstance(other, MujocoWarpSimulator)
    return make_simulator("mujoco", WORLDS, SEEN, threads=1), other


def starts(seed: int = 0, level: float = 1.0) -> ResetState:
    """Random starts, one object each."""
    return EpisodeSampler(OBJECTS, RandomizationConfig(), seed).reset_state(EVERYTHING, level)


def dress(simulator: Simulator, seed: int = 0) -> None:
    """Random colours, cameras and lights, the same for every simulator."""
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), seed)
    nominal = simulator.nominal_rgba, simulator.robot_geoms, simulator.nominal_light
    simulator.randomize_appearance(EVERYTHING, sampler.appearance(WORLDS, *nominal))


def hold(start: ResetState) -> torch.Tensor:
    return start.joint_position[:, None].expand(-1, 4, -1)


def assert_same(first: SimulatorState, second: SimulatorState, rows: list[int]) -> None:
    """Bit for bit."""
    for item in fields(SimulatorState):
        a, b = getattr(first, item.name)[rows], getattr(second, item.name)[rows]
        assert torch.equal(a, b), f"{item.name} differs by {(a - b).abs().max()}"


def test_joints_without_contact_move_as_in_the_default_simulator(simulators):
    """Random targets for arm and open hand, with random gains; the object is out of reach."""
    start = starts()
    away = replace(start, object_position=start.object_position + torch.tensor([0.0, 1.5, 0.0]))
    draws = torch.Generator().manual_seed(2)
    swing = torch.zeros(WORLDS, JOINTS)
    swing[:, :7] = 0.3 * (2.0 * torch.rand(WORLDS, 7, generator=draws) - 1.0)
    swing[:, 1] = -swing[:, 1].abs()  # up, away from the table
    swing[:, 8:11] = 0.3 * torch.rand(WORLDS, 3, generator=draws)
    for simulator in simulators:
        simulator.reset(EVERYTHING, away)
    furthest, moved = 0.0, 0.0
    for step in range(60):
        share = 0.5 * (1.0 - np.cos(0.1 * step))  # to and fro, never beyond the start: the table is below
        command = (start.joint_position + swing * share)[:, None].expand(-1, 4, -1)
        for simulator in simulators:
            simulator.step(command)
        one, other = (simulator.state for simulator in simulators)
        assert not one.touch.any()
        furthest = max(furthest, float((one.joint_position - other.joint_position).abs().max()))
        moved = max(moved, float((one.joint_position - start.joint_position).abs().max()))
        assert (one.link_position - other.link_position).abs().max() < 1e-3
    assert furthest < 1e-3, "rad"
    assert moved > 0.2, "rad: the joints must have moved"


def test_standing_objects_come_to_rest_as_in_the_default_simulator(simulators):
    start = starts(level=0.0)
    for simulator in simulators:
        simulator.reset(EVERYTHING, start)
        for _ in range(30):
            simulator.step(hold(start))
    one, other = (simulator.state for simulator in simulators)
    rest = torch.tensor([spec.rest_height_m for spec in OBJECTS])
    assert (other.object_position[:, 2] - rest).abs().max() < 1e-3
    assert (one.object_position - other.object_position).abs().max() < 1e-3
    upright = rotation_from_quaternion(other.object_quaternion)[:, 2, 2]
    assert upright.min() > 0.999
    assert other.object_velocity[:, :3].abs().max() < 0.01


@pytest.fixture(scope="module")
def lifts() -> list[torch.Tensor]:
    """Heights (n,) above rest at the end of a scripted grasp, of each simulator."""
    heights = []
    for name in ("mujoco", "mujoco_warp"):
        env = make_env(
            replace(FULL, simulator=name, curriculum=CurriculumConfig(start_level=0.3, step=0.0)),
            WORLDS, ("proprioception",), "training", 3,
        )  # fmt: skip
        rest, steps = env.simulator.state.object_position[:, 2], 75
        for step in range(steps):
            env.step(grasp_and_lift(env.simulator.state, step / steps))
        heights.append(env.simulator.state.object_position[:, 2] - rest)
    return heights


def test_a_scripted_grasp_lifts_as_high_as_in_the_default_simulator(lifts):
    one, other = lifts
    spread = float(torch.sqrt((one.var() + other.var()) / WORLDS))
    assert abs(float(one.mean() - other.mean())) < 3.0 * spread + 1e-3, "m"
    lifted = [int((height > 0.02).sum()) for height in lifts]
    assert min(lifted) > 0, "the motion must lift something"
    assert abs(lifted[0] - lifted[1]) <= 3


def test_images_look_the_same_as_the_default_simulators(simulators):
    start = starts()
    images = []
    for simulator in simulators:
        simulator.reset(EVERYTHING, start)
        dress(simulator)
        images.append(simulator.render())
    (rgb, depth), (other_rgb, other_depth) = images
    assert other_rgb.shape == rgb.shape
    assert ((rgb.int() - other_rgb.int()).abs().amax(-1) > 2).float().mean() < 1e-3
    assert ((depth - other_depth).abs() > 1e-3).float().mean() < 1e-3
    assert rgb.float().std() > 10, "images of something"


def test_the_picture_of_both_simulators_says_how_alike_they_are(tmp_path):
    path = tmp_path / "scenes.png"
    agreement = draw_side_by_side(path, scenes=2, image=ImageConfig(32, 24), warp=ON_CPU)
    assert path.stat().st_size > 10_000
    assert agreement.depth > 0.999
    assert agreement.colour > 0.999


def test_depth_is_what_plain_mujocos_rays_hit(simulators):
    _, simulator = simulators
    start, rig = starts(), StereoRig()
    simulator.reset(EVERYTHING, start)
    fresh = MujocoSimulator(1, OBJECTS)
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(camera_position_m=0.0, camera_rotation_rad=0.0), 0)
    looks = sampler.appearance(WORLDS, fresh.nominal_rgba, fresh.robot_geoms, fresh.nominal_light)
    simulator.randomize_appearance(EVERYTHING, looks)
    _, depth = simulator.render()
    assert depth is not None
    for world in range(WORLDS):
        difference = np.abs(depth[world, 0].numpy() - planar_depth(start, world, rig))
        assert (difference < 0.002).mean() > 0.99


def compiled_scene(spec: ObjectSpec, rig: StereoRig) -> mujoco.MjModel:
    """The scene with the object's own geoms compiled in: rays need their bounds."""
    scene, packed = build_spec(rig=rig), pack([spec])
    for slot, name in enumerate(OBJECT_GEOMS):
        geom = scene.geom(name)
        if not packed.active[0, slot]:
            scene.delete(geom)
            continue
        geom.type = mujoco.mjtGeom(int(packed.geom_type[0, slot]))
        geom.size, geom.pos, geom.quat = (
            values[0, slot] for values in (packed.geom_size, packed.geom_position, packed.geom_quaternion)
        )
    body = scene.body(OBJECT_BODY)
    body.ipos, body.iquat = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]
    return scene.compile()


def planar_depth(start: ResetState, world: int, rig: StereoRig) -> np.ndarray:
    """Depth (H, W) in m along the optical axis by ``mj_multiRay``."""
    model = compiled_scene(OBJECTS[world], rig)
    data = mujoco.MjData(model)
    data.qpos[:JOINTS] = start.joint_position[world]
    data.qpos[JOINTS : JOINTS + 3] = start.object_position[world]
    data.qpos[JOINTS + 3 :] = start.object_quaternion[world]
    mujoco.mj_forward(model, data)
    fx, fy, cx, cy = rig.intrinsics()
    v, u = np.mgrid[: rig.height, : rig.width]
    rays = np.stack([(u - cx) / fx, -(v - cy) / fy, -np.ones_like(u, float)], axis=-1).reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    directions = (rays / length[:, None]) @ rig.rotation().T
    geoms, distances = np.zeros(len(rays), np.int32), np.zeros(len(rays))
    eye_at = rig.positions()[0]
    mujoco.mj_multiRay(
        model, data, eye_at, directions.ravel(), None, True, -1, geoms, distances, None, len(rays), 1e6
    )
    planar = np.where(distances >= 0, distances / length, 0.0)
    return planar.reshape(rig.height, rig.width)


def test_an_object_drawn_elsewhere_is_put_back(simulators):
    _, simulator = simulators
    start = starts()
    simulator.reset(EVERYTHING, start)
    dress(simulator)
    unmoved, _ = simulator.render()
    pose = EpisodeSampler(OBJECTS, RandomizationConfig(), 3).pose_anywhere(EVERYTHING)
    drawn, _ = simulator.render(pose)
    assert torch.equal(simulator.render()[0], unmoved)
    simulator.reset(EVERYTHING, replace(start, object_position=pose[0], object_quaternion=pose[1]))
    there, _ = simulator.render()
    assert (drawn != unmoved).flatten(1).any(1).all()
    assert ((drawn.int() - there.int()).abs().amax(-1) > 2).float().mean() < 1e-3


def test_a_reset_wipes_out_the_past_and_leaves_the_others_alone(simulators):
    _, simulator = simulators
    start, again = starts(), starts(seed=5)
    chosen, others = torch.tensor([0, 3, 6]), [1, 2, 4, 5, 7]
    simulator.reset(EVERYTHING, start)
    for _ in range(5):
        simulator.step(hold(start))
    before = simulator.state
    rows = ResetState(**{item.name: getattr(again, item.name)[chosen] for item in fields(ResetState)})
    simulator.reset(chosen, rows)
    assert_same(before, simulator.state, others)
    assert torch.equal(simulator.state.object_position[chosen], rows.object_position)
    simulator.step(hold(again))
    used = simulator.state
    simulator.reset(EVERYTHING, again)
    simulator.step(hold(again))
    assert_same(used, simulator.state, chosen.tolist())
    assert not torch.equal(before.object_position, used.object_position)


def test_what_does_not_fit_is_counted_and_said_once(caplog):
    """Room for one contact: objects that stand on the table want several."""
    tight = replace(ON_CPU, contacts=0.0, contacts_of_one=1)
    simulator = MujocoWarpSimulator(WORLDS, OBJECTS, config=tight)
    start = starts(level=0.0)
    simulator.reset(EVERYTHING, start)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            simulator.step(hold(start))
    assert simulator.figures()["simulator/overflows"] == WORLDS
    assert simulator.overflows.total > WORLDS
    (record,) = [entry for entry in caplog.records if "too little room" in entry.getMessage()]
    assert "task.warp.contacts: 1 reserved" in record.getMessage()
    assert "constraint rows" not in record.getMessage()


def test_the_reserved_room_suffices_for_a_grasp_and_its_demand_is_told(lifts, simulators):
    _, simulator = simulators
    start = starts(level=0.0)
    simulator.reset(EVERYTHING, start)
    for _ in range(3):
        simulator.step(hold(start))
    demand = simulator.demand()
    assert demand.contacts.shape == demand.rows.shape == (WORLDS,)
    assert (demand.contacts > 0).all(), "objects stand on the table"
    assert (demand.rows >= 3).all()
    assert simulator.overflows.total == 0


def test_the_task_runs_on_it_as_the_environments_of_a_run():
    setup = Setup(WORLDS, 1, ("proprioception", "privileged", "depth"), "training", seed=0)
    env = SingleWiring().connect(make_env, FULL, setup)
    observations, rewards, _, extras = env.step(torch.zeros(WORLDS, 11))
    assert torch.isfinite(rewards).all()
    image = FULL.depth_image
    assert observations["depth"].shape == (WORLDS, 1, image.height, image.width)
    assert extras["log"]["simulator/overflows"] == 0.0


def test_an_unknown_simulator_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigurationError, match=r"task\.simulator is 'bullet'; .* mujoco, mujoco_warp"):
        make_env(replace(FULL, simulator="bullet"), 1, ("proprioception",), "training", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(ConfigurationError, match=f"'{name}'; expected cpu, cuda or cuda:N"):
        simulation_device(name)


def test_a_gpu_that_is_not_there_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    task = replace(FULL, warp=WarpConfig(device="cuda"))
    with pytest.raises(ConfigurationError, match=r"task\.warp\.device is 'cuda', but torch finds no CUDA"):
        make_env(task, 1, ("proprioception",), "training", 0)


def test_a_rank_takes_the_gpu_of_its_local_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(warp, "is_cuda_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert simulation_device("cuda") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "6")
    assert simulation_device("cuda") == torch.device("cuda:2")
    assert simulation_device("cuda:3") == torch.device("cuda:3")
    with pytest.raises(ConfigurationError, match="there are 4 CUDA devices; expected cuda:0 to cuda:3"):
        simulation_device("cuda:4")


@pytest.mark.parametrize(
    ("name", "value"), [("contacts", -1.0), ("contacts_of_one", 0), ("constraint_rows", 0)]
)
def test_no_room_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=rf"task\.warp\.{name} is {value}"):
        MujocoWarpSimulator(1, OBJECTS, config=replace(ON_CPU, **{name: value}))
