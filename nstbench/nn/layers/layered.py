"""The base of all loss and metric networks: a classification network read layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Self

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nstbench.contracts import Weight
from nstbench.core.errors import ImageError, did_you_mean
from nstbench.nn.layers.frozen_chain import Steps, fused, is_chain, run_chain
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.weights import cache

# torchvision's ImageNet statistics; all its classification networks were trained with them:
# https://docs.pytorch.org/vision/stable/models.html
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class LayeredNetwork(nn.Module):
    """A chain of named layers whose activations can be read.

    Parameters are frozen, and the network is in evaluation mode.

    Attributes:
        layers: names of all layers in order.
        min_size: smallest height and width in pixels at which the deepest layer exists.
        checkpointing: keep only the requested activations between poolings for the backward
            pass, and compute the others again (Chen et al., arXiv 1604.06174).
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, steps: Iterable[tuple[str, nn.Module]], min_size: int) -> None:
        super().__init__()
        self.layers: tuple[str, ...] = ()
        self.min_size = min_size
        self.checkpointing = False
        for name, step in steps:
            self.add_module(name, step)
            self.layers += (name,)
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(shape), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        """Return the activations of ``layers``; layers after the deepest one are not computed.

        Args:
            x: float RGB tensor (B, 3, H, W) with values in [0, 1]; it is normalised here with
                torchvision's statistics.
            layers: names of the layers to return.

        Returns:
            Layer name -> activations (B, C, H', W'), in the order of the network.

        Raises:
            ValueError: if a layer does not exist.
            ImageError: if the picture is smaller than ``min_size``.
        """
        self.check(x, layers)
        activations: dict[str, torch.Tensor] = {}
        h = ((x - self.mean) / self.std).to(next(self.parameters(), x).dtype)
        for block in self._blocks(layers):
            if self.checkpointing and h.requires_grad:
                # Step by step, because each step frees its memory before the next one.
                # The layers draw no random numbers, whose state a CUDA graph could not save.
                h, of_block = checkpoint(
                    _run_apart, h, block, layers, use_reentrant=False, preserve_rng_state=False
                )
            else:
                h, of_block = _run(h, block, layers)
            activations |= of_block
        return activations

    def _blocks(self, layers: Collection[str]) -> list[Steps]:
        """Return the layers up to the deepest wanted one, in blocks that end with a pooling."""
        blocks: list[list[tuple[str, nn.Module]]] = [[]]
        missing = set(layers)
        for name, step in self.named_children():
            if not missing:
                break
            blocks[-1].append((name, step))
            missing.discard(name)
            if isinstance(step, nn.MaxPool2d | nn.AvgPool2d):
                blocks.append([])
        return [block for block in blocks if block]

    def check(self, x: torch.Tensor, layers: Collection[str]) -> None:
        """Raise if a layer does not exist or the picture is too small; see ``forward``."""
        for name in layers:
            if name not in self.layers:
                hint = did_you_mean(name, self.layers)
                raise ValueError(f"{type(self).__name__} has no layer {name!r}.{hint}")
        if min(x.shape[-2:]) < self.min_size:
            raise ImageError(
                f"{type(self).__name__} needs at least {self.min_size} x {self.min_size} px,"
                f" got {x.shape[-1]} x {x.shape[-2]}: use larger pictures"
            )

    def with_weights(self, weight: Weight) -> Self:
        """Load the tensors of ``weight``, which are named by the layers of this network.

        Raises:
            WeightsError: see :func:`nstbench.nn.weights.cache.path`.
        """
        self.load_state_dict(cache.load(weight), assign=True)
        self.requires_grad_(False)
        return self


def _run(
    h: torch.Tensor, steps: Steps, wanted: Collection[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run steps; return the activations of the last step and those of the wanted layers."""
    if torch.is_grad_enabled() and h.requires_grad and is_chain(h, steps):
        outputs = run_chain(h, steps, wanted)
        last = outputs[steps[-1][0]]
        return last, {name: values for name, values in outputs.items() if name in wanted}
    return _run_apart(h, steps, wanted)


def _run_apart(
    h: torch.Tensor, steps: Steps, wanted: Collection[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run steps one by one, each differentiated by autograd."""
    activations: dict[str, torch.Tensor] = {}
    for name, step, rectified in fused(steps, wanted):
        h = step(h, rectify=True) if rectified else step(h)
        if name in wanted:
            activations[name] = h
    return h, activations


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int
) -> FrozenConvolution:
    """Return a convolution without allocated weights, to be filled by ``with_weights``."""
    return FrozenConvolution(inputs, outputs, kernel, stride, padding, device="meta")
