"""Reader of ONNX files: the operations of a graph and its constant tensors.

It reads what a network needs and nothing else, in the wire format of protocol buffers
(https://protobuf.dev/programming-guides/encoding/), with the field numbers of onnx.proto3. The
package ``onnx`` would bring its own copy of the protocol-buffer library for the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nstbench.core.errors import WeightsError

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# TensorProto.DataType
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8"}
# AttributeProto.AttributeType
_FLOAT, _INT, _STRING, _TENSOR, _INTS = 1, 2, 3, 4, 7


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: type of the operation, for example ``"Conv"``.
        inputs: names of its inputs; constants and outputs of earlier nodes.
        outputs: names of its outputs.
        attributes: name -> number, text, list of integers or array.
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
    try:
        return _graph(_message(memoryview(path.read_bytes()))[7][0])
    except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
        raise WeightsError(
            f"{path}: this is not a complete ONNX file ({error!r}); delete it, then run "
            "`nstbench download`."
        ) from error


def _graph(data: memoryview) -> Graph:
    fields = _message(data)
    constants = dict(_tensor(one) for one in fields.get(5, []))
    names = [_text(_message(one)[1][0]) for one in fields.get(11, [])]
    return Graph(
        nodes=tuple(_node(one) for one in fields.get(1, [])),
        constants=constants,
        inputs=tuple(name for name in names if name not in constants),
        outputs=tuple(_text(_message(one)[1][0]) for one in fields.get(12, [])),
    )


def _node(data: memoryview) -> Node:
    fields = _message(data)
    return Node(
        op=_text(fields[4][0]),
        inputs=tuple(_text(one) for one in fields.get(1, [])),
        outputs=tuple(_text(one) for one in fields.get(2, [])),
        attributes=dict(_attribute(one) for one in fields.get(5, [])),
    )


def _attribute(data: memoryview) -> tuple[str, Any]:
    fields = _message(data)
    name, kind = _text(fields[1][0]), fields[20][0]
    if kind == _FLOAT:
        return name, struct.unpack("<f", fields[2][0])[0]
    if kind == _INT:
        return name, _signed(fields[3][0])
    if kind == _STRING:
        return name, _text(fields[4][0])
    if kind == _TENSOR:
        return name, _tensor(fields[5][0])[1]
    if kind == _INTS:
        return name, _integers(fields.get(8, []))
    raise ValueError(f"attribute {name} has the type {kind}")


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    fields = _message(data)
    dtype = np.dtype(_DTYPES[fields[2][0]])
    shape = _integers(fields.get(1, []))
    if 9 in fields:
        values = np.frombuffer(fields[9][0], dtype)
    elif dtype == np.float32:
        values = np.frombuffer(b"".join(bytes(one) for one in fields.get(4, [])), dtype)
    else:
        values = np.array(_integers(fields.get(7, fields.get(5, []))), dtype)
    return _text(fields.get(8, [b""])[0]), values.reshape(shape)


def _message(data: memoryview) -> dict[int, list[Any]]:
    """Return field number -> values: integers, or the bytes of texts, arrays and messages."""
    fields: dict[int, list[Any]] = {}
    for number, value in _fields(data):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if place + size > len(data):
            raise ValueError("the file ends within a field")
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return an integer of seven bits per byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def _integers(values: list[Any]) -> list[int]:
    """Return integers that are stored one by one or packed."""
    integers = []
    for value in values:
        if isinstance(value, int):
            integers.append(_signed(value))
            continue
        place = 0
        while place < len(value):
            one, place = _varint(value, place)
            integers.append(_signed(one))
    return integers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(data: Any) -> str:
    return bytes(data).decode()
