"""The node graph put together: its description, a runner for machines without ros2 launch, rates."""

from grasp_bringup.graph import Graph, NodeProcess, SimArguments, sim_graph

__all__ = ["Graph", "NodeProcess", "SimArguments", "sim_graph"]
