"""What the stereo cameras show: the scene as MuJoCo Warp draws it, true disparities, the new episode."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import mujoco
import mujoco_warp
import numpy as np
import pytest
import torch
import warp

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.objects import MAX_PARTS, object_set
from grasp_description.rendering import StereoRenderer, nominal_scene
from grasp_description.robot import JOINT_NAMES
from grasp_description.scene import OBJECT_GEOMS, apply_object, build_model
from grasp_training.runs import ConfigurationError
from grasp_training.simulators import MujocoSimulator
from grasp_training.simulators.base import Appearance
from grasp_training.tasks import (
    CurriculumConfig,
    EpisodeSampler,
    ImageConfig,
    RandomizationConfig,
    TaskConfig,
    make_env,
)

JOINTS = len(JOINT_NAMES)
OBJECTS = object_set("training")[:18]
LARGE = replace(STEREO_RIG, width=160, height=120)


def nominal(simulator: MujocoSimulator, rig: StereoRig = STEREO_RIG) -> Appearance:
    n = simulator.num_envs
    model = simulator.model
    rotation = torch.tensor(rig.rotation()).float()
    return Appearance(
        geom_rgba=simulator.nominal_rgba.float().expand(n, -1, -1).clone(),
        camera_position=torch.tensor(rig.positions()).float().expand(n, 2, 3),
        camera_rotation=rotation.expand(n, 2, 3, 3),
        light_position=simulator.nominal_light.expand(n, 3),
        light_direction=torch.tensor(model.light_dir[0]).float().expand(n, 3),
        light_diffuse=torch.tensor(model.light_diffuse[0]).float().expand(n, 3),
    )


def simulator_at_start(count: int, rig: StereoRig = STEREO_RIG, first: int = 0, depth: bool = True):
    """Simulations with nominal looks and one object each, at the start of an episode."""
    simulator = MujocoSimulator(count, OBJECTS, images=True, depth=depth, threads=1, rig=rig)
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 0)
    start = sampler.reset_state(torch.arange(first, first + count) % len(OBJECTS), 1.0)
    simulator.reset(torch.arange(count), start)
    simulator.randomize_appearance(torch.arange(count), nominal(simulator, rig))
    return simulator, start


def depth_of_both_eyes(simulator: MujocoSimulator, rig: StereoRig) -> torch.Tensor:
    """Depth (n, 2, H, W) as seen from the left camera's place, then from the right one's."""
    everything, looks = torch.arange(simulator.num_envs), nominal(simulator, rig)
    found = []
    for positions in (looks.camera_position, looks.camera_position.flip(1)):
        simulator.randomize_appearance(everything, replace(looks, camera_position=positions))
        _, depth = simulator.render()
        assert depth is not None
        found.append(depth)
    return torch.cat(found, dim=1)


def plain_model(index: int, start, row: int, rig: StereoRig) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """One compiled scene in plain MuJoCo, posed as the simulation."""
    model = build_model(rig=rig)
    rgba = model.geom_rgba.copy()
    apply_object(model, OBJECTS[index])
    model.geom_rgba[:] = rgba  # the simulator's nominal colours, not the object's own
    data = mujoco.MjData(model)
    data.qpos[:JOINTS] = start.joint_position[row]
    data.qpos[JOINTS : JOINTS + 3] = start.object_position[row]
    data.qpos[JOINTS + 3 :] = start.object_quaternion[row]
    mujoco.mj_forward(model, data)
    return model, data


def test_an_object_drawn_elsewhere_looks_as_if_it_were_there() -> None:
    count = 6
    simulator, start = simulator_at_start(count, depth=False)
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 3)
    index = torch.arange(count)
    position, quaternion = sampler.pose_anywhere(index)
    assert (position[:, 2] > 0).all()
    assert torch.allclose(torch.linalg.norm(quaternion, dim=1), torch.ones(count))
    unmoved, _ = simulator.render()
    drawn, _ = simulator.render((position, quaternion))
    assert torch.equal(simulator.render()[0], unmoved), "the simulation itself is as before"
    simulator.reset(index, replace(start, object_position=position, object_quaternion=quaternion))
    there, _ = simulator.render()
    assert (drawn != unmoved).flatten(1).any(1).all()
    assert (drawn.int() - there.int()).abs().max() <= 1


def test_lessons_in_seeing_change_the_scene_each_step_and_label_what_is_drawn() -> None:
    task = TaskConfig(threads=1, curriculum=CurriculumConfig(start_level=1.0))
    env = make_env(task, 12, ("stereo", "object_position"), "training", seed=1)
    lessons = torch.arange(12) < 8
    env.draw_elsewhere(lessons)
    true_position, labels = [], []
    for _ in range(5):
        obs, _, _, extras = env.step(torch.zeros(12, 11))
        labels.append(obs["object_position"])
        true_position.append(extras["state"].object_position)
    moved = (torch.stack(labels) - torch.stack(true_position)).norm(dim=2) > 1e-3
    assert not moved[:, ~lessons].any()
    assert 0.4 < moved[:, lessons].float().mean() < 0.95
    assert (env.simulator.state.object_position[:, 2] < 0.2).all(), "nothing was lifted in truth"
    env.draw_elsewhere(torch.zeros(12, dtype=torch.bool))
    obs, _, _, extras = env.step(torch.zeros(12, 11))
    assert torch.equal(obs["object_position"], extras["state"].object_position)


def warps_image(model: mujoco.MjModel, data: mujoco.MjData, rig: StereoRig) -> np.ndarray:
    """MuJoCo Warp's own rendering (2, H, W, 3) uint8 of one scene, by its public functions."""
    model.opt.disableflags = 0  # MuJoCo Warp does not know them all
    with warp.ScopedDevice("cpu"):
        on_device, posed = mujoco_warp.put_model(model), mujoco_warp.put_data(model, data)
        context = mujoco_warp.create_render_context(
            model,
            nworld=1,
            cam_res=(rig.width, rig.height),
            render_rgb=True,
            use_textures=False,
            use_shadows=False,
            enabled_geom_groups=list(range(6)),
        )
        mujoco_warp.refit_bvh(on_device, posed, context)
        mujoco_warp.render(on_device, posed, context)
    packed = context.rgb_data.numpy().reshape(2, rig.height, rig.width)
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("index", [0, 4, 5, 6])
def test_images_are_mujoco_warps_of_the_same_scene(index):
    """The simulator has a geom of every type in each slot; the reference has the object's own alone."""
    simulator, start = simulator_at_start(1, first=index)
    rgb, _ = simulator.render()
    model, data = plain_model(index, start, 0, STEREO_RIG)
    for slot in range(len(OBJECTS[index].parts), MAX_PARTS):
        data.geom_xpos[model.geom(OBJECT_GEOMS[slot]).id, 2] = -50.0
    expected = warps_image(model, data, STEREO_RIG)
    different = (rgb[0].numpy().astype(int) - expected).__abs__().max(-1) > 2
    assert different.mean() < 1e-3, f"{different.sum()} pixels differ"
    assert expected.std() > 10, "an image of something"


def test_kernels_are_generated_one_at_a_time(monkeypatch):
    """A context's first rendering generates its kernel, and Warp cannot do that in two threads at once."""
    model = build_model()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    one = nominal_scene(model, data)
    scene = type(one)(**{name: np.concatenate([value, value]) for name, value in vars(one).items()})
    known, at_once, most = [], [], []
    render = mujoco_warp.render

    def observed(model, data, context):
        first = not any(context is other for other in known)
        if first:
            known.append(context)
            at_once.append(context)
            most.append(len(at_once))
            time.sleep(0.01)
        render(model, data, context)
        if first:
            at_once.pop()

    monkeypatch.setattr(mujoco_warp, "render", observed)
    with ThreadPoolExecutor(3) as threads:
        images = list(threads.map(lambda _: StereoRenderer(2, threads=2).render(scene)[0], range(3)))
    assert most == [1] * 6
    assert all(np.array_equal(image, images[0]) for image in images)


def test_depth_is_of_what_there_is_wherever_objects_are_drawn():
    count = 4
    simulator, start = simulator_at_start(count)
    alone = MujocoSimulator(count, OBJECTS, images=True, depth=True, rgb=False, threads=1)
    alone.reset(torch.arange(count), start)
    alone.randomize_appearance(torch.arange(count), nominal(alone))
    rgb, depth = simulator.render()
    elsewhere = EpisodeSampler(OBJECTS, RandomizationConfig(), 3).pose_anywhere(torch.arange(count))
    drawn, same = simulator.render(elsewhere)
    assert not torch.equal(drawn, rgb)
    assert torch.equal(same, depth)
    no_colour, expected = alone.render()
    assert no_colour is None
    assert torch.equal(depth, expected), "with or without colour"


def test_depth_may_have_a_size_of_its_own():
    simulator = MujocoSimulator(1, OBJECTS, images=True, depth=True, threads=1, depth_rig=LARGE)
    rgb, depth = simulator.render()
    assert rgb.shape[2:4] == (STEREO_RIG.height, STEREO_RIG.width)
    assert depth.shape == (1, 1, LARGE.height, LARGE.width)


def test_a_renderer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="expected one of them at least"):
        StereoRenderer(1, rgb=False)


def test_depth_is_what_plain_mujocos_rays_hit():
    simulator, start = simulator_at_start(1, LARGE, first=4)
    depth = depth_of_both_eyes(simulator, LARGE)
    model, data = plain_model(4, start, 0, LARGE)
    fx, fy, cx, cy = LARGE.intrinsics()
    rotation, geom = LARGE.rotation(), np.zeros(1, np.int32)
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(150):
        eye, u, v = rng.integers(2), int(rng.integers(LARGE.width)), int(rng.integers(LARGE.height))
        ray = rotation @ np.array([(u - cx) / fx, -(v - cy) / fy, -1.0])
        length = mujoco.mj_ray(
            model, data, LARGE.positions()[eye], ray / np.linalg.norm(ray), None, 1, -1, geom
        )
        planar = length / np.linalg.norm(ray) if length >= 0 else 0.0
        # At an outline the two may fall on different sides of it.
        wrong += abs(float(depth[0, eye, v, u]) - planar) > 1e-3
    assert wrong <= 1


def test_disparity_of_the_object_is_baseline_times_focal_length_over_depth():
    """A pixel of the left image, shifted by the disparity, meets the same surface in the right image."""
    with_object, start = simulator_at_start(1, LARGE, first=6)
    depth = depth_of_both_eyes(with_object, LARGE)
    without, _ = simulator_at_start(1, LARGE, first=6)
    away = replace(start, object_position=start.object_position + torch.tensor([0.0, 3.0, 0.0]))
    without.reset(torch.arange(1), away)
    empty = depth_of_both_eyes(without, LARGE)
    left, right = depth[0].numpy()
    mask = [np.abs(seen - bare) > 1e-4 for seen, bare in zip(depth[0].numpy(), empty[0].numpy(), strict=True)]
    assert mask[0].sum() > 100
    focal = LARGE.intrinsics()[0]
    rows, columns = np.nonzero(mask[0])
    disparity = focal * LARGE.baseline_m / left[rows, columns]
    shifted = np.round(columns - disparity).astype(int)
    assert (disparity > 10).all()
    assert (shifted >= 0).all(), "the object is in both images"
    hit = mask[1][rows, shifted]
    assert hit.mean() > 0.9
    difference = np.abs(right[rows, shifted] - left[rows, columns])[hit]
    assert np.median(difference) < 2e-3
    centres = [np.nonzero(eye)[1].mean() for eye in mask]
    assert centres[0] - centres[1] == pytest.approx(disparity.mean(), abs=1.5)


def test_whole_object_is_seen_by_both_cameras_wherever_it_may_start():
    count = 64
    simulator = MujocoSimulator(count, OBJECTS, images=True, depth=True, threads=1)
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 3)
    start = sampler.reset_state(torch.arange(count) % len(OBJECTS), 1.0)
    fx, fy, cx, cy = STEREO_RIG.intrinsics()
    for eye in STEREO_RIG.positions():
        seen = (start.object_position.numpy() - eye) @ STEREO_RIG.optical_rotation()
        u, v = fx * seen[:, 0] / seen[:, 2] + cx, fy * seen[:, 1] / seen[:, 2] + cy
        assert (u > 3).all()
        assert (u < STEREO_RIG.width - 4).all()
        assert (v > 3).all()
        assert (v < STEREO_RIG.height - 4).all()
    assert simulator.num_envs == count


def test_images_do_not_depend_on_threads_or_on_the_neighbours():
    images = []
    for threads in (1, 2):
        simulator = MujocoSimulator(5, OBJECTS, images=True, threads=threads)
        sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 0)
        simulator.reset(torch.arange(5), sampler.reset_state(torch.arange(5), 1.0))
        look = sampler.appearance(5, simulator.nominal_rgba, simulator.robot_geoms, simulator.nominal_light)
        simulator.randomize_appearance(torch.arange(5), look)
        images.append(simulator.render()[0])
    assert torch.equal(*images)
    alone, _ = simulator_at_start(1, first=2)
    among, _ = simulator_at_start(4)
    assert not torch.equal(among.render()[0][0], among.render()[0][1])
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 0)
    start = sampler.reset_state(torch.tensor([2]), 1.0)
    alone.reset(torch.arange(1), start)
    among.reset(torch.tensor([2]), start)
    assert torch.equal(alone.render()[0][0], among.render()[0][2])


def test_rendering_shows_the_episode_after_a_reset_and_the_state_after_a_step():
    simulator, start = simulator_at_start(2)
    first = simulator.render()[0]
    moved = replace(start, object_position=start.object_position + torch.tensor([0.05, 0.05, 0.0]))
    simulator.reset(torch.tensor([1]), replace_rows(moved, [1]))
    second = simulator.render()[0]
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    fresh, _ = simulator_at_start(2)
    fresh.reset(torch.arange(2), moved)
    assert torch.equal(fresh.render()[0][1], second[1])
    command = start.joint_position + 0.1
    for _ in range(3):
        simulator.step(command[:, None].expand(-1, 4, -1))
    third, state = simulator.render()[0], simulator.state
    now = replace(
        moved,
        joint_position=state.joint_position,
        object_position=state.object_position,
        object_quaternion=state.object_quaternion,
    )
    fresh.reset(torch.arange(2), now)
    difference = (fresh.render()[0].int() - third.int()).abs().amax(-1) > 2
    assert difference.float().mean() < 1e-3, "float32 positions may move an outline by a pixel"


def replace_rows(start, rows: list[int]):
    return type(start)(**{name: value[rows] for name, value in vars(start).items()})


def test_the_tasks_images_after_an_episodes_end_are_of_the_next_one():
    config = TaskConfig(episode_length_s=0.1, curriculum=CurriculumConfig(start_level=1.0), threads=1)
    env = make_env(config, 2, ("proprioception", "stereo"), "training", 0)
    hold = env.simulator.state.joint_position
    for step in range(3):
        observations, _, done, _ = env.step_joint_targets(hold)
        assert torch.equal(observations["stereo"], env.simulator.render()[0])
        assert done.all() == (step == 2)
    again = make_env(config, 2, ("proprioception", "stereo"), "training", 0)
    assert not torch.equal(again.get_observations()["stereo"], observations["stereo"])


def test_stereo_shows_nothing_of_mass_and_friction():
    simulator, start = simulator_at_start(2)
    same = replace_rows(start, [0, 0])
    simulator.reset(
        torch.arange(2), replace(same, mass_scale=torch.tensor([0.7, 1.4]), friction=torch.tensor([0.6, 1.1]))
    )
    rgb, depth = simulator.render()
    assert torch.equal(rgb[0], rgb[1])
    assert depth is not None
    assert torch.equal(depth[0], depth[1])


def test_task_gives_stereo_and_depth_in_their_shapes():
    env = make_env(TaskConfig(threads=1), 2, ("stereo", "depth"), "training", 0)
    observations = env.get_observations()
    height, width = STEREO_RIG.height, STEREO_RIG.width
    assert observations["stereo"].shape == (2, 2, height, width, 3)
    assert observations["stereo"].dtype == torch.uint8
    assert observations["depth"].shape == (2, 1, 36, 48)
    assert observations["depth"].dtype == torch.float32
    table = observations["depth"][observations["depth"] > 0]
    assert 0.2 < table.min() < table.max() < 10.0


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 240)])
def test_images_are_of_the_size_that_the_task_says(width: int, height: int):
    size = ImageConfig(width, height)
    config = TaskConfig(threads=1, image=size, depth_image=size)
    observations = make_env(config, 1, ("stereo", "depth"), "training", 0).get_observations()
    assert observations["stereo"].shape == (1, 2, height, width, 3)
    assert observations["depth"].shape == (1, 1, height, width)
    small = make_env(TaskConfig(threads=1), 1, ("depth",), "training", 0).get_observations()["depth"]
    coarse = torch.nn.functional.interpolate(observations["depth"], small.shape[2:], mode="nearest-exact")
    near = (coarse - small).abs() < 0.02
    assert near.float().mean() > 0.85, "the same view, more finely"


def test_images_without_pixels_are_refused():
    with pytest.raises(ConfigurationError, match=r"\bimage\.height is 0 px; at least 1"):
        make_env(TaskConfig(image=ImageConfig(64, 0)), 1, ("stereo",), "training", 0)
    with pytest.raises(ConfigurationError, match=r"depth_image\.width is 0 px; at least 1"):
        make_env(TaskConfig(depth_image=ImageConfig(0, 48)), 1, ("depth",), "training", 0)
