"""What a depth camera makes of true depth: noise, holes, torn edges, limits, late frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

_CELL = 4
"""Pixels, each way, of the cells in which noise and holes hang together."""


@dataclass(frozen=True)
class DepthSensorConfig:
    """A stereo depth camera's errors at full randomization; the curriculum's level scales them from none.

    The figures are those of small active stereo cameras. Noise grows with the square of the distance: its
    deviation is z² times the error of disparity in pixels over focal length in pixels and baseline, which for
    a RealSense D435 (0.08 pixels, 446 pixels at 848 x 480, 50 mm) is 3.6 mm at 1 m. See Intel's
    "Best-Known-Methods for Tuning Intel RealSense D400 Depth Cameras for Best Performance".
    """

    near_m: float = 0.28
    """m, nearer than this nothing is measured, at any level"""
    far_m: float = 3.0
    """m, farther than this nothing is measured, at any level"""
    step_m: float = 0.001
    """m, depth comes in steps of this, at any level"""
    noise_per_m: float = 0.0036
    """1/m, standard deviation of noise over the square of the distance"""
    scale: float = 0.01
    """half range of an episode's error of scale"""
    offset_m: float = 0.004
    """m, half range of an episode's offset"""
    holes: float = 0.05
    """greatest share of an image, in an episode, that is missing in patches"""
    edges: float = 0.5
    """greatest share of the pixels at an edge, in an episode, that are missing or take their neighbour's
    depth"""
    edge_m: float = 0.03
    """m, an edge is where depth changes by more than this from pixel to pixel"""
    late: float = 0.2
    """greatest probability, in an episode, that a frame is not there in time: the one before is seen again"""


class DepthSensor:
    """Turns true depth into measured depth; every environment has a camera of its own.

    It draws nothing itself: it is given numbers, uniform in [0, 1), so that whoever draws them decides what
    an episode's errors hang on.

    Args:
        num_envs: number of environments.
        config: errors at level 1.
        device: where the images are.
    """

    EPISODE_DRAWS = 5
    """Numbers that an episode needs."""

    def __init__(self, num_envs: int, config: DepthSensorConfig, device: torch.device | str = "cpu"):
        self.config = config
        self._errors = torch.zeros(self.EPISODE_DRAWS, num_envs, device=device)
        self._begun = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._last: torch.Tensor | None = None

    @staticmethod
    def step_draws(height: int, width: int) -> int:
        """Numbers that an image of height x width pixels needs."""
        return height * width + 2 * math.prod(_cells(height, width)) + 3

    def reset(self, env_ids: torch.Tensor, level: float, draws: torch.Tensor) -> None:
        """Give the environments env_ids (k,) another camera, at the start of an episode.

        Args:
            env_ids: (k,).
            level: the curriculum's.
            draws: (k, EPISODE_DRAWS).
        """
        config = self.config
        both_ways = draws.new_tensor([config.scale, config.offset_m])[:, None]
        one_way = draws.new_tensor([config.holes, config.edges, config.late])[:, None]
        self._errors[:2, env_ids] = level * both_ways * (2.0 * draws[:, :2].T - 1.0)
        self._errors[2:, env_ids] = level * one_way * draws[:, 2:].T
        self._begun[env_ids] = True

    def measure(self, depth: torch.Tensor, level: float, draws: torch.Tensor) -> torch.Tensor:
        """What the cameras give; at level 0 the true depth, within the range and to the next step of it.

        Args:
            depth: true depth (n, 1, H, W) in m, 0 where nothing is.
            level: the curriculum's.
            draws: (n, step_draws(H, W)).

        Returns:
            Measured depth (n, 1, H, W) in m, 0 where nothing is measured.
        """
        config, (rows, columns) = self.config, depth.shape[2:]
        cells = math.prod(_cells(rows, columns))
        chance, noise, hole, rest = draws.split([rows * columns, cells, cells, 3], dim=1)
        scale, offset, holes, edges, late = (error[:, None, None, None] for error in self._errors)
        measured = self._tear(depth, edges, chance.view_as(depth))
        normal = math.sqrt(2.0) * torch.erfinv((2.0 * noise - 1.0).clamp(-0.999999, 0.999999))
        deviation = level * config.noise_per_m * measured.square()
        measured = measured * (1.0 + scale) + offset + deviation * _patches(normal, rest, rows, columns)
        measured = torch.round(measured / config.step_m) * config.step_m
        missing = (depth < config.near_m) | (depth > config.far_m) | (measured < config.near_m)
        missing |= (measured > config.far_m) | (_patches(hole, rest, rows, columns) < holes)
        measured = measured.masked_fill(missing, 0.0)
        if self._last is not None:
            again = (rest[:, 2:, None, None] < late) & ~self._begun[:, None, None, None]
            measured = torch.where(again, self._last, measured)
        self._last = measured
        self._begun[:] = False
        return measured

    def _tear(self, depth: torch.Tensor, share: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        """Let some pixels beside an edge take their neighbour's depth or none."""
        neighbour = functional.pad(depth, (1, 0, 0, 0), mode="replicate")[..., :-1]
        at_edge = (depth - neighbour).abs() > self.config.edge_m
        torn = torch.where(chance < 0.5 * share, 0.0, neighbour)
        return torch.where(at_edge & (chance < share), torn, depth)


def _cells(rows: int, columns: int) -> tuple[int, int]:
    """Cells that cover an image wherever their grid begins."""
    return rows // _CELL + 2, columns // _CELL + 2


def _patches(values: torch.Tensor, rest: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Values (n, cells) as images (n, 1, rows, columns); rest (n, 3) says where the grid begins."""
    count = len(values)
    begin = (_CELL * rest[:, :2]).long().clamp(max=_CELL - 1)
    row = (torch.arange(rows, device=rest.device) + begin[:, :1]) // _CELL
    column = (torch.arange(columns, device=rest.device) + begin[:, 1:]) // _CELL
    grid = values.view(count, *_cells(rows, columns))
    return grid[torch.arange(count, device=rest.device)[:, None, None], row[:, :, None], column[:, None, :]][
        :, None
    ]
