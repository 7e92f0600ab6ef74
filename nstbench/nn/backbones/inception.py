"""Inception v3 for FID, ArtFID and SIFID: one shape, three sets of weights.

FID is defined on the weights that TensorFlow published in 2015, with TensorFlow's pooling
and resizing; ``torch_fidelity`` contains a port. ArtFID uses torchvision's architecture,
trained on paintings by the authors of ArtFID, without resizing. Both return the 2048 averages
that the literature calls ``pool3``. SIFID's authors use torchvision's own weights, without
resizing, and read 192 channels before the second pooling.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import torch

from nstbench.contracts import Weight
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.weights import cache
from nstbench.nn.weights.files import read_torch_checkpoint
from nstbench.nn.weights.sources import Download

INCEPTION = Weight(
    name="inception",
    filename="inception.safetensors",
    licence="Apache-2.0 (TensorFlow); converted by torch-fidelity, Apache-2.0",
    origin="https://github.com/toshas/torch-fidelity",
    sources=(
        Download(
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            convert=read_torch_checkpoint,
        ),
    ),
)

ART_INCEPTION = Weight(
    name="art_inception",
    filename="art_inception.safetensors",
    licence="MIT (art-fid)",
    origin="https://github.com/matthias-wright/art-fid",
    sources=(
        Download(
            url="https://huggingface.co/matthias-wright/art_inception/resolve/main/"
            "art_inception.pth",
            # No checksum is published, so users must download the file themselves.
            sha256="",
            convert=read_torch_checkpoint,
        ),
    ),
)


TORCHVISION_INCEPTION = Weight(
    name="torchvision_inception",
    filename="torchvision_inception.safetensors",
    licence="BSD-3-Clause (torchvision); weights of TensorFlow, Apache-2.0",
    origin="https://docs.pytorch.org/vision/stable/models/inception.html",
    sources=(
        Download(
            url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
            # Only the first eight digits of the checksum are published, in the name of the file.
            sha256="",
            convert=read_torch_checkpoint,
        ),
    ),
)


class _Pooled(LayeredNetwork):
    """A network of which only the spatial means of the last activations are used."""

    network: Any

    def __init__(self, min_size: int) -> None:
        super().__init__((), min_size)
        self.layers = ("pool3",)

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        """Return ``pool3`` (B, 2048, 1, 1) of float RGB (B, 3, H, W) in [0, 1]."""
        self.check(x, layers)
        return {"pool3": self.pooled(x)[:, :, None, None]} if layers else {}

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means (B, 2048)."""
        raise NotImplementedError


class Inception(_Pooled):
    """The TensorFlow port in ``torch_fidelity``: pictures of 8 bits, resized to 299 x 299."""

    def __init__(self) -> None:
        super().__init__(min_size=1)

    def with_weights(self, weight: Weight) -> Self:
        """Build the extractor from a temporary checkpoint file, which its constructor needs.

        Raises:
            WeightsError: see :func:`nstbench.nn.weights.cache.path`.
        """
        ensure_torchvision()
        # Imported by name, because the package is optional and has no type hints.
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "inception.pth"
            torch.save(cache.load(weight), file)
            self.network = module.FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=str(file)
            )
        return self

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means (B, 2048)."""
        levels = (x.clamp(0, 1) * 255).round().to(torch.uint8)
        means: torch.Tensor = self.network(levels)[0]
        return means


class ArtInception(_Pooled):
    """torchvision's Inception v3 with the weights of ArtFID; pictures are not resized."""

    def __init__(self) -> None:
        super().__init__(min_size=75)

    def with_weights(self, weight: Weight) -> Self:
        """Build torchvision's network; its classifier is not used.

        Raises:
            WeightsError: if a tensor is missing; see also :func:`nstbench.nn.weights.cache.path`.
        """
        ensure_torchvision()
        from torchvision.models import inception_v3

        network = inception_v3(
            weights=None, aux_logits=False, transform_input=False, init_weights=False
        )
        network.fc = torch.nn.Identity()
        cache.load_into(network, weight)
        self.network = network.eval().requires_grad_(False)
        return self

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means (B, 2048)."""
        means: torch.Tensor = self.network(x)
        return means


class InceptionPlaces(LayeredNetwork):
    """The first layers of torchvision's Inception v3, for SIFID; pictures are not resized.

    ``conv4a`` (B, 192, H', W') is what the authors' script calls 192 dimensions: activations
    before the second pooling, of values in [-1, 1].
    """

    steps: Any

    def __init__(self) -> None:
        super().__init__((), min_size=32)
        self.layers = ("conv4a",)

    def with_weights(self, weight: Weight) -> Self:
        """Build the layers from torchvision's network.

        Raises:
            WeightsError: if a tensor is missing; see also :func:`nstbench.nn.weights.cache.path`.
        """
        ensure_torchvision()
        from torchvision.models import inception_v3

        network = inception_v3(weights=None, aux_logits=False, init_weights=False)
        names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1",
                 "Conv2d_4a_3x3"]  # fmt: skip
        parts = torch.nn.ModuleDict({name: getattr(network, name) for name in names})
        cache.load_into(parts, weight)
        steps = torch.nn.Sequential(*parts.values())
        self.steps = steps.eval().requires_grad_(False)
        return self

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        """Return ``conv4a`` of float RGB (B, 3, H, W) in [0, 1]."""
        self.check(x, layers)
        return {"conv4a": self.steps(2 * x - 1)} if layers else {}
