"""The command `grasp`: help, defaults, and what it says about bad arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.cli import COMMANDS, distill, main, train
from grasp_training.runs import RunFolder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, and the toy in place of the grasp task."""

    def make_env(config: Any, num_envs: int, groups: tuple[str, ...], objects: str, seed: int) -> ToyEnv:
        return make_toy_env(ToyTask(), num_envs, groups, objects, seed)

    monkeypatch.setattr(train, "make_env", make_env)
    monkeypatch.setattr(distill, "make_env", make_env)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main([]) == 2
    assert main(["gasp"]) == 2
    assert "'gasp' is no command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            ["train", "teacher"],
            ["--run", "--seed", "--iterations", "--observe", "--ppo.discount", "(default: 512)"],
        ),
        (
            ["distill"],
            ["--run", "--seed", "--iterations", "--teacher", "--distillation.loss", "(default: 128)"],
        ),
        (["export"], ["--output", "--parity-steps", "(default: 60)"]),
    ],
)
def test_help_shows_flags_with_their_defaults(
    command: list[str], flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main([*command, "--help"])
    assert exit_info.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert not [flag for flag in flags if flag not in shown]


def test_a_preset_gives_the_defaults_and_flags_override_it(runs: Path) -> None:
    arguments = ["--run", "one", "--preset", "smoke", "--seed", "5", "--ppo.discount", "0.9"]
    assert main(["train", "teacher", *arguments, "--task.episode-length-s", "4.0"]) == 0
    saved = RunFolder(runs / "one").load_config("teacher")
    assert saved["training"]["num_envs"] == 16
    assert saved["training"]["seed"] == 5
    assert saved["training"]["ppo"]["discount"] == 0.9
    assert saved["task"]["episode_length_s"] == 4.0


def test_a_resumed_run_keeps_its_settings_unless_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "teacher", "--run", "one", "--preset", "smoke", "--ppo.discount", "0.9"])
    assert main(["train", "teacher", "--run", "one", "--resume", "--iterations", "4"]) == 0
    assert "Changed on resume: training.iterations: 3 -> 4" in capsys.readouterr().out
    saved = RunFolder(runs / "one").load_config("teacher")
    assert saved["training"]["ppo"]["discount"] == 0.9
    assert saved["training"]["preset"] == "smoke"


def test_a_student_takes_the_task_of_its_teacher(runs: Path) -> None:
    train_arguments = ["--run", "one", "--preset", "smoke", "--iterations", "1", "--task.object-seed", "3"]
    main(["train", "teacher", *train_arguments])
    assert (
        main(["distill", "--teacher", "one", "--run", "two", "--preset", "smoke", "--iterations", "1"]) == 0
    )
    saved = RunFolder(runs / "two").load_config("student")
    assert saved["task"]["object_seed"] == 3
    assert saved["teacher"]["iteration"] == 1


def test_a_student_whose_images_the_robot_does_not_have_is_refused_at_once(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = ["--task.image.width", "160", "--task.image.height", "120"]
    main(["train", "teacher", "--run", "one", "--preset", "smoke", "--iterations", "1", *large])
    arguments = ["distill", "--teacher", "one", "--run", "two", "--preset", "smoke", "--iterations", "1"]
    assert main(arguments) == 1
    assert "task.image is 160×120 px; the robot's cameras give 64×48" in capsys.readouterr().err
    arguments += ["--task.image.width", "64", "--task.image.height", "48"]
    assert main([*arguments, "--task.depth-image.width", "50"]) == 1
    told = "task.depth_image is 50×36 px; teacher 'one' sees depth of 48×36 px"
    assert told in capsys.readouterr().err
    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "teacher", "--run", "a/b"], "'a/b' is no name for a run"),
        (["train", "teacher", "--run", "a", "--num-envs", "0"], "num_envs is 0; at least 1 is needed"),
        (["train", "teacher", "--run", "a", "--resume"], "There is no run 'a'"),
        (["distill", "--run", "a"], "No teacher is named: --teacher RUN"),
        (["distill", "--run", "a", "--teacher", "b"], "There is no run 'b'"),
        (["export", "a", "--output", "a.onnx"], "There is no run 'a'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    runs: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_an_unknown_choice_or_a_missing_name_is_refused(runs: Path) -> None:
    for arguments in (["--run", "a", "--observe", "smell"], ["--seed", "1"]):
        with pytest.raises(SystemExit) as exit_info:
            main(["train", "teacher", *arguments])
        assert exit_info.value.code == 2
    assert main(["train", "dog"]) == 2
