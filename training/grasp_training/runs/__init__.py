"""Runs: folders with a configuration, checkpoints, figures and curves."""

from grasp_training.runs.checkpoints import Checkpoint, CheckpointError, CheckpointStore, load_checkpoint
from grasp_training.runs.comparison import draw_comparison
from grasp_training.runs.configuration import (
    ConfigurationError,
    differences,
    from_mapping,
    load_yaml,
    save_yaml,
    to_mapping,
)
from grasp_training.runs.folder import RunError, RunFolder, RunKind, run_folder
from grasp_training.runs.metrics import MetricsLog, draw_curves, find_success

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointStore",
    "ConfigurationError",
    "MetricsLog",
    "RunError",
    "RunFolder",
    "RunKind",
    "differences",
    "draw_comparison",
    "draw_curves",
    "find_success",
    "from_mapping",
    "load_checkpoint",
    "load_yaml",
    "run_folder",
    "save_yaml",
    "to_mapping",
]
