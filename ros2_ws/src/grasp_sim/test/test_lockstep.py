"""The lockstep protocol against a fake graph on a fake clock, with partners that fail in every way."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from grasp_description.robot import HOME_POSITION
from grasp_sim.lockstep import Lockstep, LockstepConfig
from grasp_sim.timing import TICKS_PER_FRAME, tick_time_ns

CONFIG = LockstepConfig(
    command_limit_s=1.0, target_limit_s=3.0, idle_wait_s=0.002, give_up_after=3, idle_frame_divider=2
)
SOON = 0.001


class FakeGraph:
    """The graph around the simulator: partners that answer after a delay, on a clock that only waiting moves.

    `command_delay` and `target_delay` give s after which a tick's or frame's answer comes, None for never.
    """

    def __init__(self, control: str = "armed", grasp: str = "idle") -> None:
        self.tick, self.now_s, self.running = 0, 0.0, True
        self.log: list[tuple[str, int]] = []
        self.command_delay: Callable[[int], float | None] = lambda tick: SOON
        self.target_delay: Callable[[int], float | None] = lambda tick: SOON
        self.task_delay: Callable[[int], float | None] = lambda tick: None
        self.driver_delay: float | None = 0.0
        self.held = np.zeros(0)
        self._coming: list[tuple[float, Callable[[], None]]] = []
        self.lockstep = Lockstep(self, CONFIG)
        self.lockstep.on_control_state(control)
        self.lockstep.on_grasp_state(grasp)

    @property
    def time_ns(self) -> int:
        return tick_time_ns(self.tick)

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        self._coming.append((self.now_s + delay_s, what))

    def publish_joint_states(self) -> None:
        self.log.append(("joints", self.tick))
        delay = self.task_delay(self.tick) if self.tick % TICKS_PER_FRAME == 0 else None
        if delay is not None:
            stamp = self.time_ns
            self.after(delay, lambda: self.lockstep.on_accepted_target(stamp))

    def take_frame(self) -> None:
        self.log.append(("take", self.tick))

    def publish_frame(self) -> None:
        self.log.append(("frame", self.tick))
        delay = self.target_delay(self.tick)
        if delay is not None:
            stamp = self.time_ns
            self.after(delay, lambda: self.lockstep.on_accepted_target(stamp))

    def record_frame(self) -> None:
        self.log.append(("record", self.tick))

    def publish_clock(self) -> None:
        self.log.append(("clock", self.tick))
        delay = self.command_delay(self.tick)
        if delay is not None and self.lockstep.commanding:
            stamp, command = self.time_ns, HOME_POSITION + 1e-3 * self.tick

            def arrive() -> None:
                self.lockstep.on_command(stamp, command)
                if self.driver_delay is not None:
                    self.after(self.driver_delay, lambda: setattr(self, "held", command))

            self.after(delay, arrive)

    def stand(self) -> None:
        self.log.append(("stand", self.tick))
        self.tick += 1

    def drivers_hold(self, command: np.ndarray) -> bool:
        return np.array_equal(self.held, command)

    def step(self) -> None:
        self.log.append(("step", self.tick))
        self.tick += 1

    def wait(self, done: Callable[[], bool], limit_s: float) -> None:
        deadline = self.now_s + limit_s
        while self.running and not done():
            self._coming.sort(key=lambda item: item[0])
            if not self._coming or self._coming[0][0] > deadline:
                self.now_s = deadline
                return
            when, what = self._coming.pop(0)
            self.now_s = max(self.now_s, when)
            what()

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.lockstep.run_tick()

    def words(self, *of_interest: str) -> list[tuple[str, int]]:
        return [entry for entry in self.log if entry[0] in of_interest]


def test_a_tick_says_where_the_joints_are_then_the_time_then_waits_then_steps():
    graph = FakeGraph()
    graph.run(2)
    assert graph.log[-3:] == [("joints", 1), ("clock", 1), ("step", 1)]
    assert graph.now_s == pytest.approx(2 * SOON)
    assert graph.lockstep.timeouts == 0


@pytest.mark.parametrize("word", ["homing", "carry", "release"])
def test_while_the_task_moves_the_robot_a_frame_period_waits_for_its_target(word):
    graph = FakeGraph(grasp=word)
    graph.target_delay = lambda tick: None
    graph.task_delay = lambda tick: 0.5
    graph.run(1)
    assert graph.now_s < 0.1, "before the first target there is nothing to wait for"
    graph.lockstep.on_accepted_target(graph.time_ns)
    graph.run(8)
    waits = [tick for tick in range(1, 9) if tick % TICKS_PER_FRAME == 0]
    assert graph.now_s == pytest.approx(0.5 * len(waits), abs=0.1)
    assert graph.lockstep.timeouts == 0


def test_the_wait_for_the_tasks_target_ends_with_the_motion():
    graph = FakeGraph(grasp="homing")
    graph.target_delay = lambda tick: None
    graph.run(1)
    graph.lockstep.on_accepted_target(graph.time_ns)
    graph.run(3)
    graph.after(0.2, lambda: graph.lockstep.on_control_state("disarmed"))
    graph.run(4)
    assert graph.lockstep.timeouts == 0
    assert graph.now_s < 0.3
    graph.lockstep.on_control_state("armed")
    graph.run(20)
    assert graph.lockstep.timeouts == 0, "armed anew, nothing has been accepted yet"


def test_a_frame_is_out_and_answered_before_the_clock_reaches_its_tick():
    graph = FakeGraph(grasp="grasp")
    graph.run(1)
    order = [word for word, _ in graph.log]
    assert order == ["joints", "take", "frame", "record", "clock", "step"]
    assert graph.lockstep.policy.heard_ns == 0
    assert graph.now_s == pytest.approx(2 * SOON)


@pytest.mark.parametrize("word", ["grasp", "lift", "hold"])
def test_every_frame_is_taken_and_waited_for_while_the_policy_acts(word):
    graph = FakeGraph(grasp=word)
    graph.run(3 * TICKS_PER_FRAME)
    assert [tick for _, tick in graph.words("frame")] == [0, TICKS_PER_FRAME, 2 * TICKS_PER_FRAME]
    assert graph.lockstep.policy.waits == 3


def test_between_episodes_few_frames_are_taken_and_none_is_waited_for():
    graph = FakeGraph(grasp="homing")
    graph.target_delay = lambda tick: None
    graph.run(4 * TICKS_PER_FRAME)
    assert [tick for _, tick in graph.words("frame")] == [0, 2 * TICKS_PER_FRAME]
    assert graph.lockstep.policy.waits == graph.lockstep.timeouts == 0


@pytest.mark.parametrize("word", ["unconfigured", "inactive", "disarmed", "faulted", ""])
def test_nobody_is_waited_for_while_the_command_node_is_not_armed(word):
    graph = FakeGraph(control=word, grasp="grasp")
    graph.run(40)
    assert graph.tick == 40
    assert graph.now_s == pytest.approx(40 * CONFIG.idle_wait_s)
    assert graph.lockstep.control.waits == graph.lockstep.policy.waits == 0


def test_a_missing_command_is_counted_and_the_tick_goes_on():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None if tick == 5 else SOON
    graph.run(10)
    assert graph.tick == 10
    assert (graph.lockstep.control.timeouts, graph.lockstep.control.give_ups) == (1, 0)
    assert graph.now_s == pytest.approx(9 * SOON + CONFIG.command_limit_s)


def test_the_clock_is_sent_once_more_half_way_to_the_limit():
    """So a lost best-effort message costs half a limit, not a command."""
    graph = FakeGraph()
    heard = []
    graph.command_delay = lambda tick: (
        None if tick == 5 and not heard.append(tick) and len(heard) == 1 else SOON
    )
    graph.run(10)
    assert [tick for _, tick in graph.words("clock")].count(5) == 2
    assert (graph.lockstep.control.resends, graph.lockstep.timeouts) == (1, 0)


def test_a_lost_frame_is_sent_once_more_with_its_joint_state_but_not_taken_again():
    graph = FakeGraph(grasp="grasp")
    lost = iter([None])
    graph.target_delay = lambda tick: next(lost, SOON)
    graph.run(1)
    assert [word for word, _ in graph.log] == [
        *("joints", "take", "frame", "record"),
        *("joints", "frame"),
        *("clock", "step"),
    ]
    assert (graph.lockstep.policy.resends, graph.lockstep.timeouts) == (1, 0)


def test_a_late_target_is_counted_and_does_not_pass_for_the_next_frames():
    graph = FakeGraph(grasp="grasp")
    graph.target_delay = lambda tick: CONFIG.target_limit_s + 0.5 if tick == 0 else 1.0
    graph.run(2 * TICKS_PER_FRAME)
    policy = graph.lockstep.policy
    assert (policy.waits, policy.timeouts) == (2, 1)
    assert policy.heard_ns == tick_time_ns(TICKS_PER_FRAME)


def test_a_silent_command_node_is_given_up_and_time_goes_on_without_it():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None
    graph.run(500)
    control = graph.lockstep.control
    assert (control.timeouts, control.give_ups) == (CONFIG.give_up_after, 1)
    limit = CONFIG.give_up_after * CONFIG.command_limit_s + 500 * CONFIG.idle_wait_s
    assert graph.now_s <= limit + 1e-9


def test_a_dead_policy_does_not_hold_up_the_command_nodes_watchdog():
    graph = FakeGraph(grasp="grasp")
    graph.target_delay = lambda tick: None
    graph.run(100)
    assert (graph.lockstep.policy.timeouts, graph.lockstep.control.timeouts) == (CONFIG.give_up_after, 0)
    assert graph.lockstep.control.waits == 100


def test_a_partner_that_speaks_again_is_waited_for_again():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None if tick < 20 else SOON
    graph.run(40)
    control = graph.lockstep.control
    assert control.timeouts == CONFIG.give_up_after
    assert not control.silent
    # Three waits in vain, the unexpected command of tick 20 noticed in passing, 19 good ones.
    assert control.waits == CONFIG.give_up_after + 19


def test_a_new_arming_and_a_new_episode_start_with_fresh_trust():
    graph = FakeGraph(grasp="grasp")
    graph.command_delay = graph.target_delay = lambda tick: None
    graph.run(20)
    assert graph.lockstep.control.silent
    graph.lockstep.on_control_state("disarmed")
    graph.lockstep.on_grasp_state("release")
    graph.lockstep.on_control_state("armed")
    assert not graph.lockstep.control.silent
    graph.lockstep.on_grasp_state("grasp")
    assert not graph.lockstep.policy.silent


def test_a_change_within_the_episode_does_not_revive_a_silent_policy():
    graph = FakeGraph(grasp="grasp")
    graph.target_delay = lambda tick: None
    graph.run(20)
    graph.lockstep.on_grasp_state("lift")
    assert graph.lockstep.policy.silent


def test_disarming_ends_a_wait_for_a_command_without_counting_it():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None
    graph.after(0.1, lambda: graph.lockstep.on_control_state("disarmed"))
    graph.run(1)
    assert graph.now_s == pytest.approx(0.1)
    assert graph.lockstep.timeouts == 0


def test_disarmed_and_armed_in_one_breath_ends_a_wait_for_a_command_without_counting_it():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None if tick == 3 else SOON

    def again() -> None:
        graph.lockstep.on_control_state("disarmed")
        graph.lockstep.on_control_state("armed")

    graph.run(3)
    graph.after(0.1, again)
    graph.run(3)
    assert graph.lockstep.control.timeouts == 0
    assert graph.now_s < 0.2, "and the next ticks are waited for as ever"
    assert graph.lockstep.control.waits == 6


@pytest.mark.parametrize("change", ["release", "fault", "stopped"])
def test_the_episodes_end_ends_a_wait_for_a_target_without_counting_it(change):
    graph = FakeGraph(grasp="hold")
    graph.target_delay = lambda tick: None
    graph.after(0.1, lambda: graph.lockstep.on_grasp_state(change))
    graph.run(1)
    assert graph.now_s == pytest.approx(0.1 + SOON)
    assert graph.lockstep.timeouts == 0


def test_the_command_nodes_watchdog_ends_no_wait_for_commands_but_holding_is_commanding_too():
    graph = FakeGraph(control="holding")
    graph.run(5)
    assert graph.lockstep.control.waits == 5


def test_a_tick_waits_until_the_drivers_have_the_command_that_was_announced():
    graph = FakeGraph()
    graph.driver_delay = 0.05
    graph.run(3)
    assert graph.now_s == pytest.approx(3 * (SOON + 0.05))
    assert np.array_equal(graph.held, HOME_POSITION + 2e-3)
    assert graph.lockstep.timeouts == 0


def test_drivers_that_never_get_the_command_are_counted_apart_and_given_up():
    graph = FakeGraph()
    graph.driver_delay = None
    graph.run(50)
    lockstep = graph.lockstep
    assert (lockstep.drivers.timeouts, lockstep.control.timeouts) == (CONFIG.give_up_after, 0)
    assert lockstep.timeouts == CONFIG.give_up_after
    assert graph.now_s <= CONFIG.give_up_after * CONFIG.command_limit_s + 50 * SOON + 1e-9


def test_a_shutdown_in_the_midst_of_a_wait_counts_nothing_and_steps_no_more():
    graph = FakeGraph()
    graph.command_delay = lambda tick: None
    graph.after(0.1, lambda: setattr(graph, "running", False))
    graph.run(1)
    assert graph.lockstep.timeouts == 0
    assert graph.tick == 0


def prepared() -> FakeGraph:
    """A graph in which an episode is prepared: the world has just been reset."""
    graph = FakeGraph(control="disarmed", grasp="resetting")
    graph.run(3)
    graph.lockstep.stand_until_start()
    return graph


def begin_episode(graph: FakeGraph) -> int:
    """Arm, let the policy act; the tick of the first frame since."""
    graph.lockstep.on_control_state("armed")
    graph.run(2)
    graph.lockstep.on_grasp_state("grasp")
    graph.run(TICKS_PER_FRAME)
    return graph.words("frame")[-1][1]


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 50])
def test_after_a_reset_nothing_moves_and_nothing_is_seen_until_the_episodes_first_frame(ticks):
    graph = prepared()
    moved, seen = len(graph.words("step")), len(graph.words("frame"))
    graph.run(ticks)
    first = begin_episode(graph)
    assert first % TICKS_PER_FRAME == 0
    assert graph.words("frame")[seen:] == [("frame", first)]
    assert graph.words("step")[moved:] == [("step", tick) for tick in range(first, graph.tick)]
    assert graph.words("stand") == [("stand", tick) for tick in range(3, first)]
    assert [tick for _, tick in graph.words("clock")] == list(range(graph.tick)), "time goes on"


def test_an_episode_does_not_begin_before_the_armed_command_node_has_sent_a_command():
    graph = prepared()
    graph.command_delay = lambda tick: SOON if tick >= 30 else None
    graph.lockstep.on_control_state("armed")
    graph.lockstep.on_grasp_state("grasp")
    graph.run(40 - graph.tick)
    assert graph.words("frame")[-2:] == [("frame", 32), ("frame", 36)]
    assert graph.words("step")[3:] == [("step", tick) for tick in range(32, 40)]
    assert graph.lockstep.policy.timeouts == 0


@pytest.mark.parametrize("word", ["fault", "stopped", "homing", "idle"])
def test_the_world_moves_again_when_the_episode_does_not_come(word):
    graph = prepared()
    graph.run(5)
    graph.lockstep.on_grasp_state(word)
    graph.run(5)
    assert [name for name, _ in graph.words("stand", "step")][-10:] == ["stand"] * 5 + ["step"] * 5


@pytest.mark.parametrize("word", ["", "idle", "homing", "grasp", "release"])
def test_a_reset_that_no_episode_has_asked_for_does_not_stop_the_world(word):
    graph = FakeGraph(control="disarmed", grasp=word)
    graph.lockstep.stand_until_start()
    graph.run(5)
    assert graph.words("stand") == []


def test_an_arming_ends_an_idle_pause():
    graph = FakeGraph(control="disarmed")
    graph.after(0.0005, lambda: graph.lockstep.on_control_state("armed"))
    graph.run(1)
    assert graph.now_s == pytest.approx(0.0005)


@pytest.mark.parametrize("seed", range(20))
def test_no_behaviour_of_the_partners_stops_time_or_spends_more_than_the_limits(seed):
    rng = random.Random(seed)
    graph = FakeGraph(control=rng.choice(["armed", "disarmed"]), grasp=rng.choice(["grasp", "idle"]))

    def delay(_: int) -> float | None:
        return rng.choice([None, 0.0, SOON, 0.3, 0.9, 1.1, 4.0])

    graph.command_delay = graph.target_delay = delay
    ticks = 300
    for _ in range(ticks):
        if rng.random() < 0.1:
            word = rng.choice(["armed", "holding", "disarmed", "faulted", "inactive"])
            graph.after(rng.random(), lambda word=word: graph.lockstep.on_control_state(word))
        if rng.random() < 0.1:
            word = rng.choice(["grasp", "lift", "hold", "release", "homing", "resetting"])
            graph.after(rng.random(), lambda word=word: graph.lockstep.on_grasp_state(word))
        if rng.random() < 0.1:
            graph.after(rng.random(), graph.lockstep.stand_until_start)
        graph.run(1)
    assert graph.tick == ticks
    lockstep = graph.lockstep
    waits = [(lockstep.control, 1.0), (lockstep.drivers, 1.0), (lockstep.policy, 3.0)]
    most_s = sum(partner.waits * limit for partner, limit in waits) + ticks * CONFIG.idle_wait_s
    assert graph.now_s <= most_s + 1e-6
    assert lockstep.timeouts == sum(partner.timeouts for partner, _ in waits)


def test_while_an_object_is_sought_every_frame_is_taken_and_waits_for_the_policys_estimate():
    graph = FakeGraph(control="disarmed", grasp="searching")
    graph.target_delay = lambda tick: None
    frames = [tick for tick in range(8) if tick % TICKS_PER_FRAME == 0]
    for tick in frames:
        stamp = tick_time_ns(tick)
        graph.after(0.5 * (1 + tick / TICKS_PER_FRAME), lambda stamp=stamp: graph.lockstep.on_estimate(stamp))
    graph.run(8)
    assert [tick for _, tick in graph.words("frame")] == frames
    assert graph.now_s == pytest.approx(0.5 * len(frames), abs=0.1)
    assert graph.lockstep.timeouts == 0


def test_an_estimate_is_no_answer_where_a_target_is_due():
    graph = FakeGraph(grasp="grasp")
    graph.target_delay = lambda tick: None
    graph.after(0.1, lambda: graph.lockstep.on_estimate(graph.time_ns))
    graph.run(1)
    assert graph.lockstep.policy.timeouts == 1
