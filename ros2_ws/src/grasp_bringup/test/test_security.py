"""The shipped SROS2 policies: exactly what the nodes say and hear, and nobody else where a robot is moved."""

import pytest

pytest.importorskip("rclpy")

from grasp_bringup.files import shared_file
from grasp_bringup.real import RealArguments, real_graph
from grasp_bringup.security import Interface, interfaces, main, policy_text, read_policy

ROBOTS = ("lbr_allegro_v4", "lbr_allegro_v5")


def shipped(robot: str) -> dict[str, Interface]:
    text = shared_file("config", "security", f"{robot}.xml").read_text(encoding="utf-8")
    return {one.name: one for one in read_policy(text)}


def allowed(robot: str, verb: str, name: str) -> set[str]:
    """Who may do something with a topic or service."""
    return {one.name for one in shipped(robot).values() if name in getattr(one, verb)}


@pytest.fixture(scope="module", params=ROBOTS)
def found(request) -> tuple[str, dict[str, Interface]]:
    """A robot, and what its running nodes say and hear."""
    return request.param, {one.name: one for one in interfaces(request.param)}


def test_a_policy_allows_exactly_what_the_running_nodes_say_and_hear(found):
    robot, running = found
    assert shipped(robot) == running


def test_every_node_of_the_graph_has_an_enclave_and_is_started_in_it(found):
    robot, running = found
    processes = real_graph(RealArguments(robot_config=robot, record="one.mcap")).processes
    assert {process.name for process in processes} | {"operator"} == set(running)
    for process in processes:
        said = process.command("python")
        assert said[said.index("--enclave") + 1] == f"/{process.name}"


@pytest.mark.parametrize("robot", ROBOTS)
def test_only_the_command_node_may_command_the_drivers(robot):
    topics = {
        "lbr_allegro_v4": "/allegro_hand_position_controller/commands",
        "lbr_allegro_v5": "/allegroHand/joint_cmd",
    }
    for topic in (topics[robot], "/lbr/forward_position_controller/commands"):
        assert allowed(robot, "publish", topic) == {"grasp_control"}


@pytest.mark.parametrize("robot", ROBOTS)
def test_only_policy_and_task_may_aim_only_the_task_may_arm_and_only_a_person_may_start(robot):
    assert allowed(robot, "publish", "/policy/joint_target") == {"grasp_policy", "grasp_task"}
    for service in ("arm", "disarm", "change_state"):
        assert allowed(robot, "request", f"/grasp_control/{service}") == {"grasp_task"}
    for service in ("start", "stop", "home"):
        assert allowed(robot, "request", f"/grasp/{service}") == {"operator"}


@pytest.mark.parametrize("robot", ROBOTS)
def test_nobody_may_set_a_parameter_or_feign_a_camera_or_a_joint_state(robot):
    for node in shipped(robot):
        for service in ("set_parameters", "set_parameters_atomically"):
            assert allowed(robot, "request", f"/{node}/{service}") == set()
    for topic in ("/stereo/left/image_rect", "/stereo/right/image_rect"):
        assert allowed(robot, "publish", topic) == {"grasp_camera"}
    assert allowed(robot, "publish", "/grasp/joint_states") == {"grasp_control"}


def test_a_policy_reads_back_as_it_was_written():
    one = Interface("n", ("/a", "/b"), (), ("/n/*",), ("/s",))
    assert read_policy(policy_text([one, Interface("m")])) == [one, Interface("m")]


def test_a_robot_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["--robot-config", "nobody", "--output", str(tmp_path / "policy.xml")]) == 2
    assert "nobody" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
