"""The limits and checks of ``grasp_control``'s core, each taken out once: what is asked, watched and told."""

from mutation import source

TESTS = "grasp_control/test/"
PROMISES = TESTS + "test_promises.py"
STOPPING = TESTS + "test_stopping.py"
SESSIONS = TESTS + "test_session.py"
WATCHDOG = TESTS + "test_watchdog.py"
TORMENT = TESTS + "test_hostile_inputs.py::test_no_command_leaves_the_limits_in_a_short_torment"

core = source("grasp_control/grasp_control/safety.py", STOPPING, SESSIONS, WATCHDOG, PROMISES, TORMENT)
target = source("grasp_control/grasp_control/targets.py", TESTS + "test_targets.py", PROMISES, TORMENT)
measurement = source(
    "grasp_control/grasp_control/measurement.py", TESTS + "test_measurement.py", PROMISES, TORMENT
)
watchdog = source("grasp_control/grasp_control/watchdog.py", WATCHDOG, PROMISES, TORMENT)
session = source("grasp_control/grasp_control/session.py", SESSIONS, PROMISES, TORMENT)

FIRST_COMMAND = (
    core(
        3,
        "first command: at the measured position",
        "start = np.clip(self._measurement.position, self._limits.lower, self._limits.upper)",
        "start = self._limiter.state.position if self.counts['commands'] else np.clip("
        "self._measurement.position, self._limits.lower, self._limits.upper)",
    ),
    core(
        1,
        "first command: within the position limits",
        "start = np.clip(self._measurement.position, self._limits.lower, self._limits.upper)",
        "start = self._measurement.position",
    ),
    core(
        3,
        "first command: none when stopped before it",
        "if self.state is not State.ARMED:\n            self._silent = True\n",
        "if False:\n            self._silent = True\n",
    ),
    core(
        3,
        "arming: a new sequence begins",
        "NEVER, now_s\n        self._started = self._silent =",
        "NEVER, now_s\n        self._silent =",
    ),
    core(
        3,
        "arming: targets from before are forgotten",
        "self._aimed, self._first_target = False, None\n        self._target_stamp_s, self._armed_at_s = "
        "NEVER, now_s",
        "self._target_stamp_s, self._armed_at_s = NEVER, now_s",
    ),
)

ARMING = (
    core(
        7,
        "arming: not without the arm's session",
        "        if self.interlock:\n            return self.interlock\n",
        "",
    ),
    core(
        1,
        "arming: not while faulted",
        "        if self.state is State.FAULTED:\n"
        '            return f"faulted ({self.reason}); disarm first"\n',
        "",
    ),
    core(
        3,
        "arming: not twice",
        '        if self.state is State.ARMED:\n            return "already armed; disarm first"\n',
        "",
    ),
    core(
        3,
        "arming: not in motion",
        '        if self.moving:\n            return "still decelerating; arm again once at rest"\n',
        "",
    ),
    core(
        3,
        "arming: only on fresh measurements",
        "if (age > self.config.measurement_timeout_s).any() or not np.isfinite(age).all():",
        "if not np.isfinite(age).all():",
    ),
    core(
        3,
        "arming: not by a clock that shows no number",
        "if (age > self.config.measurement_timeout_s).any() or not np.isfinite(age).all():",
        "if (age > self.config.measurement_timeout_s).any():",
    ),
    core(
        3,
        "arming: only within the position limits",
        "if beyond.max() > self.config.start_tolerance_rad:",
        "if False:",
    ),
    core(
        3, "arming: only with the arm at rest", "if speed.max() > self.config.start_speed_rad_s:", "if False:"
    ),
)

WATCHING = (
    core(
        2,
        "watchdog of targets",
        "if self._aimed and not self.target_age_s(now_s) <= self.config.target_timeout_s:",
        "if False:",
    ),
    core(
        2,
        "watchdog of targets: before a target is taken",
        "        self._watch_targets(now_s)\n        reason, clipped",
        "        reason, clipped",
    ),
    core(
        2,
        "a robot that got no command for long is left where it stands",
        "if self.moving and not gap_s <= self.config.measurement_timeout_s:",
        "if False:",
    ),
    core(
        7,
        "watchdog of the arm's measurement",
        "for group, cause in ((_ARM, Cause.ARM_MEASUREMENT), (_HAND, Cause.HAND_MEASUREMENT)):",
        "for group, cause in ((_HAND, Cause.HAND_MEASUREMENT),):",
    ),
    core(
        7,
        "watchdog of the hand's measurement",
        "for group, cause in ((_ARM, Cause.ARM_MEASUREMENT), (_HAND, Cause.HAND_MEASUREMENT)):",
        "for group, cause in ((_ARM, Cause.ARM_MEASUREMENT),):",
    ),
    core(
        3,
        "silence after a stale measurement",
        "                self._hold(cause)\n                self._silence_at_rest = True\n        for broken",
        "                self._hold(cause)\n        for broken",
    ),
    core(
        3,
        "hold when a measurement jumps",
        "((self._measurement.jumped, Cause.JUMP), (self.interlock, Cause.SESSION))",
        "((self.interlock, Cause.SESSION),)",
    ),
    core(
        7,
        "hold when the arm's session ends",
        "((self._measurement.jumped, Cause.JUMP), (self.interlock, Cause.SESSION))",
        "((self._measurement.jumped, Cause.JUMP),)",
    ),
    core(
        3,
        "silence after a jump or the session's end",
        "self._hold(cause)\n                self._silence_at_rest = True\n        if self.state",
        "self._hold(cause)\n        if self.state",
    ),
    core(4, "distance of arm and command", "if self._lags(now_s):", "if False:"),
    core(
        4,
        "grace of that distance runs out",
        "and now_s - self._exceeded_since_s >= self.config.tracking_grace_s",
        "and False",
    ),
    core(
        4,
        "distance of hand and target",
        "np.clip(target[_HAND], measured - lead, measured + lead)",
        "target[_HAND]",
    ),
    core(2, "hold when the clock steps back", "            self._hold(Cause.CLOCK)\n", ""),
    core(
        3,
        "silence after a clock step",
        "self._hold(Cause.CLOCK)\n            self._silence_at_rest = True\n",
        "self._hold(Cause.CLOCK)\n",
    ),
    core(
        3, "measurements from before a clock step are stale", "            self._measurement.forget()\n", ""
    ),
    watchdog(
        2,
        "clock step: by how much",
        "bool(now_s >= self.latest_s - CLOCK_STEP_S) and math.isfinite(now_s)",
        "math.isfinite(now_s)",
    ),
    watchdog(
        2,
        "clock step: a reading that is no number",
        "bool(now_s >= self.latest_s - CLOCK_STEP_S) and math.isfinite(now_s)",
        "not now_s < self.latest_s - CLOCK_STEP_S",
    ),
    watchdog(
        2,
        "age by ticks, beside the clock",
        "np.maximum(now_s - self._times, (tick - self._ticks) * self._period_s)",
        "now_s - self._times",
    ),
    watchdog(
        2,
        "age by the clock, beside ticks",
        "np.maximum(now_s - self._times, (tick - self._ticks) * self._period_s)",
        "(tick - self._ticks) * self._period_s",
    ),
)

HOLDING = (
    core(2, "holding: brakes", "if self.state is State.ARMED and self._aimed:", "if self._aimed:"),
    core(
        2,
        "holding and disarmed: targets are refused",
        'if self.state is not State.ARMED:\n            return f"not armed',
        'if False:\n            return f"not armed',
    ),
    core(
        3,
        "holding: silent at rest until armed again",
        "                self._silent = True\n        self.counts",
        "                pass\n        self.counts",
    ),
    core(
        1,
        "disarming in motion decelerates first",
        "        if self.moving:\n            self._hold(Cause.REQUEST)\n",
        "        if False:\n            self._hold(Cause.REQUEST)\n",
    ),
    core(3, "disarming ends at rest", "            self._disarm_at_rest = True\n", "            pass\n"),
    core(
        2,
        "a stop that is asked for",
        'Decelerate and hold."""\n        self._note_time(now_s)\n        self._hold(Cause.REQUEST)\n',
        'Decelerate and hold."""\n        self._note_time(now_s)\n',
    ),
)

OF_TARGETS = (
    core(2, "target: not too old", "if not age <= self.config.target_max_age_s:", "if False:"),
    core(2, "target: not from the future", "if not age >= -self.config.clock_tolerance_s:", "if False:"),
    core(3, "target: not from before arming", "if stamp_s < self._armed_at_s:", "if False:"),
    core(2, "target: newer than the last", "if stamp_s <= self._target_stamp_s:", "if False:"),
    target(1, "target: finite", "if not finite.all():", "if False:"),
    target(1, "target: of the right length", "if len(positions) != len(self._names):", "if False:"),
    target(
        1,
        "target: no unknown joint",
        "if unknown or missing or len(names) != len(self._names):",
        "if missing:",
    ),
    target(
        1,
        "target: every joint",
        "            missing = [name for name in self._names if name not in place]\n",
        "            missing = []\n            place = {name: 0 for name in self._names} | place\n",
    ),
    target(
        1,
        "target: no joint twice",
        "if unknown or missing or len(names) != len(self._names):",
        "if unknown or missing:",
    ),
    target(
        1,
        "target: mapped by name",
        "np.array([place[name] for name in self._names])",
        "np.arange(len(names))",
    ),
    target(
        1,
        "target: lower position limit",
        "np.clip(values, self._lower, self._upper)",
        "np.minimum(values, self._upper)",
    ),
    target(
        1,
        "target: upper position limit",
        "np.clip(values, self._lower, self._upper)",
        "np.maximum(values, self._lower)",
    ),
)

OF_MEASUREMENTS = (
    measurement(
        7,
        "measurement: as many positions as names",
        "if len(positions) != len(names) or len(velocities) not in (0, len(names)):",
        "if len(velocities) not in (0, len(names)):",
    ),
    measurement(
        7,
        "measurement: as many velocities as names, or none",
        "if len(positions) != len(names) or len(velocities) not in (0, len(names)):",
        "if len(positions) != len(names):",
    ),
    measurement(
        7,
        "measurement: finite positions",
        "if not (np.isfinite(position).all() and np.isfinite(velocity).all()):",
        "if not np.isfinite(velocity).all():",
    ),
    measurement(
        7,
        "measurement: finite velocities",
        "if not (np.isfinite(position).all() and np.isfinite(velocity).all()):",
        "if not np.isfinite(position).all():",
    ),
    measurement(
        7, "measurement: not from the future", "if not stamp_s <= now_s + self._future_s:", "if False:"
    ),
    measurement(7, "measurement: not older than the last", "if (stamp_s < before).any():", "if False:"),
    measurement(
        3, "measurement: jumps are noticed", "            self.jumped = True\n", "            pass\n"
    ),
    measurement(
        7,
        "measurement: mapped by name",
        "self._columns[names] = (np.array(ours), np.array(theirs))",
        "self._columns[names] = (np.sort(ours), np.array(theirs))",
    ),
    measurement(7, "measurement: no joint twice", "elif len(set(ours)) < len(ours):", "elif False:"),
    session(
        7,
        "session: heard of at all",
        '        if self._state is None:\n            return "the arm\'s session state was never heard"\n',
        '        if self._state is None:\n            return ""\n',
    ),
    session(7, "session: active", "if self._state != COMMANDING:", "if False:"),
    session(7, "session: heard of lately", "if not age_s <= self._timeout_s:", "if False:"),
)

MUTATIONS = (*FIRST_COMMAND, *ARMING, *WATCHING, *HOLDING, *OF_TARGETS, *OF_MEASUREMENTS)
