"""Studies: comparisons of trainings over several seeds, each as one command that can be resumed."""

from grasp_training.studies import batch_report, observability_report
from grasp_training.studies.batch import BatchConfig, BatchStudy, batch_preset, load_batch
from grasp_training.studies.folder import StudyFolder
from grasp_training.studies.observability import (
    ObservabilityConfig,
    ObservabilityStudy,
    load_observability,
    observability_preset,
)

__all__ = [
    "BatchConfig",
    "BatchStudy",
    "ObservabilityConfig",
    "ObservabilityStudy",
    "StudyFolder",
    "batch_preset",
    "batch_report",
    "load_batch",
    "load_observability",
    "observability_preset",
    "observability_report",
]
