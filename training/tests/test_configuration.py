"""Configurations survive the way to YAML and back, and say what is wrong with a bad one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pytest

from grasp_training.learning import StudentConfig, TeacherConfig
from grasp_training.learning.config import Preset, check_positive
from grasp_training.learning.depth_encoder import DepthEncoder
from grasp_training.presets import Images, student_preset, task_preset, teacher_preset
from grasp_training.runs import (
    ConfigurationError,
    differences,
    from_mapping,
    load_yaml,
    save_yaml,
    to_mapping,
)


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"] = "a"
    pair: tuple[int, float] = (1, 2.0)


@dataclass(frozen=True)
class Outer:
    name: str
    maybe: int | None = None
    many: tuple[Inner, ...] = ()
    inner: Inner = field(default_factory=Inner)
    table: dict[str, float] = field(default_factory=dict)


def test_a_nested_configuration_comes_back_equal_from_yaml(tmp_path: Path) -> None:
    config = Outer("x", maybe=3, many=(Inner("b"), Inner(pair=(4, 5.5))), table={"k": 1.0})
    save_yaml(tmp_path / "c.yaml", to_mapping(config))
    assert from_mapping(Outer, load_yaml(tmp_path / "c.yaml"), "c.yaml") == config


@pytest.mark.parametrize("preset", get_args(Preset))
def test_presets_come_back_equal(preset: Preset) -> None:
    teacher, student = teacher_preset(preset, "t"), student_preset(preset, "s")
    assert from_mapping(TeacherConfig, to_mapping(teacher), "t") == teacher
    assert from_mapping(StudentConfig, to_mapping(student), "s") == student


@pytest.mark.parametrize("preset", get_args(Preset))
@pytest.mark.parametrize("images", get_args(Images))
def test_every_preset_fits_its_images_and_placement(preset: Preset, images: Images) -> None:
    teacher, task = teacher_preset(preset, "t", images), task_preset(preset, images)
    assert f"{task.depth_image.width}x{task.depth_image.height}" == images
    assert (
        DepthEncoder(task.depth_image.height, task.depth_image.width, teacher.depth.encoder).output_size > 0
    )
    assert teacher.blocks() >= 1
    assert task.curriculum.min_episodes >= 3 * teacher.num_envs, "a rise takes some episodes of each"


def test_the_preset_of_four_gpus_is_three_simulators_and_one_learner() -> None:
    teacher = teacher_preset("node4", "t")
    assert (teacher.placement, teacher.num_envs, teacher.device) == ("3:1", 8400, "cuda")
    assert teacher_preset("node4", "t", "320x240").num_envs == 2100
    assert task_preset("node4").simulator == "mujoco_warp"


def test_fields_that_an_older_run_lacks_take_their_defaults() -> None:
    assert from_mapping(Outer, {"name": "x"}, "old") == Outer("x")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "x", "colour": 1}, "unknown field 'colour'"),
        ({"name": 3}, r"c\.name is 3; expected str"),
        ({"name": "x", "maybe": "y"}, r"c\.maybe is 'y'"),
        ({"name": "x", "inner": {"kind": "z"}}, r"c\.inner\.kind is 'z'; expected 'a' or 'b'"),
        ({"name": "x", "inner": {"pair": [1]}}, r"c\.inner\.pair is \[1\]"),
        ({"name": "x", "many": [{"pair": [1, True]}]}, r"c\.many\[0\]\.pair\[1\] is True; expected a number"),
    ],
)
def test_a_bad_field_is_named_with_its_value(mapping: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_mapping(Outer, mapping, "c")


def test_a_run_that_learnt_on_held_out_objects_is_refused() -> None:
    """They are for evaluation alone: scores on them would say nothing of such a run."""
    old = to_mapping(teacher_preset("smoke", "t")) | {"objects": "held-out"}
    with pytest.raises(ConfigurationError, match=r"training\.objects is 'held-out'; expected 'training'"):
        from_mapping(TeacherConfig, old, "runs/t/config.yaml: training")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no configuration file"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(ConfigurationError, match=r"bad\.yaml is not YAML"):
        load_yaml(tmp_path / "bad.yaml")


def test_differences_name_every_changed_setting() -> None:
    before = to_mapping(Outer("x"))
    after = to_mapping(Outer("x", maybe=2, inner=Inner("b")))
    assert differences(before, after) == ["maybe: None -> 2", "inner.kind: a -> b"]


def test_counts_below_one_are_refused_by_name() -> None:
    config = teacher_preset("smoke", "t")
    with pytest.raises(ConfigurationError, match="num_envs is 0"):
        check_positive(dataclasses.replace(config, num_envs=0))
    bad = dataclasses.replace(config, ppo=dataclasses.replace(config.ppo, minibatches=-1))
    with pytest.raises(ConfigurationError, match=r"ppo\.minibatches is -1"):
        check_positive(bad)
