"""The live scene, both camera images and the score in a browser, served by viser and mjviser. No ROS in it.

What it shows is privileged: it is for people, and goes nowhere but to the browser.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_description.workcell import GOAL_POSITION, SUCCESS_TOLERANCE_M
from grasp_sim.world import World

__all__ = ["Viewer", "ViewerConfig", "ViewerUnavailableError"]

_CAMERA_POSITION = (1.7, -1.15, 0.95)
_CAMERA_TARGET = (0.4, -0.05, 0.3)
_GOAL_RGB = (60, 160, 90)
_FIELD_OF_VIEW_RAD = 0.8
_ENLARGEMENT = 3
"""The cameras' pixels become squares of this side in the browser, so that one sees what the policy sees."""
_GAP = 6


class ViewerUnavailableError(RuntimeError):
    """The viewer was asked for and cannot be had."""


@dataclass(frozen=True)
class ViewerConfig:
    """Where and how often."""

    host: str = "127.0.0.1"
    """address to listen on"""
    port: int = 8080
    """port to listen on; if it is taken, the next free one is used"""
    rate_hz: float = 15.0
    """updates a second of wall time, at most"""


class Viewer:
    """Serves a world to browsers; is shown what changes.

    Args:
        world: looked at, never changed.

    Raises:
        ViewerUnavailableError: viser or mjviser is not installed, or no port is free.
    """

    def __init__(
        self,
        world: World,
        config: ViewerConfig = ViewerConfig(),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import viser
            from mjviser import ViserMujocoScene
        except ImportError as error:
            raise ViewerUnavailableError(
                f"The view needs the packages viser and mjviser, and {error.name!r} is not installed: "
                f"pip install viser mjviser, or start without view (VIEW=0)"
            ) from error
        self._world, self._period_s, self._now_s = world, 1.0 / config.rate_hz, now_s
        self._next_s = 0.0
        self._data = mujoco.MjData(world.model)
        try:
            self._server = viser.ViserServer(config.host, config.port, verbose=False)
        except OSError as error:
            raise ViewerUnavailableError(
                f"The view cannot listen on {config.host}:{config.port}: {error}"
            ) from error
        self.url = f"http://{config.host}:{self._server.get_port()}"
        # Beside the scene: a floating panel hides the robot in windows up to 1100 px wide.
        self._server.gui.configure_theme(
            control_layout="fixed", control_width="large", show_logo=False, show_share_button=False
        )
        self._server.initial_camera.position = _CAMERA_POSITION
        self._server.initial_camera.look_at = _CAMERA_TARGET
        self._server.initial_camera.fov = _FIELD_OF_VIEW_RAD
        self._scene = ViserMujocoScene(self._server, world.model, num_envs=1)
        self._scene.camera_tracking_enabled = False
        self._server.scene.add_icosphere(
            "/goal", radius=SUCCESS_TOLERANCE_M, color=_GOAL_RGB, opacity=0.2, position=GOAL_POSITION
        )
        self._words: dict[str, str] = {"state": "", "control": "", "object": "", "time": ""}
        self._score: dict[str, str] = {}
        self._add_panel()
        self.show_object()

    def _add_panel(self) -> None:
        gui, rig = self._server.gui, self._world.rig
        blank = np.zeros((2, rig.height, rig.width, 3), np.uint8)
        with gui.add_folder("Score"):
            self._text = gui.add_html("")
        with gui.add_folder("What the policy sees"):
            self._image = gui.add_image(side_by_side(blank), label="left and right camera", format="png")

    def show_word(self, what: str, word: str) -> None:
        """A word on the panel: what is "state" (of the episode) or "control"."""
        self._words[what] = word

    def show_score(self, values: Mapping[str, str]) -> None:
        """The key-values of /grasp/score."""
        self._score = dict(values)

    def show_object(self) -> None:
        """Another object stands on the table: its shape is drawn anew."""
        spec = self._world.spawn.spec
        self._words["object"] = f"{spec.name} [{spec.family}]"
        self._scene.rebuild_visual_handles()
        self._next_s = 0.0
        self.update()

    def update(self, eyes: np.ndarray | None = None) -> None:
        """Show the world now, with the newest images, uint8 (2, H, W, 3); not oftener than ``rate_hz``."""
        now_s = self._now_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._period_s
        # On data of its own: the scene computes what overlays need, and the world's state is not its to
        # touch.
        self._data.qpos[:] = self._world.data.qpos
        mujoco.mj_kinematics(self._world.model, self._data)
        with self._server.atomic():
            self._scene.update_from_mjdata(self._data)
            if eyes is not None:
                self._image.image = side_by_side(eyes)
            self._words["time"] = f"{1e-9 * self._world.time_ns:.1f} s"
            self._text.content = panel_html(self._words, self._score)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()


def side_by_side(eyes: np.ndarray) -> np.ndarray:
    """Both images, uint8 (2, H, W, 3), as one picture, enlarged."""
    left, right = eyes.repeat(_ENLARGEMENT, axis=1).repeat(_ENLARGEMENT, axis=2)
    return np.concatenate([left, np.full((len(left), _GAP, 3), 255, np.uint8), right], axis=1)


def panel_html(words: Mapping[str, str], score: Mapping[str, str]) -> str:
    """The panel's text: the score large, the rest as a table."""
    rows = {
        "95 % interval": _interval(score),
        "state": words.get("state") or "–",
        "command node": words.get("control") or "–",
        "object": words.get("object") or "–",
        "simulated time": words.get("time") or "–",
        "last object": score.get("last_object") or "–",
        "last result": _last_result(score),
    }
    name_cell = "<td style='padding-right:1em;opacity:0.6;white-space:nowrap;vertical-align:top'>"
    cells = "".join(
        f"<tr>{name_cell}{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return (
        f"<div style='padding:0.2em 1em 0.6em 1em'><div style='font-size:1.6em;font-weight:600'>"
        f"{html.escape(_headline(score))}</div><table style='font-size:0.85em'>{cells}</table></div>"
    )


def _headline(score: Mapping[str, str]) -> str:
    try:
        episodes, successes, rate = int(score["episodes"]), int(score["successes"]), float(score["rate"])
    except (KeyError, ValueError):
        return "no episode yet"
    return f"{successes} of {episodes} grasped – {100 * rate:.0f} %" if episodes else "no episode yet"


def _interval(score: Mapping[str, str]) -> str:
    try:
        low, high = float(score["interval_lower"]), float(score["interval_upper"])
    except (KeyError, ValueError):
        return "–"
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def _last_result(score: Mapping[str, str]) -> str:
    if not score.get("last_object"):
        return "–"
    return "success" if score.get("last_success") == "true" else score.get("last_cause") or "failure"
