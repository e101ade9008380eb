"""What ``grasp_policy`` asks of images, joint states, its answers and its file, each check taken out once.

Promise 6 (what may be inferred on), promise 9 (the execution provider, and that the file is the one meant),
and promise 1 as far as the policy holds it: what it answers is finite.
"""

from mutation import source

POLICY = "grasp_policy/grasp_policy/"
TESTS = "grasp_policy/test/"

pairing = source(POLICY + "pairing.py", TESTS + "test_pairing.py")
deciding = source(POLICY + "deciding.py", TESTS + "test_deciding.py", TESTS + "test_policy_node.py")
decoding = source(POLICY + "decoding.py", TESTS + "test_decoding.py")
policy = source(POLICY + "policy.py", TESTS + "test_policy.py")
file = source(POLICY + "policy_file.py", TESTS + "test_policy_file.py")
node = source(POLICY + "policy_node.py", TESTS + "test_policy_node.py")

IMAGES = (
    pairing(
        6,
        "images: of one stamp",
        "partner = other.pop(stamp_ns, None)",
        "partner = other.pop(next(iter(other), None), None)",
    ),
    pairing(
        6,
        "images: not old on arrival",
        "if now_ns - stamp_ns > self.limits.max_age_ns:\n            return Reason.OLD",
        "if False:\n            return Reason.OLD",
    ),
    pairing(
        6,
        "images: not old at the inference",
        "if abs(now_ns - stamp_ns) > self.limits.max_age_ns:",
        "if stamp_ns - now_ns > self.limits.max_age_ns:",
    ),
    pairing(
        6,
        "images: not ahead of the clock",
        "if stamp_ns - now_ns > self.limits.max_age_ns:\n            return Reason.AHEAD",
        "if False:\n            return Reason.AHEAD",
    ),
    pairing(
        6,
        "images: not seen before",
        "if stamp_ns == self._used_stamp_ns or (seen is not None and stamp_ns <= seen):",
        "if stamp_ns == self._used_stamp_ns:",
    ),
    pairing(
        6,
        "images: not used before, even by an episode before",
        "if stamp_ns == self._used_stamp_ns or (seen is not None and stamp_ns <= seen):",
        "if seen is not None and stamp_ns <= seen:",
    ),
    pairing(
        6,
        "images: not from before the start",
        "if self._start_ns is not None and stamp_ns < self._start_ns:",
        "if False:",
    ),
    pairing(
        6,
        "images: a pair is used once",
        "        self._pair = None\n        self._used_stamp_ns",
        "        self._used_stamp_ns",
    ),
    pairing(
        6,
        "images: few of one eye wait",
        "            if len(mine) > WAITING_IMAGES:\n",
        "            if False:\n",
    ),
    pairing(
        6,
        "images: none from before a clock step",
        "            self.counts[Reason.CLOCK_BACK] += 1\n            self._forget()\n",
        "            self.counts[Reason.CLOCK_BACK] += 1\n",
    ),
)

JOINT_STATES = (
    pairing(
        6,
        "joint states: near the clock",
        "if abs(stamp_ns - now_ns) > reach_ns:",
        "if False:",
    ),
    pairing(
        6,
        "joint states: near the images",
        "if abs(joints.stamp_ns - stamp_ns) > self.limits.max_joint_skew_ns:",
        "if False:",
    ),
    pairing(
        6,
        "joint states: one as new as the images",
        "if not self._joints or self._joints[-1].stamp_ns < stamp_ns:",
        "if not self._joints:",
    ),
    pairing(
        6,
        "joint states: the nearest",
        "min(self._joints, key=lambda state: abs(state.stamp_ns - stamp_ns))",
        "self._joints[0]",
    ),
    deciding(
        6,
        "joint states: a bad one voids those before it",
        "            self._pairer.drop_joint_states()\n",
        "",
    ),
    decoding(6, "joint states: each joint once", "if times != 1:", "if times < 1:"),
    decoding(6, "joint states: no joint is missing", "if times != 1:", "if times > 1:"),
    decoding(6, "joint states: as many numbers as names", "if len(values) != len(names):", "if False:"),
    decoding(6, "joint states: finite", "if not np.isfinite(values).all():", "if False:"),
    decoding(
        6,
        "joint states: mapped by name",
        "np.array([names.index(name) for name in self._joint_names])",
        "np.arange(len(self._joint_names))",
    ),
)

PIXELS = (
    decoding(6, "images: of the policy's size", "if (width, height) != expected_size:", "if False:"),
    decoding(6, "images: of its encoding", 'if encoding != "rgb8":', "if False:"),
    decoding(6, "images: whole rows", "if step < 3 * width:", "if False:"),
    decoding(6, "images: whole", "if length < needed:", "if False:"),
)

STEPS = (
    policy(
        6,
        "policy: images of its shape and type",
        "if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != self._image_shape",
        "if False",
    ),
    policy(
        6,
        "policy: joints of its number and type",
        'if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != (count,):',
        "if False:",
    ),
    policy(6, "policy: finite joints", "if not np.isfinite(vector).all():", "if False:"),
    policy(1, "policy: a finite answer", "if not np.isfinite(value).all():", "if False:"),
    policy(
        1,
        "policy: finite memory",
        "            _require_finite_output(name, value)\n",
        '            if name != "memory_out":\n                _require_finite_output(name, value)\n',
    ),
    policy(
        1,
        "policy: its answer belongs to the caller",
        'outputs["joint_target"].copy()',
        'outputs["joint_target"]',
    ),
)

FILES = (
    file(9, "provider: granted", "if provider not in granted:", "if False:"),
    file(9, "file: SHA-256 of its card", "if sha256 != card.sha256:", "if False:"),
    file(9, "file: name of its card", "if card.name != path.stem:", "if False:"),
    file(9, "file: whole", "if len(content) < expected:", "if False:"),
    file(9, "file: no external data", "if uses_external_data(tensor):", "if False:"),
    file(9, "file: for this robot", "if expected is not None:", "if False:"),
    file(9, "file: its inputs and outputs", "if _signature(value) != expected[name]:", "if False:"),
    file(9, "file: no input missing", "if name not in found:", "if False:"),
    file(9, "file: no input of another name", "if name not in expected:", "if False:"),
    file(9, "file: tried out", "        _try_out(policy)\n", ""),
    file(9, "threads: at least one", "if threads < 1:", "if False:"),
)

IN_THE_NODE = (
    node(
        6,
        "node: no inference while inactive",
        '        self._active = False\n        self._state = "inactive"\n',
        '        self._state = "inactive"\n',
    ),
    node(
        9,
        "node: asks for the providers of its parameter",
        'self._value("providers"), self._value("threads"))',
        '("CPUExecutionProvider",), self._value("threads"))',
    ),
    node(
        9,
        "node: holds the file against this robot",
        "load_policy(path, workcell_contract(),",
        "load_policy(path, None,",
    ),
    node(
        6,
        "node: images from its activation on only",
        "self._decider.start(self.get_clock().now().nanoseconds)",
        "self._decider.start(0)",
    ),
)

MUTATIONS = (*IMAGES, *JOINT_STATES, *PIXELS, *STEPS, *FILES, *IN_THE_NODE)
