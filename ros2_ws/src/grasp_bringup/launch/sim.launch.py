"""The stack in simulation: `ros2 launch grasp_bringup sim.launch.py episodes:=5`.

The graph itself is described in grasp_bringup/graph.py, which `python -m grasp_bringup.runner sim` reads too.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

from grasp_bringup.graph import check_spelling, described_arguments, sim_arguments, sim_graph
from grasp_bringup.launching import launch_graph


def _launch(context: LaunchContext) -> list:
    check_spelling(context.launch_configurations)
    names = [name for name, _, _ in described_arguments()]
    arguments = sim_arguments({name: context.launch_configurations[name] for name in names})
    return launch_graph(sim_graph(arguments))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then launch the graph they ask for."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in described_arguments()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_launch)])
