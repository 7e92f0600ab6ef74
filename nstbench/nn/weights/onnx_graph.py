"""Reader of ONNX files: the operations of a graph and its constant tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nstbench.core.errors import WeightsError


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: type of the operation, for example ``"Conv"``.
        inputs: names of its inputs; constants and outputs of earlier nodes.
        outputs: names of its outputs.
        attributes: name -> number, text or list of numbers.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph: its nodes in the order of computation, and its constants by name.

    Attributes:
        nodes: the operations.
        constants: name -> array.
        inputs: names of the inputs, without constants.
        outputs: names of the outputs.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """Return the graph of an ONNX file.

    Raises:
        WeightsError: if the file cannot be read as an ONNX file.
    """
    # the import takes a tenth of a second, and only these networks need it
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.helper import get_attribute_value
    from onnx.numpy_helper import to_array

    try:
        graph = onnx.load(path).graph
    except DecodeError as error:
        raise _damaged(path) from error
    # an empty file is a valid message without any part
    if not graph.node or not graph.output:
        raise _damaged(path)
    constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    return Graph(
        nodes=tuple(
            Node(
                op=node.op_type,
                inputs=tuple(node.input),
                outputs=tuple(node.output),
                attributes={one.name: _value(get_attribute_value(one)) for one in node.attribute},
            )
            for node in graph.node
        ),
        constants=constants,
        inputs=tuple(one.name for one in graph.input if one.name not in constants),
        outputs=tuple(one.name for one in graph.output),
    )


def _value(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _damaged(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: this is not a complete ONNX file; delete it, then run `nstbench download`."
    )
