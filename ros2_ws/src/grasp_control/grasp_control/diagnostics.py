"""What the command node says about itself once a second."""

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from grasp_control.safety import CommandCore, State

_LEVELS = {State.HOLDING: DiagnosticStatus.WARN, State.FAULTED: DiagnosticStatus.ERROR}


class TickTimes:
    """Jitter and duration of ticks since they were last reported."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_s: float | None = None
        self._jitters: list[float] = []
        self._durations: list[float] = []

    def note(self, now_s: float, duration_s: float) -> None:
        """One tick at a time on the node's clock, and how long it took on the machine's."""
        if self._last_s is not None:
            self._jitters.append(abs(now_s - self._last_s - self._period_s))
        self._durations.append(duration_s)
        self._last_s = now_s

    def report(self) -> dict[str, str]:
        """Figures since the last report, in ms."""
        figures = {"ticks": str(len(self._durations))}
        for name, values in (("tick jitter", self._jitters), ("tick duration", self._durations)):
            mean = sum(values) / len(values) if values else 0.0
            figures[f"{name} mean (ms)"] = f"{1e3 * mean:.3f}"
            figures[f"{name} max (ms)"] = f"{1e3 * max(values, default=0.0):.3f}"
            values.clear()
        return figures


def command_status(
    word: str, core: CommandCore | None, now_s: float, times: TickTimes | None
) -> DiagnosticStatus:
    """The node's status; ``word`` is what /control/state says."""
    status = DiagnosticStatus(name="grasp_control: command", message=word)
    values = {"state": word, "reason": ""}
    if core is not None and times is not None:
        status.level = _LEVELS.get(core.state, DiagnosticStatus.OK)
        values["reason"] = core.reason
        if core.reason:
            status.message = f"{word}: {core.reason}"
        values["age of target (ms)"] = f"{1e3 * core.target_age_s(now_s):.1f}"
        values["obstacle"] = core.obstacle
        values |= {name: str(count) for name, count in sorted(core.figures().items())}
        values |= times.report()
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return status
