"""The images' recipes, as far as they can be held against the repository without docker."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from source_tree import ROOT, ROS_SOURCE

DOCKER = ROOT / "docker"
RECIPES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
ROBOT = COMPOSE["services"]["grasp"]


def instructions(recipe: Path) -> list[tuple[str, str]]:
    """Keyword and arguments of every instruction; lines that go on are joined."""
    lines = [line for line in recipe.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in text.splitlines() if line]


def arguments_of(recipe: Path, keyword: str) -> list[str]:
    return [arguments for found, arguments in instructions(recipe) if found == keyword]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_what_is_copied_is_there_and_not_kept_out(recipe):
    kept_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for arguments in arguments_of(recipe, "COPY"):
        sources = [part for part in arguments.split() if not part.startswith("--")][:-1]
        assert sources
        for source in sources:
            assert (ROOT / source).exists(), f"{recipe.name} copies {source}"
            assert source not in kept_out


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_base_image_has_a_version_and_nothing_runs_as_root(recipe):
    (base,) = arguments_of(recipe, "FROM")
    assert re.fullmatch(r"[a-z/]+:[a-z0-9.-]+", base)
    assert "latest" not in base
    assert arguments_of(recipe, "USER")[-1] == "1001"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_what_is_made_is_a_target_of_the_makefile(recipe):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for command in arguments_of(recipe, "RUN"):
        assert set(re.findall(r"(?:^|&& |[A-Z_]+=\S+ )make ([a-z]+)", command)) <= set(targets)


def test_the_training_image_starts_a_command_that_training_installs():
    text = (ROOT / "training" / "pyproject.toml").read_text(encoding="utf-8")
    for (command,) in map(json.loads, arguments_of(DOCKER / "training.Dockerfile", "ENTRYPOINT")):
        assert f"\n{command} = " in text


def test_the_robot_image_starts_its_entry_point_which_bash_can_read():
    (entry,) = map(json.loads, arguments_of(DOCKER / "robot.Dockerfile", "ENTRYPOINT"))
    copied = dict(map(str.split, arguments_of(DOCKER / "robot.Dockerfile", "COPY")[-1:]))
    (script,) = [ROOT / source for source, place in copied.items() if place == f"/usr/local/bin/{entry[0]}"]
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert script.read_text(encoding="utf-8").splitlines()[-1] == 'exec "$@"'


@pytest.mark.parametrize(
    "command",
    [json.loads(arguments_of(DOCKER / "robot.Dockerfile", "CMD")[0]), ROBOT["command"]],
    ids=["image", "compose"],
)
def test_the_robot_starts_a_launch_file_that_is_there_as_a_dry_run(command):
    tool, verb, package, file, *arguments = command
    assert (tool, verb) == ("ros2", "launch")
    assert (ROS_SOURCE / package / "launch" / file).is_file()
    said = dict(argument.split(":=") for argument in arguments)
    assert said["dry_run"] in ("true", "${DRY_RUN:-true}")
    known = (ROS_SOURCE / package / package / "real.py").read_text(encoding="utf-8")
    assert all(f"    {name}: " in known for name in said)


def test_the_robots_container_has_what_real_time_and_cameras_need_and_no_more():
    assert (ROOT / "docker" / ROBOT["build"]["context"] / ROBOT["build"]["dockerfile"]).is_file()
    assert (ROBOT["network_mode"], ROBOT["ipc"]) == ("host", "host")
    assert ROBOT["ulimits"]["rtprio"] > 0
    assert "privileged" not in ROBOT
    assert ROBOT["cap_drop"] == ["ALL"]
    assert not ROBOT["user"].startswith(("0", "root"))
    assert ROBOT["restart"] == "no"


def test_models_calibration_and_the_robots_file_are_mounted_read_only():
    places = {}
    for volume in ROBOT["volumes"]:
        host, place, *mode = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")
        places[place] = mode
        if host.startswith("..") and host != "../runs" and host != "../calibration/files":
            assert (DOCKER / host).is_dir()
    for place in ("models", "calibration/files", "robots"):
        assert places[f"/opt/grasp/{place}"] == ["ro"]
    assert [place for place, mode in places.items() if not mode] == ["/dev/bus/usb", "/opt/grasp/runs"]
