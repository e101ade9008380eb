"""Disaggregated simulation: simulators on some ranks, policy, experience and optimization on others."""

from grasp_training.disaggregation.messages import DepthType, Transport, read_depth
from grasp_training.disaggregation.placement import Placement, Role, Route
from grasp_training.disaggregation.remote_env import RemoteVecEnv
from grasp_training.disaggregation.wiring import SingleWiring, Wiring
from grasp_training.disaggregation.worker import Description, Setup, SimulationWorker

__all__ = [
    "DepthType",
    "Description",
    "Placement",
    "RemoteVecEnv",
    "Role",
    "Route",
    "Setup",
    "SimulationWorker",
    "SingleWiring",
    "Transport",
    "Wiring",
    "read_depth",
]
