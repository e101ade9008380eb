"""Pictures of a report: what the cameras saw, joints against commands and limits, latencies."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from grasp_bringup.episode_figures import Episode, Hop
from grasp_bringup.recorded_run import LEFT, RIGHT, Course, RecordedRun
from grasp_description.robot import JOINT_NAMES, joint_limits

_COLUMNS = 4
_MEASURED, _COMMANDED, _TARGET = "tab:blue", "tab:orange", "0.6"


def moments(episode: Episode, count: int) -> list[int]:
    """Stamps in ns of ``count`` decisions, evenly over an episode; fewer where it has fewer."""
    places = np.linspace(0, len(episode.decisions) - 1, min(count, len(episode.decisions)))
    return [episode.decisions[round(place)].stamp_ns for place in places]


def camera_picture(
    images: Mapping[tuple[str, int], np.ndarray], stamps_ns: Sequence[int], first_ns: int
) -> str:
    """Left images above right ones, a column a moment: a PNG as base64."""
    figure = Figure(figsize=(2.2 * len(stamps_ns), 3.6), layout="constrained")
    axes = figure.subplots(2, len(stamps_ns), squeeze=False)
    for row, (topic, eye) in enumerate(((LEFT, "left"), (RIGHT, "right"))):
        for column, stamp_ns in enumerate(stamps_ns):
            one: Axes = axes[row][column]
            one.set_xticks([])
            one.set_yticks([])
            one.set_title(f"{eye}, {1e-9 * (stamp_ns - first_ns):.2f} s", fontsize=8)
            image = images.get((topic, stamp_ns))
            if image is None:
                one.text(0.5, 0.5, "not recorded", ha="center", va="center")
            else:
                one.imshow(image)
    return _png(figure)


def joint_picture(run: RecordedRun, episode: Episode) -> str:
    """Every joint: measured, commanded, its target, and the limits as red lines: a PNG as base64."""
    rows = -(-len(JOINT_NAMES) // _COLUMNS)
    figure = Figure(figsize=(14, 2.1 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    limits = joint_limits()
    courses = (
        (run.targets, _TARGET, "target"),
        (run.commanded, _COMMANDED, "command"),
        (run.measured, _MEASURED, "measured"),
    )
    parts = [(course.within(episode.begin_ns, episode.end_ns), *look) for course, *look in courses]
    for index, name in enumerate(JOINT_NAMES):
        one: Axes = axes[index]
        for course, colour, label in parts:
            one.plot(_seconds(course, episode), course.position[:, index], color=colour, lw=1, label=label)
        low, high = one.get_ylim()
        room = 0.05 * max(high - low, 0.02)
        one.set_ylim(low - room, high + room)
        for limit in (limits.lower[index], limits.upper[index]):
            # Only where the joint comes near: all joints on the scale of their limits would show no motion.
            one.axhline(limit, color="tab:red", lw=1)
        one.set_title(f"{name} [{limits.lower[index]:.2f}, {limits.upper[index]:.2f}] rad", fontsize=8)
        one.tick_params(labelsize=7)
    axes[0].legend(fontsize=7)
    for one in axes[len(JOINT_NAMES) :]:
        one.set_axis_off()
    return _png(figure)


def latency_picture(hops: Sequence[Hop]) -> str:
    """Every hop's latencies, decision by decision: a PNG as base64."""
    figure = Figure(figsize=(14, 3.2), layout="constrained")
    one = figure.subplots()
    for hop in hops:
        one.plot(1e3 * hop.seconds, lw=1, label=hop.name)
    one.set_xlabel("decision", fontsize=8)
    one.set_ylabel("ms", fontsize=8)
    one.tick_params(labelsize=7)
    one.legend(fontsize=7)
    return _png(figure)


def _seconds(course: Course, episode: Episode) -> np.ndarray:
    return 1e-9 * (course.stamp_ns - episode.first_ns)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return base64.b64encode(buffer.getvalue()).decode()
