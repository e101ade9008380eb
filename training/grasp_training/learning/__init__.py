"""Learning: PPO teachers and distilled students on top of rsl_rl."""

from grasp_training.learning.config import (
    CheckpointConfig,
    NetworkConfig,
    PpoConfig,
    RunConfig,
    TeacherConfig,
)
from grasp_training.learning.student import StereoStudent, StudentNetworkConfig
from grasp_training.learning.student_config import DistillationConfig, StudentConfig
from grasp_training.learning.student_training import TeacherRecord, read_teacher_record, train_student
from grasp_training.learning.teacher import train_teacher

__all__ = [
    "CheckpointConfig",
    "DistillationConfig",
    "NetworkConfig",
    "PpoConfig",
    "RunConfig",
    "StereoStudent",
    "StudentConfig",
    "StudentNetworkConfig",
    "TeacherConfig",
    "TeacherRecord",
    "read_teacher_record",
    "train_student",
    "train_teacher",
]
