"""What the doctor finds before a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import JointState

from grasp_bringup import doctor, machine_checks
from grasp_bringup.doctor import DoctorArguments, check_eyes, parse_arguments
from grasp_bringup.findings import Finding, Level, fail, ok, warn
from grasp_bringup.graph_checks import Heard, check_drivers
from grasp_bringup.machine_checks import (
    check_interfaces,
    check_packages,
    check_policy,
    check_providers,
    check_real_time,
)
from grasp_bringup.robot_file import RobotFile, read_robot
from grasp_control.config import ControlConfig
from grasp_control.drivers import DriverJoints
from grasp_control.parameters import Settings
from grasp_description.drivers import ALLEGRO_V4, LBR
from grasp_description.robot import HOME_POSITION, joint_limits
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract

DRIVERS = (LBR, ALLEGRO_V4)


def levels(findings: list[Finding]) -> list[Level]:
    return [one.level for one in findings]


@pytest.fixture
def settings() -> Settings:
    arm, hand = (DriverJoints(one.part, one.joints, one.own_names) for one in DRIVERS)
    topics = {f"{one.part}_states_topic": one.states_topic for one in DRIVERS}
    topics |= {f"{one.part}_command_topic": one.command_topic for one in DRIVERS}
    styles = {one.part: one.command_style for one in DRIVERS}
    return Settings(ControlConfig(), None, joint_limits(), (arm, hand), styles, False, topics)


@pytest.fixture
def heard(settings: Settings) -> Heard:
    """Both drivers at home, listening, in an order of names of their own."""
    made = Heard()
    for facts, driver in zip(DRIVERS, settings.drivers, strict=True):
        values = HOME_POSITION[driver.columns][::-1].tolist()
        message = JointState(name=list(facts.own_names[::-1]), position=values)
        made.states[facts.states_topic] = [message]
        made.listeners[facts.command_topic], made.speakers[facts.command_topic] = 1, 0
    return made


def test_drivers_that_are_as_the_parameters_say_are_well(settings, heard):
    assert levels(check_drivers(settings, heard)) == [Level.OK, Level.OK]


def test_a_driver_that_is_silent_fails_with_its_topic(settings, heard):
    heard.states[LBR.states_topic] = []
    assert "no joint states on /lbr/joint_states" in str(check_drivers(settings, heard)[0])


def test_a_driver_that_names_its_joints_otherwise_fails_with_the_joint(settings, heard):
    heard.states[ALLEGRO_V4.states_topic][0].name[0] = "ah_joint99"
    found = check_drivers(settings, heard)
    assert levels(found) == [Level.OK, Level.FAIL]
    assert "lacks ['ah_joint33']" in found[1].text
    assert "hand_driver_joints" in found[1].advice


@pytest.mark.parametrize(("beyond", "level"), [(0.05, Level.WARN), (0.5, Level.FAIL), (np.nan, Level.FAIL)])
def test_a_joint_beyond_its_limits_is_named_with_its_canonical_name(settings, heard, beyond, level):
    # Names come in reverse: A7 first.
    heard.states[LBR.states_topic][0].position[0] = joint_limits().upper[6] + beyond
    found = check_drivers(settings, heard)
    assert levels(found) == [level, Level.OK]
    assert "'lbr_A7'" in found[0].text


def test_a_controller_that_does_not_listen_and_somebody_else_who_commands_fail(settings, heard):
    heard.listeners[LBR.command_topic] = 0
    heard.speakers[ALLEGRO_V4.command_topic] = 1
    found = [one for one in check_drivers(settings, heard) if one.level is Level.FAIL]
    assert [one.what for one in found] == ["arm", "hand"]
    assert "nobody listens" in found[0].text
    assert "somebody else commands" in found[1].text


@pytest.fixture
def robot() -> RobotFile:
    return read_robot("lbr_allegro_v4")


def test_what_is_not_installed_is_named_and_what_a_rehearsal_needs_is_less(robot, monkeypatch):
    missing = {"pyrealsense2", "lbr_fri_idl", "launch_ros"}
    monkeypatch.setattr(machine_checks, "_is_here", lambda name: name not in missing)
    found = check_packages(robot, rehearsal=False)
    assert levels(found) == [Level.FAIL, Level.WARN, Level.WARN]
    assert "pyrealsense2 is not installed" in found[0].text
    assert "/lbr/state is not heard" in found[2].text
    assert levels(check_packages(robot, rehearsal=True)) == [Level.OK, Level.WARN]


def test_a_hand_that_the_description_is_not_of_is_warned_of(robot):
    assert doctor.check_hand(robot) == []
    (found,) = doctor.check_hand(read_robot("lbr_allegro_v5"))
    assert found.level is Level.WARN
    assert "thumb tip lies 25 to 30 mm" in found.text
    assert "do not rely on the guard" in found.advice


@pytest.mark.parametrize(("rehearsal", "warned"), [(False, True), (True, False)])
def test_the_doctor_looks_at_the_hand_before_a_run_and_not_before_a_rehearsal(monkeypatch, rehearsal, warned):
    for name in ("check_packages", "check_providers", "check_policy", "check_eyes", "_check_graph"):
        monkeypatch.setattr(doctor, name, lambda *arguments: [])
    found = doctor.examine(DoctorArguments(robot_config="lbr_allegro_v5", rehearsal=rehearsal))
    assert any(one.what == "hand" for one in found) is warned


def test_a_provider_that_is_not_there_fails_with_those_that_are():
    found = check_providers(["CPUExecutionProvider", "NoSuchExecutionProvider"])
    assert levels(found) == [Level.FAIL]
    assert "lacks NoSuchExecutionProvider" in found[0].text
    assert "CPUExecutionProvider" in found[0].advice
    assert levels(check_providers(["CPUExecutionProvider"])) == [Level.OK]


def test_a_policy_of_another_robot_fails_with_the_field_that_differs(tmp_path):
    spec = sample_spec(workcell_contract())
    sound = write_sample(tmp_path, spec)
    assert levels(check_policy(sound, ["CPUExecutionProvider"])) == [Level.OK]
    strange = replace(spec, control_rate_hz=spec.control_rate_hz * 2)
    found = check_policy(write_sample(tmp_path, strange), ["CPUExecutionProvider"])
    assert levels(found) == [Level.FAIL]
    assert "control_rate_hz" in found[0].text


def test_what_the_robots_file_asks_of_the_cameras_is_looked_at(robot, tmp_path):
    policy = write_sample(tmp_path, sample_spec(workcell_contract()))
    told = {"grasp_camera": {"source": "recorded", "devices": [str(tmp_path)]}}
    found = check_eyes(replace(robot, nodes=told), tmp_path, policy)
    assert levels(found) == [Level.OK, Level.FAIL]
    assert "left.yaml" in found[1].text
    told["grasp_camera"]["devices"] = []
    (only,) = check_eyes(replace(robot, nodes=told), tmp_path, policy)
    assert only.level is Level.FAIL
    assert f"{robot.path}: devices is []" in only.text


def test_an_interface_is_up_down_or_not_there(tmp_path: Path):
    for name, flags in (("can0", "0x40081"), ("can1", "0x40080")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags").write_text(flags + "\n")
    found = check_interfaces(["can0", "can1", "can2"], tmp_path)
    assert levels(found) == [Level.OK, Level.FAIL, Level.FAIL]
    assert "ip link set can1 up" in found[1].advice


def test_without_real_time_permission_and_kernel_there_are_warnings(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    kernel = tmp_path / "realtime"
    assert levels(check_real_time(0, kernel)) == [Level.WARN, Level.WARN]
    kernel.write_text("1")
    assert levels(check_real_time(99, kernel)) == [Level.OK]
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert levels(check_real_time(99, kernel)) == [Level.OK, Level.WARN]


@pytest.mark.parametrize(
    ("findings", "status"),
    [([ok("a", "b")], 0), ([ok("a", "b"), warn("c", "d", "e")], 0), ([fail("a", "b", "c"), ok("d", "e")], 1)],
)
def test_the_exit_status_is_that_of_the_worst_finding_and_each_is_a_line(
    findings, status, monkeypatch, capsys
):
    monkeypatch.setattr(doctor, "examine", lambda _: iter(findings))
    with pytest.raises(SystemExit) as ended:
        doctor.main([])
    assert ended.value.code == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [str(one) for one in findings]


def test_parameters_that_win_over_the_robots_are_looked_at_and_unknown_names_found(tmp_path):
    file = tmp_path / "mine.yaml"
    told = {"/grasp_policy": {"providers": ["NoSuchProvider"]}, "/grasp_task": {"motion_sped": 0.05}}
    file.write_text(yaml.safe_dump({node: {"ros__parameters": values} for node, values in told.items()}))
    asked = DoctorArguments(parameters=str(file), rehearsal=True, listen_s=0.0)
    failed = [str(one) for one in doctor.examine(asked) if one.level is Level.FAIL]
    assert any("NoSuchProvider" in one for one in failed)
    assert any("'motion_sped'" in one for one in failed)


def test_a_value_of_the_wrong_kind_in_a_list_is_a_finding_and_no_crash(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/grasp_task: {ros__parameters: {reach_lower_m: [0.5, -0.16, 0]}}\n")
    asked = DoctorArguments(parameters=str(file), rehearsal=True, listen_s=0.0)
    assert any(one.level is Level.FAIL and "grasp_task" in str(one) for one in doctor.examine(asked))


def test_no_such_robot_and_wrong_arguments_end_with_status_2(capsys):
    for line in (["--robot-config", "/no/such.yaml"], ["--listen-s", "long"]):
        with pytest.raises(SystemExit) as ended:
            doctor.main(line)
        assert ended.value.code == 2
    assert "'listen_s' is 'long'" in capsys.readouterr().err


def test_the_command_line_is_that_of_a_run():
    read = parse_arguments(["--robot-config", "x", "--rehearsal", "yes", "--listen-s", "0"])
    assert read == DoctorArguments(robot_config="x", rehearsal=True, listen_s=0.0)
