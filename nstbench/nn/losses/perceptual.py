"""The perceptual loss for training feed-forward networks.

Johnson et al. (arXiv 1603.08155, section 3.1): squared distance of activations to those of
the content, and of Gram matrices to those of the style. Both are means here, over C H W of a
layer and over the C^2 entries of a Gram matrix, as in the authors' code
(https://github.com/jcjohnson/fast-neural-style, ``nn.MSECriterion``) and in Magenta's. Johnson's
paper has the sum over the Gram matrix's entries, which is C^2 times as large.

Activations are on the scale of Caffe's networks (see :data:`nstbench.nn.losses.terms.CAFFE_SCALE`),
which the published loss weights assume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.gram import Divisor, divisor, gram_matrix
from nstbench.nn.losses.terms import CAFFE_SCALE, content_energy, gram_energy, total_variation
from nstbench.nn.losses.wide_products import wide_product


@dataclass(frozen=True, eq=False)
class PerceptualLoss:
    """Content, style and total-variation loss of pictures.

    Attributes:
        network: the frozen loss network.
        content: layer -> weight.
        style: layer -> weight.
        tv: weight of the total variation, summed over the batch, on the 0-255 scale.
        divide_by: divisor of Gram matrices, ``"chw"`` (Johnson) or ``"n"`` (Dumoulin).
    """

    network: LayeredNetwork
    content: Mapping[str, float]
    style: Mapping[str, float]
    tv: float = 0.0
    divide_by: Divisor = "chw"

    @torch.no_grad()
    def style_targets(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return style layer -> float32 Gram matrix (B, C, C) on the scale of torchvision.

        Args:
            pixels: float32 RGB (B, 3, H, W) in [0, 1].
        """
        features = self.network(pixels.contiguous(memory_format=torch.channels_last), self.style)
        return {name: self._gram(f) for name, f in features.items()}

    def __call__(
        self,
        pixels: torch.Tensor,
        contents: torch.Tensor,
        targets: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return the weighted losses ``content``, ``style``, ``total`` (and ``tv``), 0-d float32.

        Args:
            pixels: generated pictures, float32 RGB (B, 3, H, W) in [0, 1]; differentiable.
            contents: their contents, of the same shape.
            targets: Gram matrices (B or 1, C, C) from ``style_targets``.
        """
        with torch.no_grad():
            wanted = self.network(contents, self.content)
        features = self.network(pixels, {**self.content, **self.style})
        content = torch.stack(
            [
                weight * content_energy(features[name], wanted[name]) / wanted[name].numel()
                for name, weight in self.content.items()
            ]
        ).sum()
        style = torch.stack(
            [
                weight * self._gram_distance(features[name], targets[name])
                for name, weight in self.style.items()
            ]
        ).sum()
        losses = {"content": content * CAFFE_SCALE**2, "style": style * CAFFE_SCALE**4}
        if self.tv:
            losses["tv"] = self.tv * total_variation(pixels * 255)
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def _gram(self, features: torch.Tensor) -> torch.Tensor:
        if features.is_cuda:
            flat = features.flatten(2)
            return wide_product(flat, flat) / divisor(features, self.divide_by)
        return gram_matrix(features.float(), self.divide_by)

    def _gram_distance(self, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        batch, channels = features.shape[:2]
        count = divisor(features, self.divide_by)
        energy = gram_energy(features, target, positions=count)
        return energy / (batch * channels**2)
