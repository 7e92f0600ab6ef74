"""ONNX networks in torch, compared with onnxruntime on a graph without activation rounding."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from nstbench.core.errors import WeightsError
from nstbench.nn.generators.magenta import PREDICT, TRANSFORM, MagentaNetworks
from nstbench.nn.layers.onnx_network import OnnxNetwork
from nstbench.nn.weights import cache
from nstbench.nn.weights.onnx_graph import _fields, read_graph

CLOSE = 1e-4
SIDES = [(384, 384), (128, 256), (97, 131), (64, 200)]


@pytest.fixture(autouse=True)
def _weights():
    for weight in (PREDICT, TRANSFORM):
        if not (state := cache.availability(weight)).ok:
            pytest.skip(f"{state.reason}. {state.remedy}")


def rounding_removed(path: Path) -> bytes:
    """Return an ONNX file whose activations stay float32 and whose inputs have any shape.

    The stored bytes of weights, scales and all other nodes go to onnxruntime as they are, so this
    tests the reader, too.
    """
    graph = read_graph(path)
    names = dict[str, str]()
    for node in graph.nodes:
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            source = names.get(node.inputs[0], node.inputs[0])
            if source not in graph.constants:
                names[node.outputs[0]] = source
    parts = []
    nodes = iter(graph.nodes)
    for number, value in _fields(_only(path.read_bytes(), 7)):
        if number == 1:
            if next(nodes).outputs[0] not in names:
                parts.append(_field(1, _renamed(value, names)))
        elif number == 11:
            # type: tensor of float32, without a shape
            name = bytes(_only(value, 1))
            kind = _field(1, b"\x08\x01")
            if name.decode() in graph.inputs:
                parts.append(_field(11, _field(1, name) + _field(2, kind)))
        elif number == 12:
            name = names.get(graph.outputs[0], graph.outputs[0]).encode()
            parts.append(_field(12, _field(1, name) + _field(2, _field(1, b"\x08\x01"))))
        elif number != 13:  # shapes of activations
            parts.append(_field(number, bytes(value)))
    whole = b""
    for number, value in _fields(memoryview(path.read_bytes())):
        if number == 7:
            whole += _field(7, b"".join(parts))
        else:
            is_number = isinstance(value, int)
            whole += _number(number, value) if is_number else _field(number, bytes(value))
    return whole


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    made = rounding_removed(path)
    return onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])


def theirs(network: onnxruntime.InferenceSession, *inputs: torch.Tensor) -> torch.Tensor:
    names = [entry.name for entry in network.get_inputs()]
    arrays = [given.contiguous().numpy() for given in inputs]
    return torch.from_numpy(network.run(None, dict(zip(names, arrays, strict=True)))[0])


def pictures(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return coarse patterns with some noise, (B, H, W, 3) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    noise = torch.rand(batch, 3, height, width, generator=generator)
    return (0.8 * smooth + 0.2 * noise).permute(0, 2, 3, 1)


@pytest.mark.parametrize("sides", SIDES)
@torch.inference_mode()
def test_the_transformer_equals_onnxruntime_at_any_size(sides):
    path = cache.path(TRANSFORM)
    network, reference = OnnxNetwork(read_graph(path)), session(path)
    contents = pictures(2, *sides)
    embeddings = torch.randn(2, 1, 1, 100, generator=torch.Generator().manual_seed(1))
    made = network(contents, embeddings)
    for place in range(2):
        one = theirs(reference, contents[place, None], embeddings[place, None])
        assert one.std() > 0.05
        assert (made[place, None] - one).abs().max() < CLOSE


@pytest.mark.parametrize("sides", [(256, 256), (96, 192), (101, 75)])
@torch.inference_mode()
def test_the_style_network_equals_onnxruntime_at_any_size(sides):
    path = cache.path(PREDICT)
    network, reference = OnnxNetwork(read_graph(path)), session(path)
    styles = pictures(2, *sides, seed=2)
    made = network(styles)
    assert made.shape == (2, 1, 1, 100)
    for place in range(2):
        one = theirs(reference, styles[place, None])
        assert (made[place, None] - one).abs().max() < CLOSE * one.abs().max()


@torch.inference_mode()
def test_pictures_resemble_those_of_the_published_int8_network():
    content, style = pictures(1, 384, 384), pictures(1, 256, 256, seed=2)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    published = []
    for weight, inputs in ((PREDICT, [style]), (TRANSFORM, [content])):
        path = cache.path(weight)
        network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        published.append(theirs(network, *inputs, *published))
    embedding = OnnxNetwork(read_graph(cache.path(PREDICT)))(style)
    made = OnnxNetwork(read_graph(cache.path(TRANSFORM)))(content, embedding)
    # two optimisation levels of onnxruntime differ by 0.02 on photographs
    assert (made - published[1]).abs().mean() < 0.03
    correlation = np.corrcoef(made.flatten(), published[1].flatten())[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("shape", [(40, 80), (81, 47), (500, 33)])
@torch.inference_mode()
def test_a_batch_gives_the_pictures_of_its_pairs(shape):
    networks = MagentaNetworks(lambda network: network.eval())
    contents = pictures(3, *shape).permute(0, 3, 1, 2)
    styles = pictures(3, 60, 90, seed=3).permute(0, 3, 1, 2)
    embeddings = networks.embed(styles)
    together = networks.stylize(contents, embeddings)
    assert together.shape == contents.shape
    for place in range(3):
        one = contents[place, None]
        embedding = networks.embed(styles[place, None])
        assert (together[place, None] - networks.stylize(one, embedding)).abs().max() < CLOSE


@pytest.mark.gpu
@torch.inference_mode()
def test_the_gpu_gives_the_picture_of_the_cpu():
    content, style = (pictures(1, 200, 300, seed).permute(0, 3, 1, 2) for seed in (0, 1))
    made = []
    for device in ("cpu", "cuda"):
        networks = MagentaNetworks(lambda network, device=device: network.to(device).eval())
        made.append(networks.stylize(content.to(device), networks.embed(style.to(device))).cpu())
    # cuDNN multiplies in TF32
    assert (made[0] - made[1]).abs().mean() < 2e-3


@pytest.mark.parametrize("kept", [0, 1, 1000, -1])
def test_a_cut_file_is_named(tmp_path, kept):
    path = tmp_path / "cut.onnx"
    path.write_bytes(cache.path(TRANSFORM).read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"cut\.onnx"):
        read_graph(path)


def test_an_unknown_operation_is_named(tmp_path):
    node = _field(2, b"y") + _field(4, b"Einsum") + _field(1, b"x")
    entry = _field(1, b"x") + _field(2, _field(1, b"\x08\x01"))
    graph = _field(1, node) + _field(11, entry) + _field(12, entry.replace(b"x", b"y"))
    path = tmp_path / "other.onnx"
    path.write_bytes(_field(7, graph))
    with pytest.raises(WeightsError, match="Einsum"):
        OnnxNetwork(read_graph(path))


# --- a writer of protocol buffers, as small as the reader -----------------------------------


def _only(data: bytes | memoryview, number: int) -> memoryview:
    return next(value for found, value in _fields(memoryview(data)) if found == number)


def _renamed(node: memoryview, names: dict[str, str]) -> bytes:
    parts = b""
    for number, value in _fields(node):
        if number == 1:
            text = bytes(value).decode()
            parts += _field(1, names.get(text, text).encode())
        else:
            parts += _field(number, bytes(value))
    return parts


def _varint(value: int) -> bytes:
    low = struct.pack("B", value & 0x7F | (0x80 if value > 0x7F else 0))
    return low + (_varint(value >> 7) if value > 0x7F else b"")


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value
