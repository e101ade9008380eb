"""The same scenes as both simulators draw them, side by side."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

import torch
from matplotlib.figure import Figure

from grasp_description.objects import object_set
from grasp_training.simulators import ResetState, Simulation, Simulator, WarpConfig, make_simulator
from grasp_training.simulators.base import Appearance
from grasp_training.simulators.config import SimulatorName
from grasp_training.tasks import EpisodeSampler, ImageConfig, RandomizationConfig

DEPTH_TOLERANCE_M, COLOUR_TOLERANCE = 0.002, 2
"""m, and steps of 256: what counts as the same"""
_COMPARED: tuple[SimulatorName, SimulatorName] = ("mujoco", "mujoco_warp")
_FAR_M = 2.0
_SIDE_INCHES = 2.0
Rows = TypeVar("Rows", ResetState, Appearance)


@dataclass(frozen=True)
class Agreement:
    """How alike the images of two simulators are."""

    depth: float
    """share of pixels whose depth differs by at most ``DEPTH_TOLERANCE_M``"""
    colour: float
    """share of pixels whose colour differs by at most ``COLOUR_TOLERANCE``"""


def moved(rows: Rows, device: torch.device) -> Rows:
    """The same on another device."""
    return replace(rows, **{item.name: getattr(rows, item.name).to(device) for item in fields(rows)})


def draw_side_by_side(
    path: Path, scenes: int = 4, image: ImageConfig = ImageConfig(160, 120), warp: WarpConfig = WarpConfig()
) -> Agreement:
    """Draw scenes with random objects, poses, colours, light and cameras as each simulator sees them.

    Args:
        path: picture to write.
        scenes: how many, one a row.
        image: size of the images.
        warp: where `mujoco_warp` runs.

    Returns:
        How alike the images are.

    Raises:
        ConfigurationError: the device is not there, or images have no pixels.
    """
    objects = object_set("training")
    simulation = Simulation(objects, rgb=True, depth=True, rig=image.rig(), depth_rig=image.rig())
    simulators = [make_simulator(name, scenes, simulation, warp=warp) for name in _COMPARED]
    sampler = EpisodeSampler(objects, RandomizationConfig(), seed=0)
    start = sampler.reset_state(torch.arange(scenes), 1.0)
    first = simulators[0]
    looks = sampler.appearance(scenes, first.nominal_rgba, first.robot_geoms, first.nominal_light)
    images = [_images(simulator, start, looks) for simulator in simulators]
    _draw(path, images)
    (rgb, depth), (other_rgb, other_depth) = images
    colour = (rgb.int() - other_rgb.int()).abs().amax(-1) <= COLOUR_TOLERANCE
    near = (depth - other_depth).abs() <= DEPTH_TOLERANCE_M
    return Agreement(float(near.float().mean()), float(colour.float().mean()))


def _images(simulator: Simulator, start: ResetState, looks: Appearance) -> tuple[torch.Tensor, torch.Tensor]:
    everything = torch.arange(simulator.num_envs, device=simulator.device)
    simulator.reset(everything, moved(start, simulator.device))
    simulator.randomize_appearance(everything, moved(looks, simulator.device))
    rgb, depth = simulator.render()
    assert rgb is not None
    assert depth is not None
    return rgb.cpu(), depth.cpu()


def _draw(path: Path, images: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    scenes, columns = len(images[0][0]), 2 * len(images) + 1
    figure = Figure(figsize=(_SIDE_INCHES * columns, 0.8 * _SIDE_INCHES * scenes), layout="constrained")
    axes = figure.subplots(scenes, columns, squeeze=False)
    for row in range(scenes):
        panels = [(f"{name}, left", rgb[row, 0]) for name, (rgb, _) in zip(_COMPARED, images, strict=True)]
        panels += [
            (f"{name}, depth", depth[row, 0]) for name, (_, depth) in zip(_COMPARED, images, strict=True)
        ]
        difference = 1000.0 * (images[0][1] - images[1][1])[row, 0].abs()
        for axis, (title, picture) in zip(axes[row], panels, strict=False):
            axis.imshow(picture.numpy(), vmin=0.0, vmax=_FAR_M, cmap="viridis")
            axis.set_title(title if row == 0 else "", fontsize=8)
        shown = axes[row][-1].imshow(
            difference.numpy(), vmin=0.0, vmax=2000.0 * DEPTH_TOLERANCE_M, cmap="magma"
        )
        axes[row][-1].set_title("depth's difference, mm" if row == 0 else "", fontsize=8)
        figure.colorbar(shown, ax=axes[row][-1])
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=120)
