"""``python -m grasp_description``: what it prints and draws."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grasp_description.__main__ import find_object, joint_sources, main
from grasp_description.objects import HELD_OUT_FAMILIES, TRAINING_FAMILIES, object_set
from grasp_description.pictures import SHEET_VIEW, photograph, scene_with
from grasp_description.robot import JOINT_NAMES, joint_limits


def test_every_joint_is_printed_with_its_limits(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    limits = joint_limits()
    for index, name in enumerate(JOINT_NAMES):
        words = next(line.split() for line in lines if line.startswith(name))
        expected = (
            limits.lower,
            limits.upper,
            limits.velocity,
            limits.acceleration,
            limits.jerk,
            limits.effort,
        )
        np.testing.assert_allclose(
            [float(word) for word in words[1:]], [v[index] for v in expected], atol=6e-4
        )


def test_every_joint_has_a_source_in_the_urdf():
    sources = joint_sources()
    for name in JOINT_NAMES:
        assert "[" in sources[name], name


def test_flange_height_and_families_are_printed(capsys):
    main(["--seed", "2", "--object", "hammer_001"])
    out = capsys.readouterr().out
    assert "1.2660 m" in out
    assert "Object hammer_001" in out
    for family in TRAINING_FAMILIES:
        counts = [
            sum(spec.family == family for spec in object_set(name, 2)) for name in ("training", "held-out")
        ]
        line = next(line for line in out.splitlines() if line.startswith(f"{family} "))
        assert line.split()[1:3] == [str(count) for count in counts]
    for family in HELD_OUT_FAMILIES:
        assert next(line for line in out.splitlines() if line.startswith(f"{family} ")).split()[1] == "0"


def test_an_unknown_object_is_named_with_some_that_exist(capsys):
    assert main(["--object", "mug_999"]) == 2
    assert "'mug_999' is in none of the sets of seed 0; expected one like mug_000" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_refused_before_drawing(tmp_path, capsys):
    for name, message in (("missing/out.png", "there is no folder"), ("out.txt", "ends in .png")):
        with pytest.raises(SystemExit) as exit_:
            main(["--picture", str(tmp_path / name)])
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_picture_shows_the_robot(tmp_path):
    path = tmp_path / "out.png"
    assert main(["--picture", str(path), "--object", "box_000"]) == 0
    pixels = np.asarray(Image.open(path)).astype(int)
    assert pixels.shape[0] > 1000
    assert pixels.shape[1] > 1000
    orange = (pixels[..., 0] > 150) & (pixels[..., 2] < 90)
    assert orange[:720].mean() > 0.005


@pytest.mark.parametrize("name", ["box_000", "cylinder_000", "capsule_000", "ellipsoid_000"])
def test_an_object_is_in_the_middle_of_its_photograph_in_its_colour(name):
    spec = find_object(name, 0)
    image = photograph([scene_with(spec, SHEET_VIEW, arm_aside=True)], SHEET_VIEW)[0].astype(float)
    middle = image[SHEET_VIEW.height // 2, SHEET_VIEW.width // 2]
    colour = np.array(spec.parts[0].rgba[:3])
    np.testing.assert_allclose(middle / middle.sum(), colour / colour.sum(), atol=0.06)
