"""A torch module that computes the graph of an ONNX file: any device, size and batch.

It has the operations of int8 networks that were converted from TensorFlow Lite. Their int8 weights
are dequantised once. Activations stay float32: the nodes that round them to int8 are left out,
because they make a picture depend on the rounding of sums. With them, two settings of
onnxruntime's optimiser (all and none) give pictures of one network that differ by 0.02 on average;
the pictures without them are as far from either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from nstbench.core.errors import WeightsError
from nstbench.nn.weights.onnx_graph import Graph, Node

_QUANTISATION = ("QuantizeLinear", "DequantizeLinear")
Operation = Callable[..., torch.Tensor]


class OnnxNetwork(nn.Module):
    """Computes the first output of a graph in float32; convolutions follow autocast.

    Args:
        graph: from :func:`nstbench.nn.weights.onnx_graph.read_graph`. Its inputs have the batch
            first.

    Raises:
        WeightsError: if the graph has an operation that this module lacks.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._inputs, self._output = graph.inputs, graph.outputs[0]
        constants = dict(graph.constants)
        same: dict[str, str] = {}
        self._steps: list[tuple[Operation, tuple[str, ...], str]] = []
        self._places: dict[str, str] = {}
        for node in graph.nodes:
            names = [same.get(name, name) for name in node.inputs]
            if node.op in _QUANTISATION:
                if names[0] in constants:
                    constants[node.outputs[0]] = _dequantised(node, constants)
                else:
                    same[node.outputs[0]] = names[0]
                continue
            tensors, operation = _operation(node, constants)
            for name in names[:tensors]:
                self._add_constant(name, constants)
            self._steps.append((operation, tuple(names[:tensors]), node.outputs[0]))
        self._output = same.get(self._output, self._output)
        last = {name: index for index, (_, names, _) in enumerate(self._steps) for name in names}
        self._ends: list[list[str]] = [[] for _ in self._steps]
        for name in last.keys() - self._places.keys() - {self._output}:
            self._ends[last[name]].append(name)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the output (B, ...) of float32 inputs (B, ...), in the graph's order of axes."""
        values = dict(zip(self._inputs, inputs, strict=True))
        for (operation, names, output), ends in zip(self._steps, self._ends, strict=True):
            values[output] = operation(*(self._value(name, values) for name in names))
            for name in ends:
                del values[name]
        return values[self._output]

    def _value(self, name: str, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        place = self._places.get(name)
        return values[name] if place is None else self.get_buffer(place)

    def _add_constant(self, name: str, constants: Mapping[str, np.ndarray]) -> None:
        if name in constants and name not in self._places:
            self._places[name] = f"constant_{len(self._places)}"
            values = torch.from_numpy(constants[name].astype(np.float32))
            self.register_buffer(self._places[name], values)


def _dequantised(node: Node, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (codes - zero) * scale in float32, with one scale in all or one per channel."""
    codes, scale, zero = (constants[name] for name in node.inputs)
    shape = [1] * codes.ndim
    if scale.ndim:
        shape[node.attributes.get("axis", 1)] = -1
    centred = codes.astype(np.int64) - zero.astype(np.int64).reshape(shape)
    return centred.astype(np.float32) * scale.reshape(shape)


def _operation(node: Node, constants: Mapping[str, np.ndarray]) -> tuple[int, Operation]:
    """Return the number of tensors that a node takes, and a function of them.

    Its other inputs are settings that the graph stores as constants.
    """

    def setting(place: int) -> list[Any]:
        return constants[node.inputs[place]].reshape(-1).tolist()

    if node.op in _SIMPLE:
        return len(node.inputs), _SIMPLE[node.op]
    if node.op == "Conv":
        return len(node.inputs), _Convolution(node.attributes)
    if node.op == "Clip":
        low, high = setting(1)[0], setting(2)[0]
        return 1, lambda x: x.clamp(low, high)
    if node.op == "Transpose":
        order = node.attributes["perm"]
        return 1, lambda x: x.permute(order)
    if node.op == "Reshape":
        shape = setting(1)[1:]
        return 1, lambda x: x.reshape(len(x), *shape)
    if node.op == "Pad" and node.attributes.get("mode") == "reflect":
        before, after = np.split(np.array(setting(1)), 2)
        return 1, _Reflection(before.tolist(), after.tolist())
    if node.op == "Resize" and node.attributes["mode"] == "nearest":
        _, _, down, across = setting(2)
        return 1, lambda x: _enlarged(x, int(down), int(across))
    raise WeightsError(f"ONNX networks of nstbench lack the operation {node.op} of this graph")


class _Convolution:
    """A convolution with zero padding, in the number format of autocast; its result is float32."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._strides, self._groups = attributes["strides"], attributes["group"]
        self._top, self._left, self._bottom, self._right = attributes.get("pads", (0, 0, 0, 0))

    def __call__(self, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        padding = (self._left, self._right, self._top, self._bottom)
        symmetric = self._top == self._bottom and self._left == self._right
        if not symmetric:
            x = F.pad(x, padding)
        own = (self._top, self._left) if symmetric else 0
        return F.conv2d(x, kernel, bias, self._strides, own, groups=self._groups).float()


class _Reflection:
    """Reflect a tensor of four axes at its borders; the number of places is given for each axis."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        self._axes = [axis for axis in range(4) if before[axis] or after[axis]]
        first = self._axes[0]
        self._amounts = (before[first + 1], after[first + 1], before[first], after[first])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._axes == [1, 2]:
            moved = F.pad(x.permute(0, 3, 1, 2), self._amounts, mode="reflect")
            return moved.permute(0, 2, 3, 1)
        return F.pad(x, self._amounts, mode="reflect")


def _enlarged(x: torch.Tensor, down: int, across: int) -> torch.Tensor:
    """Repeat each row and column; equal to nearest neighbours at whole factors."""
    if (down, across) == (1, 1):
        return x
    return F.interpolate(x, scale_factor=(float(down), float(across)), mode="nearest")


def _average(x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


_SIMPLE: Mapping[str, Operation] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Relu": torch.relu,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Sigmoid": torch.sigmoid,
    "GlobalAveragePool": _average,
}
