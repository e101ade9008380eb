"""The stack on the robot: `ros2 launch grasp_bringup real_robot.launch.py robot_config:=lbr_allegro_v5`.

It starts disarmed: nothing moves before /grasp/start. `rehearsal:=true` puts grasp_sim in place of drivers
and cameras. The graph itself is described in grasp_bringup/real.py, which `python -m grasp_bringup.runner
real` reads too.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

from grasp_bringup.graph import arguments_from, check_spelling, described_arguments
from grasp_bringup.launching import launch_graph
from grasp_bringup.real import RealArguments, real_graph


def _launch(context: LaunchContext) -> list:
    check_spelling(context.launch_configurations, RealArguments)
    names = [name for name, _, _ in described_arguments(RealArguments)]
    told = {name: context.launch_configurations[name] for name in names}
    return launch_graph(real_graph(arguments_from(RealArguments, told)))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, then launch the graph they ask for."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in described_arguments(RealArguments)
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_launch)])
