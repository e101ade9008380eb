"""The MuJoCo backend: deterministic, isolated, current, and the same physics as plain MuJoCo."""

from __future__ import annotations

from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest
import torch

from grasp_description.objects import object_set, pack
from grasp_description.robot import HAND_CLOSED, HOME_POSITION, JOINT_NAMES
from grasp_description.scene import OBJECT_BODY, OBJECT_GEOMS, apply_object, build_model, build_spec
from grasp_training.simulators import LINKS, MujocoSimulator, ResetState, SimulatorState
from grasp_training.tasks import EpisodeSampler, RandomizationConfig

JOINTS = len(JOINT_NAMES)
OBJECTS = object_set("training")[:18]


def starts(count: int, seed: int = 0, level: float = 1.0) -> ResetState:
    """Random starts, one object after the other."""
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), seed)
    return sampler.reset_state(torch.arange(count) % len(OBJECTS), level)


def motion(start: ResetState, steps: int, seed: int = 1) -> torch.Tensor:
    """Commands (steps, n, 4, 23): the hand comes down among the objects, then closes, with noise on top."""
    generator = torch.Generator().manual_seed(seed)
    low, closed = torch.tensor(HOME_POSITION), torch.tensor(HOME_POSITION)
    low[:7] = closed[:7] = torch.tensor([0.0, 0.64, 0.0, -1.97, 0.0, -0.16, 0.0])
    closed[7:] = torch.tensor(HAND_CLOSED)
    descend = torch.linspace(0.0, 2.0, steps).clamp(max=1.0)[:, None, None]
    grip = torch.linspace(-2.0, 2.0, steps).clamp(0.0, 1.0)[:, None, None]
    path = start.joint_position + descend * (low - start.joint_position) + grip * (closed - low)
    noise = 0.02 * torch.randn(path.shape, generator=generator)
    return (path + noise).float()[:, :, None].expand(-1, -1, 4, -1)


def run(simulator: MujocoSimulator, commands: torch.Tensor) -> list[SimulatorState]:
    states = []
    for command in commands:
        simulator.step(command)
        states.append(simulator.state)
    return states


def assert_same(
    first: SimulatorState, second: SimulatorState, which: slice | list[int] = slice(None)
) -> None:
    """Bit for bit."""
    for item in fields(SimulatorState):
        a, b = getattr(first, item.name)[which], getattr(second, item.name)[which]
        assert torch.equal(a, b), f"{item.name} differs by {(a - b).abs().max()}"


def test_same_start_gives_the_same_200_steps_bit_for_bit_at_one_and_two_threads():
    start = starts(16)
    commands = motion(start, 200)
    histories = []
    for threads in (1, 2, 2):
        simulator = MujocoSimulator(16, OBJECTS, threads=threads)
        simulator.reset(torch.arange(16), start)
        histories.append(run(simulator, commands))
    for other in histories[1:]:
        for a, b in zip(histories[0], other, strict=True):
            assert_same(a, b)
    touched = torch.stack([state.touch for state in histories[0]]).amax(dim=(0, 2))
    moved = torch.linalg.norm(histories[0][-1].object_position - start.object_position, dim=-1)
    assert (touched > 0).float().mean() > 0.5, "the motion must have contacts, where differences would grow"
    assert (moved > 0.01).float().mean() > 0.5


def test_a_simulation_does_not_depend_on_which_others_run_beside_it():
    start = starts(6)
    commands = motion(start, 40)
    together = MujocoSimulator(6, OBJECTS, threads=2)
    together.reset(torch.arange(6), start)
    whole = run(together, commands)[-1]
    pair = MujocoSimulator(2, OBJECTS, threads=1)
    picked = [1, 4]
    pair.reset(
        torch.arange(2), ResetState(**{f.name: getattr(start, f.name)[picked] for f in fields(ResetState)})
    )
    part = run(pair, commands[:, picked])[-1]
    for item in fields(SimulatorState):
        assert torch.equal(getattr(whole, item.name)[picked], getattr(part, item.name)), item.name


def test_resetting_some_simulations_leaves_the_others_bit_identical():
    start, commands = starts(8), motion(starts(8), 60)
    left, right = (MujocoSimulator(8, OBJECTS, threads=2) for _ in range(2))
    for simulator in (left, right):
        simulator.reset(torch.arange(8), start)
        run(simulator, commands[:30])
    again = starts(3, seed=5)
    right.reset(torch.tensor([0, 3, 6]), replace(again, object_index=torch.tensor([9, 10, 11])))
    others = [1, 2, 4, 5, 7]
    assert_same(left.state, right.state, others)
    for command in commands[30:]:
        left.step(command)
        right.step(command)
        assert_same(left.state, right.state, others)


def test_reset_simulations_stand_where_they_were_put():
    start = starts(4)
    simulator = MujocoSimulator(4, OBJECTS)
    run(simulator, motion(start, 10))
    simulator.reset(torch.arange(4), start)
    state = simulator.state
    assert torch.equal(state.joint_position, start.joint_position)
    assert torch.equal(state.object_position, start.object_position)
    assert torch.equal(state.object_quaternion, start.object_quaternion)
    assert state.joint_velocity.abs().max() == 0
    assert state.object_velocity.abs().max() == 0


def test_a_reset_wipes_out_the_past():
    """Warm starts, velocities or forces of the episode before must not leak into the next one."""
    start = starts(4)
    fresh, used = MujocoSimulator(4, OBJECTS), MujocoSimulator(4, OBJECTS)
    used.reset(torch.arange(4), starts(4, seed=9))
    run(used, motion(start, 50, seed=7))
    for simulator in (fresh, used):
        simulator.reset(torch.arange(4), start)
    assert_same(fresh.state, used.state)
    for a, b in zip(run(fresh, motion(start, 20)), run(used, motion(start, 20)), strict=True):
        assert_same(a, b)


def plain_simulation(start: ResetState, index: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The same simulation as plain MuJoCo: object and parameters written into the model."""
    model = build_model()
    apply_object(model, OBJECTS[int(start.object_index[index])])
    body, scale = model.body(OBJECT_BODY).id, start.stiffness_scale[index].numpy()
    model.body_mass[body] *= start.mass_scale[index].item()
    model.body_inertia[body] *= start.mass_scale[index].item()
    model.geom_friction[:, 0] = start.friction[index].item()
    model.actuator_gainprm[:, 0] *= scale
    model.actuator_biasprm[:, 1:3] *= scale[:, None]
    data = mujoco.MjData(model)
    mujoco.mj_setConst(model, data)
    data.qpos[:JOINTS] = data.ctrl[:] = start.joint_position[index]
    data.qpos[JOINTS : JOINTS + 3] = start.object_position[index]
    data.qpos[JOINTS + 3 :] = start.object_quaternion[index]
    data.qvel[:], data.qacc_warmstart[:] = 0.0, 0.0
    mujoco.mj_forward(model, data)
    return model, data


def assert_current(state: SimulatorState, index: int, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """The state is what plain MuJoCo has, to float32's precision."""
    links = [model.body(name).id for name in LINKS]
    expected = {
        "joint_position": data.qpos[:JOINTS],
        "joint_velocity": data.qvel[:JOINTS],
        "link_position": data.xpos[links],
        "link_rotation": data.xmat[links].reshape(-1, 3, 3),
        "object_position": data.qpos[JOINTS : JOINTS + 3],
        "object_quaternion": data.qpos[JOINTS + 3 :],
        "object_velocity": data.qvel[JOINTS:],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(state, name)[index].numpy(), value, atol=2e-6, err_msg=name)


def test_state_is_current_after_reset_and_step_and_equals_plain_mujoco():
    start = starts(6)
    commands = motion(start, 40)
    simulator = MujocoSimulator(6, OBJECTS)
    simulator.reset(torch.arange(6), start)
    before, after = simulator.state, run(simulator, commands)[-1]
    for index in range(6):
        model, data = plain_simulation(start, index)
        assert_current(before, index, model, data)
        for command in commands[:, index].reshape(-1, JOINTS).numpy():
            data.ctrl[:] = command
            mujoco.mj_step(model, data)
        touch = data.sensordata[: after.touch.shape[1]].copy()
        mujoco.mj_forward(model, data)
        assert_current(after, index, model, data)
        # Touch alone is of the last physics step's beginning: that is stated, and saves a solver run.
        np.testing.assert_allclose(after.touch[index].numpy(), touch, atol=1e-4)


@pytest.mark.parametrize("index", [0, 4, 6])
def test_an_object_in_the_slots_moves_as_one_compiled_into_the_scene(index):
    """Slots are written at run time; the reference is compiled with the object's own geoms and inertia."""
    start = starts(len(OBJECTS), level=0.0)
    spec = OBJECTS[index]
    slots, data = plain_simulation(start, index)
    scene, packed = build_spec(), pack([spec])
    body = scene.body(OBJECT_BODY)
    for slot, name in enumerate(OBJECT_GEOMS):
        geom = scene.geom(name)
        if not packed.active[0, slot]:
            scene.delete(geom)
            continue
        geom.type = mujoco.mjtGeom(int(packed.geom_type[0, slot]))
        geom.size, geom.pos, geom.quat = (
            values[0, slot] for values in (packed.geom_size, packed.geom_position, packed.geom_quaternion)
        )
        geom.friction[0] = start.friction[index].item()
    body.mass, body.ipos = spec.mass_kg, [0.0, 0.0, 0.0]
    body.inertia, body.iquat = packed.inertia[0], packed.inertia_quaternion[0]
    compiled = scene.compile()
    compiled.geom_friction[:, 0] = start.friction[index].item()
    reference = mujoco.MjData(compiled)
    reference.qpos[:], reference.ctrl[:] = data.qpos, data.ctrl
    # Dropped at a slant, so that it tumbles on all its geoms.
    for simulation in (data, reference):
        simulation.qpos[JOINTS + 2] += 0.15
        simulation.qpos[JOINTS + 3 :] = np.array([0.8, 0.5, 0.3, 0.1]) / np.linalg.norm([0.8, 0.5, 0.3, 0.1])
    contacts = []
    for _ in range(60):
        mujoco.mj_step(slots, data)
        mujoco.mj_step(compiled, reference)
        contacts.append(data.ncon)
        assert data.ncon == reference.ncon
    np.testing.assert_allclose(data.qpos[JOINTS:], reference.qpos[JOINTS:], atol=1e-6)
    assert max(contacts) > 1


def test_objects_rest_on_the_table_at_their_rest_height():
    start = starts(len(OBJECTS), level=0.0)
    simulator = MujocoSimulator(len(OBJECTS), OBJECTS)
    simulator.reset(torch.arange(len(OBJECTS)), start)
    home = start.joint_position[:, None].expand(-1, 4, -1)
    for _ in range(30):
        simulator.step(home)
    rest = torch.tensor([spec.rest_height_m for spec in OBJECTS])
    assert (simulator.state.object_position[:, 2] - rest).abs().max() < 1e-3


def test_stiffness_mass_and_friction_take_effect():
    start = starts(2, level=0.0)
    start.object_index[:] = 0
    for name, value in (("stiffness_scale", 0.2), ("mass_scale", 3.0), ("friction", 0.1)):
        changed = getattr(start, name).clone()
        changed[1] = value
        simulator = MujocoSimulator(2, OBJECTS)
        same = replace(
            start, **{item: getattr(start, item)[[0, 0]] for item in ("joint_position", "object_position")}
        )
        same = replace(same, object_quaternion=start.object_quaternion[[0, 0]], **{name: changed})
        simulator.reset(torch.arange(2), same)
        state = run(simulator, motion(same, 60))[-1]
        difference = (state.joint_position[0] - state.joint_position[1]).abs().max()
        moved = (state.object_position[0] - state.object_position[1]).abs().max()
        assert max(difference, moved) > 1e-3, name


def test_state_keeps_its_values_when_the_simulation_goes_on():
    start = starts(2)
    simulator = MujocoSimulator(2, OBJECTS)
    simulator.reset(torch.arange(2), start)
    state = simulator.state
    run(simulator, motion(start, 20))
    assert torch.equal(state.joint_position, start.joint_position)


def test_resetting_nothing_changes_nothing():
    simulator = MujocoSimulator(2, OBJECTS)
    before = simulator.state
    simulator.reset(torch.arange(0), starts(0))
    assert_same(before, simulator.state)


def test_no_simulations_are_refused():
    with pytest.raises(ValueError, match="num_envs=0"):
        MujocoSimulator(0, OBJECTS)


def test_images_must_be_asked_for():
    with pytest.raises(RuntimeError, match="images=False"):
        MujocoSimulator(1, OBJECTS).render()
