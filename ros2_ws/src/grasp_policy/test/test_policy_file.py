"""Writing policy files, and every way in which loading refuses one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

from grasp_policy.policy_file import (
    METADATA_KEY,
    PolicyFileError,
    card_path,
    load_policy,
    read_spec,
    write_card,
    write_policy,
)
from grasp_policy.testing import sample_card, sample_model, sample_robot, sample_spec, write_sample


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    return write_sample(tmp_path)


def refusal(path: Path, **arguments) -> str:
    """The message with which the file is refused; it always names the file or its card."""
    with pytest.raises(PolicyFileError) as caught:
        load_policy(path, sample_robot(), **arguments)
    assert str(path.with_suffix("")) in str(caught.value)
    return str(caught.value)


def rewrite(path: Path, model: onnx.ModelProto) -> None:
    """Put `model` in place of the policy, with a card that fits it."""
    path.write_bytes(model.SerializeToString())
    write_card(path, sample_card(path))


def test_a_policy_as_written_is_loaded(policy_path: Path) -> None:
    policy = load_policy(policy_path, sample_robot())
    assert policy.spec == sample_spec() == read_spec(policy_path)
    assert policy.providers == ("CPUExecutionProvider",)


def test_equal_policies_are_equal_bytes(tmp_path: Path) -> None:
    hashes = {write_policy(tmp_path / f"{n}.onnx", sample_model(sample_spec()), sample_spec()) for n in "ab"}
    assert len(hashes) == 1
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_writing_leaves_the_model_as_it_was_and_no_other_file(tmp_path: Path) -> None:
    model = sample_model(sample_spec())
    before = model.SerializeToString()
    write_policy(tmp_path / "a.onnx", model, sample_spec())
    assert model.SerializeToString() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_writing_leaves_out_what_exporters_leave_behind(tmp_path: Path) -> None:
    model = sample_model(sample_spec())
    model.doc_string = model.graph.node[0].doc_string = model.graph.doc_string = "/home/someone/train.py"
    model.graph.node[1].metadata_props.add(key="stack_trace", value="/home/someone/train.py")
    model.graph.initializer[0].doc_string = "/home/someone/train.py"
    model.metadata_props.add(key="author", value="/home/someone")
    write_policy(tmp_path / "a.onnx", model, sample_spec())
    assert b"someone" not in (tmp_path / "a.onnx").read_bytes()


def test_a_failed_write_leaves_the_old_policy(policy_path: Path) -> None:
    before = policy_path.read_bytes()
    with pytest.raises(PolicyFileError):
        write_policy(policy_path, sample_model(sample_spec()), sample_spec(memory_size=5))
    assert policy_path.read_bytes() == before


def test_writing_refuses_another_ending(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"ending is '\.pt'; expected '\.onnx'"):
        write_policy(tmp_path / "a.pt", sample_model(sample_spec()), sample_spec())


def test_writing_refuses_an_invalid_graph(tmp_path: Path) -> None:
    model = sample_model(sample_spec())
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(PolicyFileError, match="ONNX's checker refuses the model"):
        write_policy(tmp_path / "a.onnx", model, sample_spec())


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    assert "there is no such policy file" in refusal(tmp_path / "absent.onnx")


def test_refuses_an_empty_file(policy_path: Path) -> None:
    card_path(policy_path).unlink()
    policy_path.write_bytes(b"")
    assert "size is 0 bytes; expected an ONNX model (empty file)" in refusal(policy_path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_refuses_a_truncated_file(policy_path: Path, share: float) -> None:
    content = policy_path.read_bytes()
    policy_path.write_bytes(content[: int(share * len(content))])
    message = refusal(policy_path)
    assert f"expected {len(content)} bytes, by its model card (truncated or replaced)" in message


def test_refuses_a_file_cut_anywhere_even_without_its_card(policy_path: Path) -> None:
    card_path(policy_path).unlink()
    content = policy_path.read_bytes()
    for length in range(1, len(content), 37):
        policy_path.write_bytes(content[:length])
        message = refusal(policy_path)
        assert "truncated" in message or "metadata_props" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"PK\x03\x04checkpoint", "a zip archive, such as a torch checkpoint"),
        (b"<!DOCTYPE html>", "a text file"),
        (bytes(range(256)) * 8, "not a readable ONNX model"),
        (b"\x08\x08", "not a readable ONNX model: truncated, damaged or of another kind (no graph)"),
    ],
)
def test_refuses_a_file_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    assert message in refusal(path)


def test_refuses_an_onnx_model_that_is_not_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "classifier.onnx"
    path.write_bytes(sample_model(sample_spec()).SerializeToString())
    assert "an ONNX model, but not a policy of this stack" in refusal(path)


def test_refuses_metadata_that_is_at_fault(policy_path: Path) -> None:
    model = onnx.load(policy_path)
    model.metadata_props[0].value = model.metadata_props[0].value.replace("memory_size", "memory")
    rewrite(policy_path, model)
    assert "memory is present (4)" in refusal(policy_path)


def test_refuses_a_missing_card(policy_path: Path) -> None:
    card_path(policy_path).unlink()
    assert "the model card is missing" in refusal(policy_path)


def test_refuses_a_tampered_file(policy_path: Path) -> None:
    model = onnx.load(policy_path)
    gain = next(tensor for tensor in model.graph.initializer if tensor.name == "image_gain")
    gain.CopyFrom(numpy_helper.from_array(np.array(0.002, np.float32), "image_gain"))
    policy_path.write_bytes(model.SerializeToString(deterministic=True))
    message = refusal(policy_path)
    assert "SHA-256" in message
    assert "the file was changed after its card was written" in message


def test_refuses_the_card_of_another_policy(tmp_path: Path, policy_path: Path) -> None:
    other = tmp_path / "renamed.onnx"
    policy_path.rename(other)
    card_path(policy_path).rename(card_path(other))
    assert "name in the model card is 'sample'; expected 'renamed'" in refusal(other)


def test_refuses_a_wrong_joint_order(tmp_path: Path) -> None:
    names = sample_robot().joint_names
    path = write_sample(tmp_path, sample_spec(joint_names=(names[1], names[0], *names[2:])))
    assert "joint_names[0] is 'joint_1'; expected 'joint_0'" in refusal(path)


def test_refuses_a_wrong_image_size(tmp_path: Path) -> None:
    path = write_sample(tmp_path, sample_spec(image_width=9))
    assert "image_width is 9 px; expected 8 px" in refusal(path)


def test_a_policy_of_any_robot_is_loaded_when_none_is_named(tmp_path: Path) -> None:
    path = write_sample(tmp_path, sample_spec(image_width=9))
    assert load_policy(path, None).spec.image_width == 9


def test_refuses_external_data(policy_path: Path) -> None:
    model = onnx.load(policy_path)
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, policy_path)
    write_card(policy_path, sample_card(policy_path))
    assert "in another file, weights.bin; expected within the policy file" in refusal(policy_path)


def test_finds_external_data_in_the_branches_of_a_node(tmp_path: Path) -> None:
    hidden = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/weights")
    value = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [1])
    branch = helper.make_graph([], "branch", [], [value], [hidden])
    model = sample_model(sample_spec())
    choice = helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch)
    model.graph.node.append(choice)
    with pytest.raises(PolicyFileError, match="tensor 'hidden' is in another file, /etc/weights"):
        write_policy(tmp_path / "a.onnx", model, sample_spec())


def change_input_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def free_the_batch(model: onnx.ModelProto) -> None:
    model.graph.input[2].type.tensor_type.shape.dim[0].dim_param = "batch"


def drop_an_output(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def add_an_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("object_pose", TensorProto.FLOAT, [1, 7]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_input_type, "input 'left' is float [1, 6, 8, 3]; expected uint8 [1, 6, 8, 3]"),
        (free_the_batch, "input 'joint_position' is float [batch, 23]; expected float [1, 23]"),
        (drop_an_output, "output 'object_position' is missing; expected float [1, 3]"),
        (add_an_input, "input 'object_pose' is there; expected only left, right,"),
    ],
)
def test_refuses_other_inputs_and_outputs(policy_path: Path, change, message: str) -> None:
    model = onnx.load(policy_path)
    change(model)
    rewrite(policy_path, model)
    assert message in refusal(policy_path)


def test_refuses_a_graph_that_does_not_give_what_it_declares(policy_path: Path) -> None:
    model = onnx.load(policy_path)
    mean = next(node for node in model.graph.node if node.output[0] == "left_mean")
    mean.input[0] = "joint_position"
    rewrite(policy_path, model)
    assert "ONNX Runtime cannot" in refusal(policy_path)


def test_refuses_a_policy_that_computes_nan_at_once(tmp_path: Path) -> None:
    message = refusal(write_sample(tmp_path, nan_after_steps=0))
    assert "tried on black images with the joints mid-range: the policy's joint_target[0] is nan" in message


def test_refuses_to_run_without_the_provider_asked_for(policy_path: Path) -> None:
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")
    with pytest.warns(UserWarning, match="not in available provider names"):
        message = refusal(policy_path, providers=providers)
    assert "execution provider CUDAExecutionProvider is not granted; the session has CPU" in message
    assert "this build of ONNX Runtime offers" in message


def test_refuses_no_threads(policy_path: Path) -> None:
    assert "threads is 0; expected at least 1" in refusal(policy_path, threads=0)


def test_metadata_is_one_document(policy_path: Path) -> None:
    assert [entry.key for entry in onnx.load(policy_path).metadata_props] == [METADATA_KEY]


def test_the_format_needs_neither_ros_nor_torch() -> None:
    code = (
        "import sys, grasp_policy.policy_file, grasp_policy.testing, grasp_policy.pairing;"
        "print([name for name in ('rclpy', 'torch', 'grasp_training', 'mujoco') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scores_in_the_file_may_differ_from_the_robot(tmp_path: Path) -> None:
    spec = dataclasses.replace(sample_spec(), scores={})
    assert load_policy(write_sample(tmp_path, spec), sample_robot()).spec.scores == {}
