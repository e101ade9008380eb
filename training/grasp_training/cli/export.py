"""`grasp export`: a student's run to a policy file with its model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.export import ExportConfig, export_policy
from grasp_training.runs import run_folder
from grasp_training.tasks import ActionDecoder


@dataclass(frozen=True)
class Export:
    """Write a student to one self-contained policy file (ONNX), compared with torch, with its model card."""

    run: tyro.conf.Positional[str]
    """Name of the student's run."""
    output: Path
    """File to write, such as models/NAME.onnx; card and curves go beside it."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    iteration: int | None = None
    """Which checkpoint to export; none means the last."""
    scores: tuple[Path, ...] = ()
    """Reports of `grasp evaluate --json` about this very file or its teacher, whose scores go into the
    card."""
    export: Annotated[ExportConfig, tyro.conf.arg(name="")] = field(default_factory=ExportConfig)
    """Export."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp export …` and return the exit status."""
    command = tyro.cli(Export, prog="grasp export", args=list(arguments), config=PARSER_SETTINGS)
    folder = run_folder(command.runs_folder, command.run)
    decoder = ActionDecoder()
    report = export_policy(folder, command.output, decoder, command.export, command.iteration, command.scores)
    parity = report.parity
    print(f"Policy file  {report.policy}  SHA-256 {report.sha256}")
    print(
        f"Parity with torch over {parity.steps} recurrent steps, greatest difference: joint target "
        f"{parity.joint_target_rad:.1e} rad, object position {parity.object_position_m:.1e} m, "
        f"memory {parity.memory:.1e}"
    )
    print(f"Model card   {report.card}")
    return 0
