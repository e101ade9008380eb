"""The settings of Fast DDS that the graph's nodes get."""

import os
import subprocess
import sys

import pytest

from grasp_bringup.graph import PROFILES, SimArguments, sim_graph
from grasp_bringup.real import RealArguments, real_graph

pytestmark = pytest.mark.ros
DOMAIN = 1 + (os.getpid() + 50) % 100
LOST = 2000
"""messages of 1 kB, more than a socket's buffer holds"""
TRIES = 3
"""a busy machine may be late by itself"""
READER = """
import sys
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
rclpy.init()
node = rclpy.create_node("reader")
node.create_subscription(String, "/flood", lambda _: None, QOS)
heard = []
node.create_subscription(String, "/word", heard.append, 1)
print("ready", flush=True)
while not heard:
    rclpy.spin_once(node)
print("heard", flush=True)
"""
WRITER = """
import os, signal, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
reader, lost = int(sys.argv[1]), int(sys.argv[2])
rclpy.init()
node = rclpy.create_node("writer")
flood = node.create_publisher(String, "/flood", QOS)
word = node.create_publisher(String, "/word", 1)
while not (flood.get_subscription_count() and word.get_subscription_count()):
    time.sleep(0.05)
time.sleep(0.5)
os.kill(reader, signal.SIGSTOP)
for _ in range(lost):
    flood.publish(String(data="x" * 1000))
word.publish(String(data="the only one"))
os.kill(reader, signal.SIGCONT)
print("sent", flush=True)
sys.stdin.read()
"""


def test_every_graph_has_them_unless_the_environment_has_its_own():
    files = {
        graph.environment[PROFILES] for graph in (sim_graph(SimArguments()), real_graph(RealArguments()))
    }
    assert len(files) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process, and fills its socket")
def test_a_lost_message_that_none_follows_is_sent_again_soon():
    # Fast DDS's own settings take 2 to 3 s.
    assert any(arrives_within(1.5) for _ in range(TRIES))


def arrives_within(limit_s: float) -> bool:
    """Whether a reader that lost the only message of a topic has it so soon."""
    environment = os.environ | {
        "ROS_DOMAIN_ID": str(DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
        PROFILES: sim_graph(SimArguments()).environment[PROFILES],
    }

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, "-c", program, *arguments], subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

    with start(READER) as reader, start(WRITER, str(reader.pid), str(LOST)) as writer:
        assert reader.stdout is not None
        assert writer.stdout is not None
        try:
            assert reader.stdout.readline() == "ready\n"
            assert writer.stdout.readline() == "sent\n"
            return reader.wait(timeout=limit_s) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            reader.kill()
            writer.kill()
