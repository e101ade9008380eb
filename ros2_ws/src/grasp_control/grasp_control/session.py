"""Whether the arm's controller takes commands now: the session of KUKA's fast robot interface. No ROS in it.

``lbr_fri_idl/msg/LBRState`` carries it as a number (lbr-stack/lbr_fri_idl e422bff); the numbers are those of
``KUKA::FRI::ESessionState``.
"""

SESSION_STATES = ("IDLE", "MONITORING_WAIT", "MONITORING_READY", "COMMANDING_WAIT", "COMMANDING_ACTIVE")
COMMANDING = SESSION_STATES.index("COMMANDING_ACTIVE")


class ArmSession:
    """The session as last heard of.

    Args:
        timeout_s: longest age of what was heard.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._state: int | None = None
        self._heard_s = 0.0

    def hear(self, state: int, now_s: float) -> None:
        """Note a session state, heard at ``now_s`` (s, a clock that only goes forward)."""
        self._state, self._heard_s = state, now_s

    def why_not_commanding(self, now_s: float) -> str:
        """Why the arm takes no command; empty if it does."""
        if self._state is None:
            return "the arm's session state was never heard"
        if self._state != COMMANDING:
            known = 0 <= self._state < len(SESSION_STATES)
            word = SESSION_STATES[self._state] if known else str(self._state)
            return f"the arm's session is {word}; expected COMMANDING_ACTIVE"
        age_s = now_s - self._heard_s
        if not age_s <= self._timeout_s:
            return f"the arm's session state is {age_s:.3f} s old; at most {self._timeout_s} s is allowed"
        return ""
