"""A network of one convolution, as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def make_network(
    path: Path, *, layout: str = "NCHW", batch: int | str = "n", scale: float = 1.0
) -> Path:
    """A 1 × 1 convolution to five maps, and their means as vectors."""
    weights = scale * np.random.default_rng(0).normal(size=(5, 3, 1, 1)).astype(np.float32)
    shape = [batch, 3, "h", "w"] if layout == "NCHW" else [batch, "h", "w", 3]
    nodes = [
        helper.make_node("Conv", ["y", "w"], ["map"], kernel_shape=[1, 1]),
        helper.make_node("ReduceMean", ["map"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    if layout == "NCHW":
        nodes.insert(0, helper.make_node("Identity", ["x"], ["y"]))
    else:
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]))

    def value(label: str, dims: list[object]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(label, TensorProto.FLOAT, dims)

    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", shape)],
        [value("vector", [batch, 5]), value("map", [batch, 5, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path
