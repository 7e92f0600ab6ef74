"""Vision transformers for metrics: CLIP's picture encoder, CSD and DINO.

Dosovitskiy et al., arXiv 2010.11929; CLIP: Radford et al., arXiv 2103.00020; DINO: Caron et al.,
arXiv 2104.14294; CSD: Somepalli et al., arXiv 2404.01292. The networks differ in a norm before
the first block, the activation function, and what is read of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import gelu, interpolate, layer_norm, scaled_dot_product_attention

from nstbench.nn.layers.layered import IMAGENET_MEAN, IMAGENET_STD, LayeredNetwork
from nstbench.pictures.picture import resize

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class VitDesign:
    """Sizes of a vision transformer.

    Attributes:
        width: channels of a token.
        depth: blocks.
        heads: attention heads per block.
        patch: side of a patch in pixels.
        side: side of the pictures that the network was trained with.
        projected: numbers of the embedding; 0 if there is no projection.
    """

    width: int
    depth: int
    heads: int
    patch: int
    side: int = 224
    projected: int = 0

    @property
    def tokens(self) -> int:
        """Number of tokens of a trained picture, with the class token."""
        return (self.side // self.patch) ** 2 + 1


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, epsilon: float, quick: bool) -> None:
        super().__init__()
        self.heads, self.epsilon, self.quick = heads, epsilon, quick
        for name, shape in (
            ("qkv", (3 * width, width)),
            ("out", (width, width)),
            ("up", (4 * width, width)),
            ("down", (width, 4 * width)),
        ):
            setattr(self, f"{name}_weight", _empty(*shape))
            setattr(self, f"{name}_bias", _empty(shape[0]))
        for name in ("norm1", "norm2"):
            setattr(self, f"{name}_weight", _empty(width))
            setattr(self, f"{name}_bias", _empty(width))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens (B, T, C) after the block, and its keys with all heads (B, T, C)."""
        h = _norm(self, "norm1", x, self.epsilon)
        q, k, v = _linear(self, "qkv", h).chunk(3, dim=2)
        split = [t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v)]
        mixed = scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        x = x + _linear(self, "out", mixed)
        h = _linear(self, "up", _norm(self, "norm2", x, self.epsilon))
        h = h * torch.sigmoid(1.702 * h) if self.quick else gelu(h)
        return x + _linear(self, "down", h), k


class Vit(LayeredNetwork):
    """A frozen vision transformer with two readable layers.

    ``embedding`` (B, D, 1, 1) is the class token after the last norm, projected if the design
    says so. ``keys`` (B, C, T, 1) are the keys of the last block for all tokens, heads
    concatenated, the class token first.

    Args:
        design: sizes.
        clip: True for CLIP's variant: a norm before the first block, no bias of the patches,
            QuickGELU, epsilon 1e-5, and pictures cropped to a square.
    """

    def __init__(self, design: VitDesign, clip: bool) -> None:
        super().__init__((), min_size=design.patch)
        self.layers = ("embedding", "keys")
        self.design, self.clip = design, clip
        self.epsilon = 1e-5 if clip else 1e-6
        width = design.width
        self.patches_weight = _empty(width, 3, design.patch, design.patch)
        self.class_token = _empty(width)
        self.positions = _empty(design.tokens, width)
        self.last_weight, self.last_bias = _empty(width), _empty(width)
        if clip:
            self.first_weight, self.first_bias = _empty(width), _empty(width)
            mean, std = CLIP_MEAN, CLIP_STD
        else:
            self.patches_bias = _empty(width)
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        if design.projected:
            self.projection = _empty(width, design.projected)
        self.mean = torch.tensor(mean).view(1, 3, 1, 1)
        self.std = torch.tensor(std).view(1, 3, 1, 1)
        self.blocks = nn.ModuleList(
            _Block(width, design.heads, self.epsilon, quick=clip) for _ in range(design.depth)
        )
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        """Return the wanted layers of float RGB (B, 3, H, W) in [0, 1]; see the class."""
        self.check(x, layers)
        if not layers:
            return {}
        tokens, keys = self._tokens((self._fitted(x) - self.mean) / self.std), None
        for block in self.blocks:
            tokens, keys = block(tokens)
        found = {}
        if "embedding" in layers:
            vector = _norm(self, "last", tokens[:, 0], self.epsilon)
            vector = vector @ self.projection if self.design.projected else vector
            found["embedding"] = vector[:, :, None, None]
        if "keys" in layers and keys is not None:
            found["keys"] = keys.transpose(1, 2)[..., None].contiguous()
        return found

    def _fitted(self, x: torch.Tensor) -> torch.Tensor:
        """Scale to the trained side; CLIP also crops the centre."""
        side = self.design.side
        scale = side / min(x.shape[2:])
        height, width = (max(side, round(length * scale)) for length in x.shape[2:])
        if not self.clip:
            # Splice scales bilinearly, the long side to 480 px at most.
            most = 480 * side // 224
            height, width = (min(length, most) for length in (height, width))
            return interpolate(x, (height, width), mode="bilinear", antialias=True)
        top, left = (height - side) // 2, (width - side) // 2
        return resize(x, (height, width))[:, :, top : top + side, left : left + side]

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tokens (B, T, C) of a normalised picture before the first block."""
        bias = None if self.clip else self.patches_bias
        grid = nn.functional.conv2d(x, self.patches_weight, bias, stride=self.design.patch)
        places = self.positions[1:]
        if len(places) != grid.shape[2] * grid.shape[3]:
            side = self.design.side // self.design.patch
            square = places.T.unflatten(1, (side, side))[None]
            square = interpolate(square, tuple(grid.shape[2:]), mode="bicubic")
            places = square[0].flatten(1).T
        first = (self.class_token + self.positions[0]).expand(len(x), 1, -1)
        tokens = torch.cat([first, grid.flatten(2).transpose(1, 2) + places], dim=1)
        return _norm(self, "first", tokens, self.epsilon) if self.clip else tokens


def _empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape, device="meta"), requires_grad=False)


def _linear(module: nn.Module, name: str, x: torch.Tensor) -> torch.Tensor:
    weight, bias = (getattr(module, f"{name}_{kind}") for kind in ("weight", "bias"))
    return nn.functional.linear(x, weight, bias)


def _norm(module: nn.Module, name: str, x: torch.Tensor, epsilon: float) -> torch.Tensor:
    weight, bias = (getattr(module, f"{name}_{kind}") for kind in ("weight", "bias"))
    return layer_norm(x, x.shape[-1:], weight, bias, epsilon)
