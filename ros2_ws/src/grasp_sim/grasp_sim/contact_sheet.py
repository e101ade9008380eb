"""One picture of many episodes: a row of small pictures for each. No ROS in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from grasp_sim.painting import tile, write

_TILE = (160, 120)
_CAPTION, _GAP = 18, 4
_ROWS_A_COLUMN = 15
_PAPER = (250, 250, 248)
_VERDICT = {True: (60, 150, 80), False: (190, 70, 60)}
_BAR = 6


class ContactSheet:
    """Collects rows and writes them as a PNG.

    Args:
        path: of the PNG; its folder is made.
        most_rows: rows beyond are left out, so that an endless run does not grow an endless picture.
    """

    def __init__(self, path: Path, most_rows: int) -> None:
        self.path, self._most_rows = path, most_rows
        self._rows: list[Image.Image] = []

    @property
    def full(self) -> bool:
        """Whether no further row is taken."""
        return len(self._rows) >= self._most_rows

    def add_row(self, caption: str, success: bool, pictures: Sequence[np.ndarray]) -> None:
        """Take one episode and write the sheet anew.

        Args:
            caption: what it was.
            success: colours the bar in front.
            pictures: uint8 (H, W, 3), in order of time.

        Raises:
            OSError: the picture cannot be written.
        """
        if self.full:
            return
        width = _BAR + len(pictures) * (_TILE[0] + _GAP)
        row = Image.new("RGB", (width, _CAPTION + _TILE[1] + _GAP), _PAPER)
        row.paste(_VERDICT[success], (0, 0, _BAR - 2, row.height - _GAP))
        write(row, (_BAR, 1), caption, 13)
        for index, picture in enumerate(pictures):
            row.paste(tile(picture, _TILE), (_BAR + index * (_TILE[0] + _GAP), _CAPTION))
        self._rows.append(row)
        self._save()

    def _save(self) -> None:
        columns = [
            self._rows[start : start + _ROWS_A_COLUMN] for start in range(0, len(self._rows), _ROWS_A_COLUMN)
        ]
        width = max(row.width for row in self._rows) + 3 * _GAP
        height = max(sum(row.height for row in column) for column in columns)
        sheet = Image.new("RGB", (len(columns) * width, height), _PAPER)
        for place, column in enumerate(columns):
            top = 0
            for row in column:
                sheet.paste(row, (place * width, top))
                top += row.height
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed: whoever looks while the run goes on sees a whole picture.
        beside = self.path.with_name(self.path.name + ".tmp")
        sheet.save(beside, format="PNG")
        os.replace(beside, self.path)
