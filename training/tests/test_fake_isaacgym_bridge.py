"""The bridge to Isaac Gym's process, with a recording fake in it: who ends, when, and who says so."""

from __future__ import annotations

import ast
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from fake_isaacgym_python import make_fake_python
from process_table import await_end, is_alive

from grasp_description.object_shapes import Part, rotation_matrix
from grasp_description.objects import make_object, object_set
from grasp_description.robot import JOINT_NAMES
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymError, IsaacGymSimulator, assets
from grasp_training.simulators.isaacgym import process as bridge

OBJECTS = object_set("training")[:8]
WORKER = Path(bridge.__file__).parent / "isaacgym_worker"
PERMITTED = {"numpy", "torch", "isaacgym", "isaacgym_worker"}
NEWER_THAN_38 = {"graphlib", "tomllib", "zoneinfo"}
HOW_TO_GET = r"developer\.nvidia\.com/isaac-gym .* Python 3\.8 .* task\.isaacgym\.python"


def make(folder: Path, fault: str = "", reply_limit_s: float = 60.0) -> IsaacGymSimulator:
    python = make_fake_python(folder, fault)
    return IsaacGymSimulator(1, OBJECTS, IsaacGymConfig(str(python.path), reply_limit_s=reply_limit_s))


def step(simulator: IsaacGymSimulator) -> None:
    simulator.step(torch.zeros(1, 4, len(JOINT_NAMES)))


@pytest.mark.parametrize("file", sorted(WORKER.glob("*.py")), ids=lambda file: file.stem)
def test_what_runs_beside_isaac_gym_is_python_38_and_imports_nothing_else(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "a relative import")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            imported.add(ast.literal_eval(node.args[0]))
    tops = {name.split(".")[0] for name in imported}
    assert tops <= (set(sys.stdlib_module_names) - NEWER_THAN_38) | PERMITTED


def test_the_worker_reaches_no_package_of_ours_even_when_it_runs(tmp_path: Path) -> None:
    python = make_fake_python(tmp_path)
    program = "import sys, isaacgym_worker.adapter; print(*sorted(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parent)}
    ran = subprocess.run(
        [python.path, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert not {name for name in ran.stdout.split() if name.startswith("grasp")}


def test_without_an_interpreter_one_sentence_says_how_to_get_isaac_gym(tmp_path: Path) -> None:
    for named in ("", str(tmp_path / "none")):
        with pytest.raises(IsaacGymError, match=f"isaacgym.python is '{named}'.*{HOW_TO_GET}"):
            IsaacGymSimulator(1, OBJECTS, IsaacGymConfig(named))


def test_an_interpreter_without_isaac_gym_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    python = make_fake_python(tmp_path, with_fake=False)
    with pytest.raises(IsaacGymError, match=rf"Python 3\.\d+.*No module named 'isaacgym'.*{HOW_TO_GET}"):
        IsaacGymSimulator(1, OBJECTS, IsaacGymConfig(str(python.path)))


def test_an_interpreter_that_does_not_serve_is_shown_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho libpython3.8.so: no such file; exit 3\n")
    script.chmod(0o755)
    with pytest.raises(IsaacGymError, match=r"(?s)ended during 'start': exit status 3.*no such file"):
        IsaacGymSimulator(1, OBJECTS, IsaacGymConfig(str(script)))


def test_a_fake_that_makes_no_simulation_fails_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(
        IsaacGymError, match=r"failed during 'start': RuntimeError: .* no simulation on GPU 0"
    ):
        make(tmp_path, "no-sim")


def test_a_process_that_dies_is_named_with_its_signal(tmp_path: Path) -> None:
    simulator = make(tmp_path, "die")
    with pytest.raises(IsaacGymError, match=r"process \d+ ended during 'step': signal SIGABRT"):
        step(simulator)
    with pytest.raises(IsaacGymError, match="has ended, and was asked to step"):
        step(simulator)


def test_a_process_that_stalls_is_ended_at_the_time_limit(tmp_path: Path) -> None:
    simulator = make(tmp_path, "stall", reply_limit_s=2.0)
    pid = simulator.pid
    with pytest.raises(
        IsaacGymError, match=r"not answered 'step' within task\.isaacgym\.reply_limit_s = 2 s"
    ):
        step(simulator)
    assert not is_alive(pid)


def test_an_error_in_the_process_arrives_with_what_it_last_said(tmp_path: Path) -> None:
    simulator = make(tmp_path, "raise")
    pid = simulator.pid
    said = r"(?s)failed during 'step': RuntimeError: CUDA error.*PhysX said something before.*Traceback"
    with pytest.raises(IsaacGymError, match=said):
        step(simulator)
    assert not is_alive(pid)


def test_the_process_and_its_files_go_with_the_simulator(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    simulator = make(tmp_path)
    pid, folder = simulator.pid, simulator.folder
    assert is_alive(pid)
    assert folder.exists()
    del simulator
    gc.collect()
    assert not is_alive(pid)
    assert not folder.exists()
    assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


_PARENT = """
import sys
from grasp_description.objects import object_set
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymSimulator
simulator = IsaacGymSimulator(1, object_set("training")[:1], IsaacGymConfig(sys.argv[1]))
print(simulator.pid, flush=True)
sys.stdin.read()
"""


def test_the_process_ends_when_the_one_that_simulates_is_killed(tmp_path: Path) -> None:
    python = make_fake_python(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(python.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert await_end({pid}, 30.0) == set()
    parent.communicate()


SHAPES = {
    "box": (0.02, 0.03, 0.04),
    "cylinder": (0.02, 0.05, 0.0),
    "capsule": (0.02, 0.04, 0.0),
    "ellipsoid": (0.02, 0.03, 0.04),
}
TILTED = (0.6, 0.0, 0.8, 0.0)
"""About y by more than a right angle: roll, pitch and yaw all matter."""
OBLIQUE = tuple(np.array([0.5, 0.1, -0.7, 0.3]) / np.linalg.norm([0.5, 0.1, -0.7, 0.3]))
UPWARD = (np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0)
"""A quarter turn about y, where URDF's angles are not unique."""


@pytest.mark.parametrize("quaternion", [TILTED, OBLIQUE, UPWARD])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_as_urdf_has_the_mass_inertia_and_place_of_its_parts(
    tmp_path: Path, shape: str, quaternion: tuple[float, float, float, float]
) -> None:
    """As MuJoCo reads it, which reads the same format."""
    parts = (
        Part(shape, SHAPES[shape], (0.01, 0.02, 0.03), quaternion),
        Part("box", (0.02, 0.02, 0.02), (0.0, 0.06, 0.0), (1.0, 0.0, 0.0, 0.0)),
    )
    spec = make_object("thing", "test", parts, 0.2)
    file = assets._write_object(tmp_path, 0, spec)
    scene = mujoco.MjSpec.from_file(str(tmp_path / file))
    scene.compiler.fusestatic = False
    model = scene.compile()
    body = model.body("object")
    assert body.mass[0] == pytest.approx(spec.mass_kg)
    np.testing.assert_allclose(body.ipos, 0.0, atol=1e-9)
    axes = rotation_matrix(body.iquat)
    np.testing.assert_allclose(
        axes @ np.diag(body.inertia) @ axes.T, spec.inertia_matrix(), rtol=1e-6, atol=1e-12
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    first = model.body("object").geomadr[0]
    part = spec.parts[0]
    if shape == "ellipsoid":
        mesh = (tmp_path / "object_0_0.obj").read_text().splitlines()
        points = np.array([line.split()[1:] for line in mesh if line.startswith("v")], float)
        np.testing.assert_allclose(((points / part.size) ** 2).sum(axis=1), 1.0, rtol=1e-6)
        faces = np.array([line.split()[1:] for line in mesh if line.startswith("f")], int) - 1
        a, b, c = (points[faces[:, corner]] for corner in range(3))
        volume = np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6
        assert 0.85 * part.volume < volume < part.volume, "closed, and facing outward"
        return
    np.testing.assert_allclose(data.geom_xpos[first], part.position, atol=1e-8)
    np.testing.assert_allclose(data.geom_xmat[first].reshape(3, 3), part.rotation, atol=1e-7)
    used = 3 if shape == "box" else 2
    np.testing.assert_allclose(model.geom_size[first, :used], part.size[:used])
    if shape == "capsule":
        ends = data.geom_xpos[first + 1 : first + 3] - part.position
        np.testing.assert_allclose(ends, [sign * 0.04 * part.rotation[:, 2] for sign in (-1, 1)], atol=1e-8)


def test_objects_take_turns_through_the_environments_and_have_room_on_the_shelf() -> None:
    held = assets.held_objects(5, 3, 4)
    assert held.flatten().tolist() == [number % 4 for number in range(15)]
    assert assets.held_objects(2, 2, 5, first=3).tolist() == [[3, 4], [0, 1]]
    places = np.array(assets._shelf_places(128))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(128)
    assert apart.min() >= 0.25
    assert np.abs(places - [0.5, 0.0]).max() < 1.5
