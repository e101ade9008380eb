"""Starting, stopping and homing without ROS 2's command line, over real ROS."""

import os
import threading
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from grasp_bringup.call import DONE, NOT_SAID, REFUSED, WORDS, caller, main
from grasp_bringup.security import OPERATOR

pytestmark = pytest.mark.ros
DOMAIN = 1 + os.getpid() % 100
PATIENCE = ("--wait-s", "120")


class Task:
    """Stands for the task node: offers services, and notes which were called."""

    def __init__(self, context: Context) -> None:
        self.called: list[str] = []
        self.refusal = ""
        self._node = Node("task", context=context)
        for word in ("start", "stop"):
            self._node.create_service(
                Trigger, f"/grasp/{word}", lambda _, answer, word=word: self._serve(word, answer)
            )
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def _serve(self, word: str, answer: Trigger.Response) -> Trigger.Response:
        self.called.append(word)
        answer.success, answer.message = not self.refusal, self.refusal or "state homing"
        return answer

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()


@pytest.fixture
def task(monkeypatch) -> Iterator[Task]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    made = Task(context)
    yield made
    made.close()
    context.try_shutdown()


@pytest.mark.parametrize("word", ["start", "stop"])
def test_the_service_of_that_name_is_called_once_and_its_answer_is_printed(task, capsys, word):
    assert main([word, *PATIENCE]) == DONE
    assert task.called == [word]
    assert capsys.readouterr().out == f"{word}: state homing\n"


def test_a_refusal_is_told_with_its_reason(task, capsys):
    task.refusal = "already at work (state grasp); /grasp/stop first"
    assert main(["start", *PATIENCE]) == REFUSED
    assert capsys.readouterr().out == f"start is refused: {task.refusal}\n"


def test_a_service_that_nobody_offers_is_named_after_the_time_to_wait(task, capsys):
    assert main(["home", "--wait-s", "0.2"]) == NOT_SAID
    assert "nobody offers /grasp/home after 0.2 s" in capsys.readouterr().err
    assert task.called == []


def test_a_task_that_never_answers_is_not_waited_for_for_ever(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    hanging = Node("task", context=context)
    hanging.create_service(Trigger, "/grasp/stop", lambda _, answer: answer)
    try:
        assert main(["stop", "--wait-s", "3"]) == NOT_SAID
    finally:
        hanging.destroy_node()
        context.try_shutdown()
    assert "/grasp/stop has not answered after 3 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["begin"], ["start", "--wait-s", "0"], ["start", "--wait-s", "nan"]]
)
def test_wrong_arguments_are_refused_before_anybody_is_called(capsys, arguments):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == NOT_SAID
    assert capsys.readouterr().err


def test_it_needs_no_more_than_the_operators_enclave_allows():
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = caller(context)
    try:
        own = node.get_name(), node.get_namespace()
        clients = [node.create_client(Trigger, f"/grasp/{word}") for word in WORDS]
        for asked, allowed in (
            (node.get_publisher_names_and_types_by_node, OPERATOR.publish),
            (node.get_subscriber_names_and_types_by_node, OPERATOR.subscribe),
            (node.get_service_names_and_types_by_node, ()),
            (node.get_client_names_and_types_by_node, OPERATOR.request),
        ):
            assert {name for name, _ in asked(*own)} <= set(allowed)
        assert {client.service_name for client in clients} == set(OPERATOR.request)
    finally:
        node.destroy_node()
        context.try_shutdown()
