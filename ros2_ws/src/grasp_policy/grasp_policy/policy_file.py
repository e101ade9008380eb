"""The policy file: one self-contained ONNX file that is the whole policy, and the card beside it.

This module is the face of the format for training (which writes it) and for the node (which reads it):
no ROS in it, no torch. The graph's inputs and outputs are in `graph_signature`; the rest of the contract is
`PolicySpec`, one JSON document under the key `METADATA_KEY` of the model's ``metadata_props``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data

from grasp_policy.errors import PolicyFileError, PolicyInputError, PolicyOutputError
from grasp_policy.files import write_atomically
from grasp_policy.model_card import (
    CARD_VERSION,
    ModelCard,
    card_path,
    companion_folder,
    read_card,
    write_card,
)
from grasp_policy.policy import Policy, PolicyOutput
from grasp_policy.policy_spec import (
    FORMAT_VERSION,
    CameraPose,
    CameraTolerance,
    PolicySpec,
    RobotContract,
    RunIdentity,
    check_contract,
)

__all__ = [
    "CARD_VERSION",
    "FORMAT_VERSION",
    "METADATA_KEY",
    "CameraPose",
    "CameraTolerance",
    "ModelCard",
    "Policy",
    "PolicyFileError",
    "PolicyInputError",
    "PolicyOutput",
    "PolicyOutputError",
    "PolicySpec",
    "RobotContract",
    "RunIdentity",
    "card_path",
    "check_contract",
    "companion_folder",
    "graph_signature",
    "load_policy",
    "read_card",
    "read_spec",
    "write_card",
    "write_policy",
]

METADATA_KEY = "grasp_policy"
"""The key of ``metadata_props`` that marks an ONNX file as a policy of this stack."""

TensorSignature = tuple[int, tuple[int, ...]]

_KNOWN_CONTENT = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself (git lfs pull)"),
    (b"PK\x03\x04", "a zip archive, such as a torch checkpoint: export it first (grasp export)"),
    (b"<", "a text file, such as a page saved in place of a download"),
)


def graph_signature(spec: PolicySpec) -> tuple[dict[str, TensorSignature], dict[str, TensorSignature]]:
    """Inputs and outputs of the graph: name -> (ONNX element type, shape).

    The batch is one; images are uint8 [1, H, W, 3], everything else is float32.
    """
    real = onnx.TensorProto.FLOAT
    joints = (real, (1, spec.joint_count))
    image = (onnx.TensorProto.UINT8, (1, spec.image_height, spec.image_width, 3))
    memory = (real, (1, spec.memory_size))
    inputs = {
        "left": image,
        "right": image,
        "joint_position": joints,
        "joint_velocity": joints,
        "previous_target": joints,
        "memory_in": memory,
    }
    return inputs, {"joint_target": joints, "object_position": (real, (1, 3)), "memory_out": memory}


def write_policy(path: Path | str, onnx_model: onnx.ModelProto, spec: PolicySpec) -> str:
    """Write a policy file atomically and return its SHA-256 (hexadecimal).

    The specification becomes the only entry of the metadata. What exporters leave behind for debugging
    (documentation strings, stack traces with the paths of the machine) is left out; equal models and
    specifications give equal bytes.

    Args:
        path: ``NAME.onnx``; its folder is made if need be.
        onnx_model: the graph of `graph_signature`, with all weights inside; it is not changed.
        spec: the contract.

    Raises:
        PolicyFileError: another file name ending, external data, an input or output that differs from the
            specification's, or a model that ONNX's own checker refuses.
        OSError: the folder cannot be written.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise PolicyFileError.mismatch("the file name's ending", repr(path.suffix), "'.onnx'").within(path)
    try:
        model = onnx.ModelProto()
        model.CopyFrom(onnx_model)
        _strip_debugging_text(model)
        del model.metadata_props[:]
        model.metadata_props.add(key=METADATA_KEY, value=spec.to_json())
        _check_graph(model, spec)
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise PolicyFileError(f"ONNX's checker refuses the model: {error}", source=path) from error
    except PolicyFileError as error:
        raise error.within(path) from None
    content = model.SerializeToString(deterministic=True)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_spec(path: Path | str) -> PolicySpec:
    """The specification inside a policy file, without its card and without running it.

    Raises:
        PolicyFileError: the file is missing, truncated, not ONNX, not a policy, or its metadata is at fault.
    """
    path = Path(path)
    try:
        return _parse(path, _read(path))[1]
    except PolicyFileError as error:
        raise error.within(path) from None


def load_policy(
    path: Path | str,
    expected: RobotContract | None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    threads: int = 1,
) -> Policy:
    """Load a policy after every check of the format, and run it once.

    Args:
        path: ``NAME.onnx``, with its card ``NAME.md`` beside it.
        expected: the robot at hand, or None to load a policy of any robot (to look at it, not to move).
        providers: ONNX Runtime's execution providers to use; each of them must be granted.
        threads: threads within an operator, at least 1.

    Raises:
        PolicyFileError: see the table of refusals in this package's README.
    """
    path = Path(path)
    try:
        content = _read(path)
        model, spec = _parse(path, content)
        sha256 = _check_card(path, content)
        _check_graph(model, spec)
        if expected is not None:
            check_contract(spec, expected)
        del model
        policy = Policy(_open_session(content, providers, threads), spec, sha256)
        _try_out(policy)
        return policy
    except PolicyFileError as error:
        raise error.within(path) from None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PolicyFileError("there is no such policy file", field="policy file") from None
    except OSError as error:
        raise PolicyFileError(f"the policy file cannot be read: {error}", field="policy file") from error
    if not content:
        raise PolicyFileError.mismatch("the file's size", "0 bytes", "an ONNX model", note="empty file")
    return content


def _parse(path: Path, content: bytes) -> tuple[onnx.ModelProto, PolicySpec]:
    _refuse_shorter_than_card(path, content)
    for start, what in _KNOWN_CONTENT:
        if content.startswith(start):
            raise PolicyFileError(f"the file is not an ONNX model; it is {what}", field="policy file")
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        message = f"the file is not a readable ONNX model: truncated, damaged or of another kind ({error})"
        raise PolicyFileError(message, field="policy file", expected="an ONNX model") from error
    # Protobuf takes arbitrary bytes for unknown fields now and then: a model has a graph and a version.
    if model.ir_version < 1 or not model.graph.node:
        message = "the file is not a readable ONNX model: truncated, damaged or of another kind (no graph)"
        raise PolicyFileError(message, field="policy file", expected="an ONNX model")
    documents = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if len(documents) != 1:
        found = f"{len(documents)} entries {METADATA_KEY!r} among {len(model.metadata_props)}"
        note = "an ONNX model, but not a policy of this stack: grasp export writes those"
        raise PolicyFileError.mismatch("metadata_props", found, "exactly one", note=note)
    return model, PolicySpec.from_json(documents[0])


def _refuse_shorter_than_card(path: Path, content: bytes) -> None:
    # Cut at the end of a field, a file still parses; cut elsewhere, the parser's word says little.
    if not card_path(path).exists():
        return
    expected = read_card(card_path(path)).file_bytes
    if len(content) < expected:
        found, wanted = f"{len(content)} bytes", f"{expected} bytes, by its model card"
        raise PolicyFileError.mismatch("the file's size", found, wanted, note="truncated or replaced")


def _check_card(path: Path, content: bytes) -> str:
    card = read_card(card_path(path))
    if card.name != path.stem:
        raise PolicyFileError.mismatch("name in the model card", repr(card.name), repr(path.stem))
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sha256:
        note = "from the model card: the file was changed after its card was written"
        raise PolicyFileError.mismatch("the file's SHA-256", sha256, card.sha256, note=note)
    return sha256


def _check_graph(model: onnx.ModelProto, spec: PolicySpec) -> None:
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            found = f"in another file, {', '.join(places) or 'unnamed'}"
            note = "a policy file holds no external data"
            raise PolicyFileError.mismatch(
                f"tensor {tensor.name!r}", found, "within the policy file", note=note
            )
    inputs, outputs = graph_signature(spec)
    constants = {tensor.name for tensor in model.graph.initializer}
    _check_values("input", [v for v in model.graph.input if v.name not in constants], inputs)
    _check_values("output", list(model.graph.output), outputs)


def _check_values(
    role: str, values: Sequence[onnx.ValueInfoProto], expected: dict[str, TensorSignature]
) -> None:
    found = {value.name: value for value in values}
    for name, wanted in expected.items():
        if name not in found:
            raise PolicyFileError.mismatch(f"{role} {name!r}", "missing", _signature_text(wanted))
    for name, value in found.items():
        if name not in expected:
            raise PolicyFileError.mismatch(f"{role} {name!r}", "there", f"only {', '.join(expected)}")
        if _signature(value) != expected[name]:
            text = _signature_text(_signature(value))
            raise PolicyFileError.mismatch(f"{role} {name!r}", text, _signature_text(expected[name]))


def _signature(value: onnx.ValueInfoProto) -> tuple[int, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    dimensions = tuple(
        item.dim_value if item.HasField("dim_value") else (item.dim_param or "?") for item in tensor.shape.dim
    )
    return tensor.elem_type, dimensions


def _signature_text(signature: tuple[int, Sequence[int | str]]) -> str:
    kind, shape = signature
    return f"{onnx.TensorProto.DataType.Name(kind).lower()} [{', '.join(map(str, shape))}]"


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, the functions, and the graphs within their nodes' attributes."""
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in _graphs(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                sparse_tensors = list(attribute.sparse_tensors)
                if attribute.HasField("sparse_tensor"):
                    sparse_tensors.append(attribute.sparse_tensor)
                for sparse in sparse_tensors:
                    yield from (sparse.values, sparse.indices)


def _strip_debugging_text(model: onnx.ModelProto) -> None:
    model.ClearField("doc_string")
    for graph in _graphs(model):
        graph.ClearField("doc_string")
        del graph.metadata_props[:]
        values = [*graph.value_info]
        if isinstance(graph, onnx.GraphProto):
            values += [*graph.input, *graph.output]
        for item in (*graph.node, *values):
            item.ClearField("doc_string")
            del item.metadata_props[:]
    for tensor in _tensors(model):
        tensor.ClearField("doc_string")
        del tensor.metadata_props[:]


def _open_session(content: bytes, providers: Sequence[str], threads: int) -> onnxruntime.InferenceSession:
    if threads < 1:
        raise PolicyFileError.mismatch("threads", threads, "at least 1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin between two frames take the processor from the command node.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        # With its fallback on, a session that fails on the GPU goes on, silently and slowly, on the CPU.
        session = onnxruntime.InferenceSession(content, options, providers=list(providers), enable_fallback=0)
    except Exception as error:
        # ONNX Runtime raises a dozen unrelated classes, and for a provider of another build a ValueError.
        raise PolicyFileError(f"ONNX Runtime cannot open the model: {error}", field="policy file") from error
    granted = session.get_providers()
    for provider in providers:
        if provider not in granted:
            note = f"this build of ONNX Runtime offers {', '.join(onnxruntime.get_available_providers())}"
            found = f"not granted; the session has {', '.join(granted)}"
            raise PolicyFileError.mismatch(f"execution provider {provider}", found, "in use", note=note)
    return session


def _try_out(policy: Policy) -> None:
    """One step on black images: a graph that cannot run is refused now, and memory is allocated now."""
    spec = policy.spec
    image = np.zeros((spec.image_height, spec.image_width, 3), np.uint8)
    middle = (np.asarray(spec.joint_lower) + np.asarray(spec.joint_upper)) / 2.0
    try:
        policy.step(image, image, middle, np.zeros(spec.joint_count))
    except PolicyOutputError as error:
        raise PolicyFileError(f"tried on black images with the joints mid-range: {error}") from error
    policy.reset()
