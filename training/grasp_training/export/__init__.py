"""Export: a student's run to one self-contained policy file, checked by running it, with its model card."""

from grasp_training.export.card import CardFacts, write_model_card
from grasp_training.export.export import ExportConfig, ExportError, ExportReport, export_policy
from grasp_training.export.parity import Parity, check_parity
from grasp_training.export.policy_module import ExportedPolicy
from grasp_training.export.student_run import StudentRun, load_student_run

__all__ = [
    "CardFacts",
    "ExportConfig",
    "ExportError",
    "ExportReport",
    "ExportedPolicy",
    "Parity",
    "StudentRun",
    "check_parity",
    "export_policy",
    "load_student_run",
    "write_model_card",
]
