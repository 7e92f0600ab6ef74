"""ONNX networks in torch, compared with onnxruntime on a graph without activation rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from nstbench.core.errors import WeightsError
from nstbench.nn.generators.magenta import PREDICT, TRANSFORM, MagentaNetworks
from nstbench.nn.layers.onnx_network import OnnxNetwork
from nstbench.nn.weights import cache
from nstbench.nn.weights.onnx_graph import read_graph

CLOSE = 1e-4
SIDES = [(384, 384), (128, 256), (97, 131), (64, 200)]


@pytest.fixture(autouse=True)
def _weights():
    for weight in (PREDICT, TRANSFORM):
        if not (state := cache.availability(weight)).ok:
            pytest.skip(f"{state.reason}. {state.remedy}")


def rounding_removed(path: Path) -> bytes:
    """Return an ONNX file whose activations stay float32 and whose inputs have any shape."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    names = dict[str, str]()
    for node in list(graph.node):
        node.input[:] = [names.get(name, name) for name in node.input]
        rounds = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if rounds and node.input[0] not in constants:
            names[node.output[0]] = node.input[0]
            graph.node.remove(node)
    graph.output[0].name = names.get(graph.output[0].name, graph.output[0].name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.ClearField("shape")
    # the shapes of activations
    graph.ClearField("value_info")
    made: bytes = model.SerializeToString()
    return made


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
    together = networks(contents, embeddings)
    assert together.shape == contents.shape
    for place in range(3):
        one = contents[place, None]
        embedding = networks.embed(styles[place, None])
        assert (together[place, None] - networks(one, embedding)).abs().max() < CLOSE


@pytest.mark.gpu
@torch.inference_mode()
def test_the_gpu_gives_the_picture_of_the_cpu():
    content, style = (pictures(1, 200, 300, seed).permute(0, 3, 1, 2) for seed in (0, 1))
    made = []
    for device in ("cpu", "cuda"):
        networks = MagentaNetworks(lambda network, device=device: network.to(device).eval())
        made.append(networks(content.to(device), networks.embed(style.to(device))).cpu())
    # cuDNN multiplies in TF32
    assert (made[0] - made[1]).abs().mean() < 2e-3


@pytest.mark.parametrize("kept", [0, 1, 1000, -1])
def test_a_cut_file_is_named(tmp_path, kept):
    path = tmp_path / "cut.onnx"
    path.write_bytes(cache.path(TRANSFORM).read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"cut\.onnx"):
        read_graph(path)


def test_an_unknown_operation_is_named(tmp_path):
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
    node = helper.make_node("Einsum", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "other", ends[:1], ends[1:]))
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="Einsum"):
        OnnxNetwork(read_graph(path))
