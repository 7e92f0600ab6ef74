"""Gatys' algorithm as in most public implementations, as a reference for speed.

NCHW, float32, one module per loss inside a sequential network, losses that keep their
targets; the Gram matrix as a product of the flattened activations with their transpose.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.layers.layered import LayeredNetwork


def plain_gram(features: torch.Tensor) -> torch.Tensor:
    """Return F F^T / (H W) of activations (1, C, H, W)."""
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return torch.mm(flat, flat.t()) / (height * width)


def plain_step(step: nn.Module) -> nn.Module:
    """Return a copy of one of our convolutions as torch's own; return other modules unchanged."""
    if not isinstance(step, nn.Conv2d):
        return step
    sizes = (step.in_channels, step.out_channels, step.kernel_size, step.stride, step.padding)
    plain = nn.Conv2d(*sizes, device="meta", padding_mode=step.padding_mode)
    plain.load_state_dict(step.state_dict(), assign=True)
    return plain.requires_grad_(False)


class ContentLoss(nn.Module):
    """Mean squared difference to the content's activations."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target)
        self.loss = torch.zeros(())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Store the loss and return the activations unchanged."""
        self.loss = F.mse_loss(features, self.target)
        return features


class StyleLoss(nn.Module):
    """Mean squared difference to the style's Gram matrix, times a weight."""

    def __init__(self, target: torch.Tensor, weight: float) -> None:
        super().__init__()
        self.register_buffer("target", plain_gram(target))
        self.weight = weight
        self.loss = torch.zeros(())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Store the loss and return the activations unchanged."""
        self.loss = self.weight * F.mse_loss(plain_gram(features), self.target)
        return features


class PlainGatys:
    """Content and style loss of a picture, not optimised for speed.

    Args:
        network: float32 VGG; its activations are not rescaled.
        content: (1, 3, H, W) in [0, 1].
        style: (1, 3, H, W) in [0, 1].
        content_layers: names of layers.
        style_weights: name of layer -> weight.
        scale: factor of the activations in the losses; it is applied to the weights here.
    """

    def __init__(
        self,
        network: LayeredNetwork,
        content: torch.Tensor,
        style: torch.Tensor,
        content_layers: tuple[str, ...],
        style_weights: dict[str, float],
        scale: float,
    ) -> None:
        self._mean, self._std = network.mean, network.std
        self._scale = scale
        self._content: list[ContentLoss] = []
        self._style: list[StyleLoss] = []
        steps: list[nn.Module] = []
        needed = {*content_layers, *style_weights}
        with torch.no_grad():
            of_content = network(content, needed)
            of_style = network(style, needed)
        for name in network.layers:
            step = plain_step(network.get_submodule(name))
            steps.append(nn.ReLU(inplace=True) if isinstance(step, nn.ReLU) else step)
            if name in content_layers:
                self._content.append(ContentLoss(of_content[name]))
                steps.append(self._content[-1])
            if name in style_weights:
                self._style.append(StyleLoss(of_style[name], style_weights[name]))
                steps.append(self._style[-1])
            needed.discard(name)
            if not needed:
                break
        self._network = nn.Sequential(*steps)

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return content and style loss on the scale of ``scale``."""
        self._network((pixels - self._mean) / self._std)
        content = torch.stack([part.loss for part in self._content]).sum() * self._scale**2
        style = torch.stack([part.loss for part in self._style]).sum() * self._scale**4
        return content, style

    def optimise(self, start: torch.Tensor, iterations: int, rate: float) -> torch.Tensor:
        """Return the picture after ``iterations`` steps of Adam."""
        pixels = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([pixels], lr=rate)
        for _ in range(iterations):
            optimizer.zero_grad()
            content, style = self(pixels)
            (content + style).backward()
            optimizer.step()
        return pixels.detach()
