"""The arm's session: commands only while its controller takes them."""

import gc

import numpy as np
import pytest

from grasp_control.safety import State
from grasp_control.session import COMMANDING, ArmSession


@pytest.mark.parametrize("state", [0, 1, 2, 3, 5, -1])
def test_only_an_active_command_session_takes_commands(state):
    session = ArmSession(timeout_s=0.1)
    session.hear(state, 1.0)
    assert "expected COMMANDING_ACTIVE" in session.why_not_commanding(1.0)
    session.hear(COMMANDING, 1.0)
    assert session.why_not_commanding(1.0) == ""


def test_a_session_never_heard_of_or_long_ago_takes_none():
    session = ArmSession(timeout_s=0.1)
    assert "never heard" in session.why_not_commanding(0.0)
    session.hear(COMMANDING, 1.0)
    assert "0.200 s old" in session.why_not_commanding(1.2)


def test_the_core_is_not_armed_while_the_drivers_take_no_commands(make_bench):
    bench = make_bench()
    bench.core.interlock = "the arm's session is IDLE"
    bench.measure()
    answer = bench.core.arm(bench.now_s)
    assert not answer
    assert answer.reason == "the arm's session is IDLE"


def test_the_node_asks_for_the_session_before_every_tick(monkeypatch):
    rclpy = pytest.importorskip("rclpy")
    from grasp_control.control_node import ControlNode

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=73)
    node = ControlNode(context=context)
    try:
        node.trigger_configure()
        node.trigger_activate()
        assert node.core.interlock == ""
        node._link.session = ArmSession(timeout_s=0.1)
        node._on_tick()
        assert "never heard" in node.core.interlock
    finally:
        node.trigger_shutdown()
        node.destroy_node()
        gc.unfreeze()  # else ruckig's bindings complain of what is not freed
        rclpy.shutdown(context=context)


def test_losing_the_session_stops_the_robot_and_takes_a_new_arming(bench):
    start = bench.position.copy()
    bench.run(0.5, lambda t: start + 0.3 * t * (np.arange(23) == 3))
    bench.core.interlock = "the arm's session is MONITORING_READY"
    bench.run(1.0, lambda t: start)
    assert bench.core.state is State.HOLDING
    assert bench.core.reason == "arm takes no commands"
    said = len(bench.commands)
    bench.core.interlock = ""
    bench.run(0.5, lambda t: start)
    assert len(bench.commands) == said, "commands after the stop without a new arming"
    bench.arm()
    first = bench.step()
    assert first is not None
    assert first.first
