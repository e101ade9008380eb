"""Pacing by the machine's clock, on a fake one."""

import pytest

from grasp_sim.realtime import RealTime, RealTimeConfig
from grasp_sim.timing import TICKS_PER_FRAME, tick_time_ns

CONFIG = RealTimeConfig(frame_lag_s=0.02, most_lag_s=0.25)


class FakeMachine:
    """Ticks and frames that take their time."""

    def __init__(self, step_s: float = 0.0, frame_s: float = 0.0) -> None:
        self.tick, self.now_s, self.running = 0, 100.0, True
        self.step_s, self.frame_s = step_s, frame_s
        self.frames, self.log = 0, []
        self.pacer = RealTime(self, CONFIG, now_s=lambda: self.now_s)

    @property
    def time_ns(self) -> int:
        return tick_time_ns(self.tick)

    def publish_joint_states(self) -> None:
        self.log.append("joints")

    def take_frame(self) -> None:
        self.log.append("take")
        self.frames += 1
        self.now_s += self.frame_s

    def publish_frame(self) -> None:
        self.log.append("frame")

    def record_frame(self) -> None:
        self.log.append("record")

    def publish_clock(self) -> None:
        self.log.append("clock")

    def step(self) -> None:
        self.log.append("step")
        self.now_s += self.step_s
        self.tick += 1

    def drivers_hold(self, command) -> bool:
        return True

    def wait(self, done, limit_s: float) -> None:
        self.now_s += limit_s

    def run(self, ticks: int) -> float:
        began = self.now_s
        for _ in range(ticks):
            self.pacer.run_tick()
        return self.now_s - began


def test_ticks_keep_the_machines_time():
    machine = FakeMachine(step_s=0.001, frame_s=0.005)
    assert machine.run(1201) == pytest.approx(10.0, abs=0.01)
    assert machine.frames == 301
    assert (machine.pacer.frames_skipped, machine.pacer.restarts) == (0, 0)


def test_a_tick_publishes_joints_and_clock_then_the_frame_then_steps():
    machine = FakeMachine()
    machine.run(2)
    assert machine.log == ["joints", "clock", "take", "frame", "record", "step", "joints", "clock", "step"]


def test_a_slow_renderer_costs_frames_and_not_time():
    machine = FakeMachine(step_s=0.001, frame_s=0.05)
    assert machine.run(1201) == pytest.approx(10.0, abs=0.1)
    assert machine.pacer.frames_skipped > 50
    assert machine.frames + machine.pacer.frames_skipped == 1201 // TICKS_PER_FRAME + 1
    assert machine.pacer.restarts == 0


def test_a_machine_too_slow_gives_up_lost_time_instead_of_chasing_it():
    machine = FakeMachine(step_s=0.02)
    machine.run(600)
    assert machine.pacer.restarts > 0
    machine.step_s = 0.001
    machine.run(60)
    assert machine.run(120) == pytest.approx(1.0, abs=0.02)


def test_a_pause_of_the_machine_is_not_made_up_for():
    machine = FakeMachine()
    machine.run(10)
    machine.now_s += 30.0
    assert machine.run(120) == pytest.approx(1.0, abs=0.02)
    assert machine.pacer.restarts == 1


def test_a_shutdown_while_waiting_ends_the_tick():
    machine = FakeMachine()
    machine.run(1)
    machine.running = False
    machine.run(1)
    assert machine.tick == 1
