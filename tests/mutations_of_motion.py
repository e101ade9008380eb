"""The limits of ``grasp_control``'s commands and the checks of its node, each taken out once."""

from mutation import Mutation, source

CONTROL = "grasp_control/grasp_control/"
TESTS = "grasp_control/test/"
PROMISES = TESTS + "test_promises.py"
STOPPING = TESTS + "test_stopping.py"
TORMENT = TESTS + "test_hostile_inputs.py::test_no_command_leaves_the_limits_in_a_short_torment"
BY_LIMITER = (TESTS + "test_limiter.py", PROMISES, TORMENT)
BY_GUARD = TESTS + "test_guard.py"
BY_DRIVERS = (TESTS + "test_drivers.py", TESTS + "test_driver_link.py")

core = source(CONTROL + "safety.py", STOPPING, PROMISES, TORMENT)
limiter = source(CONTROL + "limiter.py", *BY_LIMITER)
braking = source(CONTROL + "braking.py", TESTS + "test_braking.py", *BY_LIMITER)
guard = source(CONTROL + "guard.py", BY_GUARD)
collision = source(CONTROL + "collision.py", BY_GUARD)
guarded = source(CONTROL + "safety.py", BY_GUARD)
drivers = source(CONTROL + "drivers.py", *BY_DRIVERS)
link = source(CONTROL + "driver_link.py", *BY_DRIVERS)
parameters = source(CONTROL + "parameters.py", TESTS + "test_parameters.py")
config = source(CONTROL + "config.py", TESTS + "test_parameters.py")
node = source(CONTROL + "control_node.py", TESTS + "test_control_node.py")
asked = source(CONTROL + "control_node.py", TESTS + "test_session.py")

LAST_SAMPLES = "values = self._values[:3]\n        values[0], values[1] = step, change\n        "
JERK = "change - (last_step - (self._previous[0] - self._previous[1]))"
PROFILE = "values = self._values\n        values[0], values[1] = step, change\n        values[2] = " + JERK
DERIVATIVES = "values[3], values[4], values[5] = new.velocity, stop.crest, new.acceleration"
LAST_BOUNDS = """            (np.abs(values) <= self._bounds[:3] + SLACK_RAD).all()
            and (self._lower <= state.position).all()
            and (state.position <= self._upper).all()
"""


def last_check(limit: str, text: str, instead: str) -> Mutation:
    """The last check of every command without one limit."""
    return limiter(1, f"last check: {limit}", text, instead)


def verification(limit: str, text: str, instead: str) -> Mutation:
    """The verification of the generator's proposals without one limit."""
    return limiter(1, f"proposal: {limit}", text, instead)


LAST_CHECK = (
    last_check("velocity", LAST_SAMPLES, LAST_SAMPLES.replace("step, change", "0.0 * step, change")),
    last_check("acceleration", LAST_SAMPLES, LAST_SAMPLES.replace("step, change", "step, 0.0 * change")),
    last_check("jerk", LAST_SAMPLES + "values[2] = " + JERK, LAST_SAMPLES + f"values[2] = 0.0 * ({JERK})"),
    last_check("lower position", "            and (self._lower <= state.position).all()\n", ""),
    last_check("upper position", "            and (state.position <= self._upper).all()\n", ""),
    last_check(
        "finite",
        LAST_BOUNDS,
        """            not (np.abs(values) > self._bounds[:3] + SLACK_RAD).any()
            and not (self._lower > state.position).any()
            and not (state.position > self._upper).any()
""",
    ),
    core(1, "last check: asked at all", "if not self._limiter.admits(state):", "if False:"),
    core(
        1,
        "last check: after a fault no commands",
        "if self.state in (State.DISARMED, State.FAULTED) or self._silent:",
        "if self.state is State.DISARMED:",
    ),
)

PROPOSALS = (
    verification("velocity of the samples", PROFILE, PROFILE.replace("step, change", "0.0 * step, change")),
    verification(
        "acceleration of the samples", PROFILE, PROFILE.replace("step, change", "step, 0.0 * change")
    ),
    verification("jerk of the samples", PROFILE, PROFILE.replace(JERK, f"0.0 * ({JERK})")),
    verification(
        "velocity of the profile", DERIVATIVES, DERIVATIVES.replace("new.velocity", "0.0 * new.velocity")
    ),
    verification(
        "velocity still to come", DERIVATIVES, DERIVATIVES.replace("stop.crest", "0.0 * stop.crest")
    ),
    verification(
        "acceleration of the profile",
        DERIVATIVES,
        DERIVATIVES.replace("new.acceleration", "0.0 * new.acceleration"),
    ),
    verification(
        "jerk of the profile",
        "values[6] = new.acceleration - self.state.acceleration",
        "values[6] = 0.0",
    ),
    verification("lower position of the stop", "(self._lower <= lowest) & ", ""),
    verification("upper position of the stop", " & (highest <= self._upper)", ""),
    verification(
        "position on the way, beside its stop's end",
        "lowest, highest = np.minimum(new.position, stop.lowest), np.maximum(new.position, stop.highest)",
        "lowest, highest = stop.end_position, stop.end_position",
    ),
    verification(
        "finite",
        "(values <= self._bounds).all(axis=0) & (self._lower <= lowest) & (highest <= self._upper)",
        "~((values > self._bounds).any(axis=0) | (self._lower > lowest) | (highest > self._upper))",
    ),
    verification("verified at all", "sound = self._sound(proposal)", "sound = np.ones(len(target), bool)"),
    verification("a generator that raises", "except ruckig.RuckigError:", "except ZeroDivisionError:"),
    verification(
        "a generator that returns an error",
        "if result not in (ruckig.Result.Working, ruckig.Result.Finished):",
        "if False:",
    ),
)

PLANNING = (
    limiter(
        1,
        "velocity limit",
        "self._velocity = np.minimum(limits.velocity, speed_cap)",
        "self._velocity = speed_cap",
    ),
    limiter(
        1,
        "speed cap",
        "self._velocity = np.minimum(limits.velocity, speed_cap)",
        "self._velocity = limits.velocity",
    ),
    core(4, "speed cap of the arm", "caps = [config.arm_speed_rad_s]", "caps = [np.inf]"),
    core(1, "speed cap of the hand", "[config.hand_speed_rad_s] * (", "[np.inf] * ("),
    limiter(
        1,
        "acceleration limit",
        "self._acceleration, self._jerk = limits.acceleration, limits.jerk",
        "self._acceleration, self._jerk = 10.0 * limits.acceleration, limits.jerk",
    ),
    limiter(
        1,
        "jerk limit",
        "self._acceleration, self._jerk = limits.acceleration, limits.jerk",
        "self._acceleration, self._jerk = limits.acceleration, 10.0 * limits.jerk",
    ),
    limiter(
        1,
        "lower position limit",
        "self._lower, self._upper = limits.lower, limits.upper",
        "self._lower, self._upper = limits.lower - 1.0, limits.upper",
    ),
    limiter(
        1,
        "upper position limit",
        "self._lower, self._upper = limits.lower, limits.upper",
        "self._lower, self._upper = limits.lower, limits.upper + 1.0",
    ),
    limiter(
        1,
        "planned velocity",
        "self._input.max_velocity = (PLANNING_SHARE * self._velocity).tolist()",
        "self._input.max_velocity = (100.0 * self._velocity).tolist()",
    ),
    limiter(
        1,
        "planned acceleration",
        "self._input.max_acceleration = self._plan_acceleration.tolist()",
        "self._input.max_acceleration = (100.0 * self._plan_acceleration).tolist()",
    ),
    limiter(
        1,
        "planned jerk",
        "self._input.max_jerk = self._plan_jerk.tolist()",
        "self._input.max_jerk = (100.0 * self._plan_jerk).tolist()",
    ),
    limiter(
        1,
        "planned target within the position limits",
        "self._generate(np.clip(target, self._target_lower, self._target_upper))",
        "self._generate(target)",
    ),
    braking(
        1,
        "braking: acceleration",
        "np.minimum(max_acceleration, np.sqrt(max_jerk * to_shed))",
        "np.sqrt(max_jerk * to_shed)",
    ),
    braking(
        1,
        "braking: jerk",
        "self._durations, self._jerk = (t1, t2, t3), sign * max_jerk",
        "self._durations, self._jerk = (t1, t2, t3), sign * 2.0 * max_jerk",
    ),
    braking(1, "braking: a joint that still turns round", "if (v < 0.0).any():", "if False:"),
)

GUARDING = (
    guard(
        5,
        "guard: the next posture",
        "        if not self._keeps(state.position):\n            return False\n        clearances",
        "        clearances",
    ),
    guard(
        5,
        "guard: the stop from it",
        "if not all(self._keeps(posture) for posture in postures):",
        "if False:",
    ),
    guard(
        5,
        "guard: stops that begin far from everything",
        "return float(travel @ self._model.reach_m) < self._config.activation_m",
        "return True",
    ),
    guard(
        5,
        "guard: a violated clearance may not shrink",
        "if gap < self._floors.get(key, 0.0) - _GAP_TOLERANCE_M:",
        "if key not in self._floors and gap < -_GAP_TOLERANCE_M:",
    ),
    guarded(
        5,
        "guard: judged before the arm's part brakes",
        "if wanted is here or self._guard.allows(wanted, self._limiter.stop_from(wanted)):",
        "if True:",
    ),
    guarded(
        5,
        "guard: judged when the hand goes on and the arm brakes",
        "if self._guard.allows(mixed, self._limiter.stop_from(mixed)):",
        "if True:",
    ),
    guard(
        5,
        "guard: the arm's bend",
        "arm = _nearest_within(wanted[:_ARM], arm_gradients, room)",
        "arm = wanted[:_ARM]",
    ),
    collision(
        5,
        "guard: arm and palm above the table",
        "-config.finger_table_depth_m if finger else config.table_margin_m",
        "-config.finger_table_depth_m if finger else -1.0",
    ),
    collision(
        5,
        "guard: fingers at the table",
        "-config.finger_table_depth_m if finger else config.table_margin_m",
        "-1.0 if finger else config.table_margin_m",
    ),
    collision(5, "guard: the table at all", "below | (_TABLE_BIT if place >= 2 else 0)", "below"),
    collision(
        5,
        "guard: the robot and itself",
        "below | (_TABLE_BIT if place >= 2 else 0)",
        "_TABLE_BIT if place >= 2 else 0",
    ),
    collision(
        5,
        "guard: the workspace's lower walls",
        "self._lower = np.array(config.workspace_lower_m) + radius",
        "self._lower = np.array(config.workspace_lower_m) + radius - 9.0",
    ),
    collision(
        5,
        "guard: the workspace's upper walls",
        "self._upper = np.array(config.workspace_upper_m) - radius",
        "self._upper = np.array(config.workspace_upper_m) - radius + 9.0",
    ),
    collision(
        5,
        "guard: canonical order of the model's joints",
        "if not np.array_equal(model.jnt_qposadr[_joint_ids(model)], np.arange(model.nq)):",
        "if False:",
    ),
)

AT_THE_DRIVERS = (
    drivers(
        1,
        "drivers: every joint of a driver is measured",
        "elif len(missing) < len(driver.own_names):",
        "elif False:",
    ),
    drivers(1, "drivers: joints of ours are named", "if not parts:", "if False:"),
    drivers(
        1,
        "drivers: as many names as joints",
        "if len(self.own_names) != len(self.joints) or len(set(self.own_names)) != len(self.own_names):",
        "if len(set(self.own_names)) != len(self.own_names):",
    ),
    drivers(
        1,
        "drivers: no name twice",
        "if len(self.own_names) != len(self.joints) or len(set(self.own_names)) != len(self.own_names):",
        "if len(self.own_names) != len(self.joints):",
    ),
    drivers(
        1,
        "drivers: commands in their order",
        "np.array([_COLUMNS[name] for name in self.joints])",
        "np.sort([_COLUMNS[name] for name in self.joints])",
    ),
    drivers(
        1,
        "drivers: the hand's narrower lower limit",
        "np.maximum(limits.lower, lower_rad), np.minimum(limits.upper, upper_rad)",
        "limits.lower, np.minimum(limits.upper, upper_rad)",
    ),
    drivers(
        1,
        "drivers: the hand's narrower upper limit",
        "np.maximum(limits.lower, lower_rad), np.minimum(limits.upper, upper_rad)",
        "np.maximum(limits.lower, lower_rad), limits.upper",
    ),
    drivers(
        1,
        "drivers: the robot's own lower limit",
        "np.maximum(limits.lower, lower_rad), np.minimum(limits.upper, upper_rad)",
        "lower_rad, np.minimum(limits.upper, upper_rad)",
    ),
    drivers(
        1,
        "drivers: the robot's own upper limit",
        "np.maximum(limits.lower, lower_rad), np.minimum(limits.upper, upper_rad)",
        "np.maximum(limits.lower, lower_rad), upper_rad",
    ),
    drivers(1, "drivers: a range that leaves nothing", "if not (lower < upper).all():", "if False:"),
    link(
        7,
        "drivers: an arm whose session is over is sent nothing",
        'if driver.part == "arm" and not arm_listens:',
        "if False:",
    ),
    link(
        1,
        "drivers: none in a dry run",
        "() if self._settings.dry_run else self._settings.drivers",
        "self._settings.drivers",
    ),
    parameters(
        1, "parameters: an order is a permutation", "if sorted(joints) != sorted(group):", "if False:"
    ),
    config(
        1,
        "parameters: finite and above 0",
        '_require(math.isfinite(value) and value > 0.0, field.name, value, "a finite number above 0")',
        "pass",
    ),
    config(
        4,
        "parameters: bounds of the bounds",
        "self.arm_tracking_rad <= 1.0 and self.hand_lead_rad <= 2.0,",
        "True,",
    ),
    config(1, "parameters: a rate that can be", "20.0 <= self.command_rate_hz <= 1000.0,", "True,"),
)

IN_THE_NODE = (
    node(
        3,
        "node: not deactivated in motion",
        "if self._core.moving:\n            self._core.stop(self._now_s())\n            self._tell()\n   ",
        "if False:\n   ",
    ),
    node(
        3,
        "node: not armed while inactive",
        '        if self._timer is None:\n            return Answer(False, "not active")\n',
        "",
    ),
    node(
        2,
        "node: ticks by a clock that nobody sets",
        "clock = self.get_clock() if self._on_sim_time else self._steady",
        "clock = self.get_clock()",
    ),
    node(
        3,
        "node: tells the core how long the drivers got nothing",
        "if not self._on_sim_time:\n            self._core.note_gap",
        "if False:\n            self._core.note_gap",
    ),
    node(
        2,
        "node: stops the robot before it is shut down",
        "        self.brake()\n        self._close()\n",
        "        self._close()\n",
    ),
    node(3, "node: deactivating ends the sequence", "self._core.abandon(reason)\n", "pass\n"),
    node(1, "node: stops the robot before the process ends", "        node.begin_stop()\n", ""),
    node(
        1,
        "node: a trajectory of several points is no target",
        "list(points[0].positions) if len(points) == 1 else []",
        "list(points[0].positions) if points else []",
    ),
    asked(
        7,
        "node: the session is asked before every tick",
        "self._link.take_waiting()\n        self._ask_session()\n",
        "self._link.take_waiting()\n",
    ),
)

MUTATIONS = (*PLANNING, *PROPOSALS, *LAST_CHECK, *GUARDING, *AT_THE_DRIVERS, *IN_THE_NODE)
