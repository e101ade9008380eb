"""Benchmarks: what takes how long, measured or worked out. Tests never time; these do."""

from grasp_training.benchmarks.schedule import Costs, Span, bound_s, iteration_s, schedule

__all__ = ["Costs", "Span", "bound_s", "iteration_s", "schedule"]
