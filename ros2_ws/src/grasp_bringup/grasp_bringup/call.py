"""Says start, stop or home to the task node: `python -m grasp_bringup.call start`.

For machines without ROS 2's command line. It prints the answer. The exit status is 0 where the task node does
so, 1 where it refuses, 2 where nobody has answered or the arguments are wrong.
"""

import argparse
import math
import sys
import time

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

DONE, REFUSED, NOT_SAID, INTERRUPTED = 0, 1, 2, 130
"""Exit status: the task node does it; it refuses; nobody answered, or wrong arguments; Ctrl-C."""
WORDS = ("start", "stop", "home")
"""Each is a service, /grasp/WORD (README of grasp_task)."""
_ENCLAVE = "/operator"
"""a person's, in the SROS2 policies; it changes nothing until security is switched on"""


class NotAnsweredError(Exception):
    """Nobody offers the service, or its answer did not come."""


def caller(context: Context) -> Node:
    """A node that says no more than the enclave of a person's shell may."""
    return Node(
        "grasp_call",
        context=context,
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )


def call(word: str, wait_s: float, context: Context) -> tuple[bool, str]:
    """Call ``/grasp/WORD``.

    Args:
        word: one of `WORDS`
        wait_s: s of wall time to wait for the service, and again for its answer
        context: an initialised one

    Returns:
        whether the task node does it, and what it says

    Raises:
        NotAnsweredError: there is no such service, or it does not answer.
    """
    service = f"/grasp/{word}"
    node, executor = caller(context), SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(Trigger, service)
        if not client.wait_for_service(wait_s):
            raise NotAnsweredError(
                f"nobody offers {service} after {wait_s:g} s; start the graph, and compare ROS_DOMAIN_ID"
            )
        answer = client.call_async(Trigger.Request())
        deadline_s = time.monotonic() + wait_s
        while not answer.done():
            if (left_s := deadline_s - time.monotonic()) <= 0.0:
                raise NotAnsweredError(
                    f"{service} has not answered after {wait_s:g} s; it may have been heard"
                )
            executor.spin_once(timeout_sec=min(left_s, 0.1))  # Ctrl-C is seen in between
        told = answer.result()
        assert told is not None
        return bool(told.success), str(told.message)
    finally:
        executor.shutdown()
        node.destroy_node()


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="call", description="Say a word to the task node: a service's name."
    )
    parser.add_argument("word", choices=WORDS, help="service /grasp/WORD")
    text = "s of wall time to wait for the service, and again for its answer (default: 5)"
    parser.add_argument("--wait-s", type=float, default=5.0, metavar="VALUE", help=text)
    told = parser.parse_args(arguments)
    if not (math.isfinite(told.wait_s) and told.wait_s > 0.0):
        parser.error(f"--wait-s is {told.wait_s:g}; expected more than 0")
    return told


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `call`; the exit status."""
    told, context = parse_arguments(arguments), Context()
    rclpy.init(
        args=["--ros-args", "--enclave", _ENCLAVE],
        context=context,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    try:
        does, message = call(told.word, told.wait_s, context)
    except NotAnsweredError as error:
        print(f"call: {error}", file=sys.stderr)
        return NOT_SAID
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        context.try_shutdown()
    print(f"{told.word}: {message}" if does else f"{told.word} is refused: {message}")
    return DONE if does else REFUSED


if __name__ == "__main__":
    sys.exit(main())
