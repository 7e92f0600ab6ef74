"""The network of ArtScore: ResNet-50 with a head of two layers.

Chen et al., "Learning to Evaluate the Artness of AI-generated Images", IEEE Trans. Multimedia
26, 2024, arXiv 2305.04923; authors' code: https://github.com/jchen175/ArtScore.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

import torch
from torch import nn
from torch.nn.functional import interpolate

from nstbench.contracts import Weight
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.weights import cache
from nstbench.nn.weights.files import read_torch_checkpoint
from nstbench.nn.weights.sources import Download

SIDE = 224

ARTSCORE = Weight(
    name="artscore",
    filename="artscore.safetensors",
    licence="MIT (ArtScore)",
    origin="https://github.com/jchen175/ArtScore",
    sources=(
        Download(
            url="https://github.com/jchen175/ArtScore/raw/"
            "316bbd7e66e7c6aded3d6e8346edb927b3b8ae8d/ckpt/loss@listMLE_model@resnet50_"
            "denseLayer@True_batch_size@16_lr@0.0001_dropout@0.5_E_8.pth",
            # No checksum is published, so users must download the file themselves.
            sha256="",
            convert=read_torch_checkpoint,
        ),
    ),
)


class ArtScoreNetwork(LayeredNetwork):
    """Scales pictures to a short side of 224 px, bilinearly; layer ``score`` (B, 1, 1, 1)."""

    network: Any

    def __init__(self) -> None:
        super().__init__((), min_size=1)
        self.layers = ("score",)

    def with_weights(self, weight: Weight) -> Self:
        """Build torchvision's ResNet-50 with the head of ArtScore.

        Raises:
            WeightsError: if a tensor is missing; see also :func:`nstbench.nn.weights.cache.path`.
        """
        ensure_torchvision()
        from torchvision.models import resnet50

        network = resnet50(weights=None)
        head = (nn.Linear(2048, 1000), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1000, 1))
        network.fc = nn.Sequential(*head)
        cache.load_into(network, weight)
        self.network = network.eval().requires_grad_(False)
        return self

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        """Return ``score`` of float RGB (B, 3, H, W) in [0, 1]."""
        self.check(x, layers)
        if not layers:
            return {}
        scale = SIDE / min(x.shape[2:])
        # torchvision cuts the fraction of the long side off.
        shape = [max(SIDE, int(length * scale)) for length in x.shape[2:]]
        scaled = interpolate(x, shape, mode="bilinear", antialias=True).clamp(0, 1)
        return {"score": self.network((scaled - self.mean) / self.std)[:, :, None, None]}
