"""A page of a recording: `ros2 run grasp_bringup report FILE`, or `python -m grasp_bringup.report FILE`."""

import argparse
import html
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from grasp_bringup.episode_figures import (
    Episode,
    Hop,
    episodes_of,
    events_of,
    hops,
    joint_uses,
    limit_counts,
)
from grasp_bringup.recorded_run import RecordedRun, read_images, read_run
from grasp_bringup.report_pictures import camera_picture, joint_picture, latency_picture, moments
from grasp_policy.recordings import Recording, RecordingError

OK, REFUSED = 0, 2
"""Exit status: the page is written; the recording is refused, or has no such episode."""
_STYLE = """
body { font: 14px sans-serif; margin: 2em; max-width: 1200px }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border: 1px solid #ccc; padding: 2px 8px; text-align: right }
td:first-child, th:first-child { text-align: left }
tr.met td { background: #fdd }
img { max-width: 100% }
"""


def write_report(recording: Recording, page: Path, number: int | None = None, pictures: int = 6) -> int:
    """Write the page, whole or not at all.

    Args:
        recording: what the recorder, or rosbag2, made
        page: HTML file, replaced if it exists
        number: of the episode, from 1; None for all
        pictures: moments of an episode that are shown

    Returns:
        how many episodes it shows

    Raises:
        RecordingError: nothing was decided, or there is no such episode.
    """
    run = read_run(recording)
    episodes = episodes_of(run)
    if not episodes:
        raise RecordingError(f"{recording.files[0]} has no message on /policy/decision: nothing was decided")
    shown = [one for one in episodes if number in (None, one.number)]
    if not shown:
        raise RecordingError(f"{recording.files[0]} has no episode {number}; it has 1 to {len(episodes)}")
    parts = [_heading(recording, run), _overview(run, episodes)]
    parts += [_episode(recording, run, episode, pictures) for episode in shown]
    title = html.escape(recording.files[0].name)
    text = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    page.parent.mkdir(parents=True, exist_ok=True)
    beside = page.with_name(page.name + ".tmp")
    beside.write_text(text + "\n".join(parts) + "\n", encoding="utf-8")
    os.replace(beside, page)
    return len(shown)


def _heading(recording: Recording, run: RecordedRun) -> str:
    first = run.decisions[0]
    facts = [
        ("policy", f"{Path(first.policy).name}, SHA-256 {first.sha256}"),
        ("computed by", f"{first.runtime} on {first.providers}, {first.threads} threads"),
        ("files", ", ".join(file.name for file in recording.files)),
        ("damage", "; ".join(recording.damage) or "none"),
    ]
    counted = [(topic, str(count)) for topic, count in sorted(run.counts.items())]
    return (
        f"<h1>{html.escape(recording.files[0].name)}</h1>"
        + _table(("", ""), facts)
        + f"<details><summary>messages</summary>{_table(('topic', 'messages'), counted)}</details>"
    )


def _overview(run: RecordedRun, episodes: Sequence[Episode]) -> str:
    rows = []
    for episode in episodes:
        words = [event.text for _, event in events_of(run, episode) if event.source == "/grasp/state"]
        uses = joint_uses(run, episode)
        rows.append(
            (
                str(episode.number),
                str(len(episode.decisions)),
                f"{1e-9 * (episode.last_ns - episode.first_ns):.2f}",
                str(sum(use.at_limit for use in uses)),
                str(sum(use.at_speed for use in uses)),
                " → ".join(words),
            )
        )
    columns = ("episode", "decisions", "s", "at position limits", "at speed limits", "words of /grasp/state")
    return "<h2>Episodes</h2>" + _table(columns, rows)


def _episode(recording: Recording, run: RecordedRun, episode: Episode, pictures: int) -> str:
    stamps = moments(episode, pictures)
    images = read_images(recording, frozenset(stamps))
    found = hops(run, episode.decisions)
    events = [(f"{seconds:.3f}", event.source, event.text) for seconds, event in events_of(run, episode)]
    return "\n".join(
        (
            f"<h2>Episode {episode.number}</h2>",
            _image(camera_picture(images, stamps, episode.first_ns), "what the cameras saw"),
            "<h3>Joints, rad over s since the first image</h3>",
            _image(joint_picture(run, episode), "joints against commands and limits"),
            "<h3>Limits</h3>",
            _limits(run, episode),
            "<h3>Latencies</h3>",
            _latencies(found),
            _image(latency_picture(found), "latencies of decisions"),
            "<h3>Events</h3>",
            _table(("s", "source", "what was said"), events),
        )
    )


def _limits(run: RecordedRun, episode: Episode) -> str:
    counted = [(name, str(count)) for name, count in limit_counts(run, episode).items()]
    rows, met = [], []
    for use in joint_uses(run, episode):
        met.append(bool(use.at_limit or use.at_speed))
        rows.append(
            (
                use.joint,
                f"{use.lower_rad:.3f} to {use.upper_rad:.3f}",
                f"{use.margin_rad:.3f}",
                str(use.at_limit),
                f"{100 * use.speed_share:.0f} %",
                str(use.at_speed),
                f"{use.apart_rad:.3f}",
            )
        )
    columns = (
        *("joint", "commands, rad", "nearest to a limit, rad", "commands at it"),
        *("largest speed of its limit", "commands at it", "furthest from measured, rad"),
    )
    told = _table(("counted by the nodes in this episode (to a second)", ""), counted)
    return _table(columns, rows, met) + (told if counted else "<p>The nodes counted no limit met.</p>")


def _latencies(found: Sequence[Hop]) -> str:
    rows = [
        (hop.name, str(len(hop.seconds)), *(f"{one:.2f}" for one in hop.percentiles_ms())) for hop in found
    ]
    return _table(("hop", "decisions", "median, ms", "p99, ms", "largest, ms"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], met: Sequence[bool] = ()) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        body.append(f"<tr class=met>{cells}</tr>" if index < len(met) and met[index] else f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _image(png: str, text: str) -> str:
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{png}">'


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `report`."""
    parser = argparse.ArgumentParser(prog="report", description="Write a page about a recording.")
    parser.add_argument("recording", type=Path, help="MCAP file, or folder that rosbag2 made")
    parser.add_argument("--output", type=Path, help="HTML file (default: beside the recording)")
    parser.add_argument("--episode", type=int, help="number of the episode, from 1 (default: all)")
    parser.add_argument("--pictures", type=int, default=6, help="moments that are shown (default: 6)")
    given = parser.parse_args(arguments)
    page = given.output or given.recording.with_suffix(".html")
    try:
        shown = write_report(Recording(given.recording), page, given.episode, given.pictures)
    except (RecordingError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    print(f"{page}: {shown} episode{'s' if shown != 1 else ''}")
    sys.exit(OK)


if __name__ == "__main__":
    main()
