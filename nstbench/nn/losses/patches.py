"""Match small patches of activations, and compute the distance of a picture to its matches.

Li and Wand, "Combining Markov Random Fields and Convolutional Neural Networks for Image
Synthesis" (arXiv 1601.04589): each k x k patch of the output's activations is compared with
all patches of the style by normalised cross-correlation; the loss is its distance to the best.
Champandard (arXiv 1603.01768) adds the channels of a semantic map to the comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from nstbench.core.errors import ImageError
from nstbench.nn.losses import gpu_terms
from nstbench.nn.losses.nearest import nearest, similarities_at_once

# Similarities in memory at a time: 64 MiB of float32.
_CHUNK = 1 << 24
_EPS = 1e-8

EnergyOf = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
"""Maps layers' activations to an energy, 0-d float32."""


@dataclass(frozen=True, eq=False, slots=True)
class StylePatches:
    """All patches of one layer of a style.

    Attributes:
        features: the layer's activations, (1, C, h, w).
        keys: vectors that are compared, one per row; the parts of picture and map have unit length.
        size: k, side of a patch in positions.
        map_weight: weight of the cosine of maps; the cosine of activations has weight 1.
    """

    features: torch.Tensor
    keys: torch.Tensor
    size: int
    map_weight: float

    @classmethod
    def of(
        cls,
        features: torch.Tensor,
        labels: torch.Tensor | None = None,
        map_weight: float = 0.0,
        size: int = 3,
    ) -> StylePatches:
        """Cut up activations (1, C, h, w) and label channels of any resolution (1, L, H, W).

        Raises:
            ImageError: if the layer is smaller than a patch.
        """
        _check_size(features, size)
        keys = _keys(features, _at(labels, features), map_weight, size)
        return cls(features, keys[0].T.contiguous(), size, map_weight)

    @property
    def columns(self) -> int:
        """Patches per row of the style."""
        return int(self.features.shape[-1]) - self.size + 1


@dataclass(frozen=True, eq=False, slots=True)
class PatchTarget:
    """Target of the activations, computed from the matched patches.

    The sum of squared distances of all (overlapping) patches to their matches is
    ``sum(count * (F - mean)^2) + spread``, so no patches have to be cut out.

    Attributes:
        mean: mean over the patches that cover a position of their target there, (1, C, H, W).
        count: number of patches that cover a position, (1, 1, H, W).
        spread: the part of the sum that does not depend on the activations, 0-d.
        elements: number of values in all patches.
    """

    mean: torch.Tensor
    count: torch.Tensor
    spread: torch.Tensor
    elements: int


@torch.no_grad()
def match(
    features: torch.Tensor, style: StylePatches, labels: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the index of the most similar style patch for each patch of ``features``.

    Rows are processed in groups, so that memory does not grow with the product of the sizes of
    both pictures.

    Args:
        features: activations (1, C, H, W).
        style: candidate patches.
        labels: label channels of any resolution (1, L, H', W'), if the style has them.

    Returns:
        int64 (n,), n = (H - k + 1) (W - k + 1), row by row.

    Raises:
        ImageError: if the layer is smaller than a patch.
    """
    _check_size(features, style.size)
    labels = _at(labels, features)
    height, width = features.shape[-2:]
    rows, columns = height - style.size + 1, width - style.size + 1
    at_once = _CHUNK if features.device.type == "cpu" else similarities_at_once(features.device)
    step = max(1, at_once // (len(style.keys) * columns))
    indices = []
    for top in range(0, rows, step):
        strip = slice(top, min(top + step, rows) + style.size - 1)
        part = labels[:, :, strip] if labels is not None else None
        keys = _keys(features[:, :, strip], part, style.map_weight, style.size)[0]
        if keys.is_cuda:
            # the norm of keys that have a part for activations and one for maps
            indices.append(nearest(style.keys, keys, (1 + style.map_weight) ** 0.5))
        else:
            indices.append((style.keys @ keys).argmax(dim=0))
    return torch.cat(indices)


@torch.no_grad()
def target_of(indices: torch.Tensor, style: StylePatches, shape: tuple[int, int]) -> PatchTarget:
    """Return the target of activations of ``shape`` = (H, W) for the style patches ``indices``."""
    height, width = shape
    k = style.size
    rows, columns = height - k + 1, width - k + 1
    channels = style.features.shape[1]
    wanted = style.features.new_zeros((1, channels, height, width), dtype=torch.float32)
    if wanted.is_cuda:
        # the order of the activations
        wanted = wanted.contiguous(memory_format=torch.channels_last)
    count = wanted.new_zeros((1, 1, height, width))
    squares = wanted.new_zeros(())
    top, left = indices // style.columns, indices % style.columns
    for dy in range(k):
        for dx in range(k):
            values = style.features[0, :, top + dy, left + dx].float()
            squares += values.square().sum()
            place = (..., slice(dy, dy + rows), slice(dx, dx + columns))
            wanted[place] += values.view(1, channels, rows, columns)
            count[place] += 1
    mean = wanted / count
    spread = squares - (count * mean.square()).sum()
    elements = rows * columns * k * k * channels
    return PatchTarget(mean, count, spread.clamp_min(0.0), elements)


def patch_energy(features: torch.Tensor, target: PatchTarget) -> torch.Tensor:
    """Return the mean squared difference between patches and their matches, 0-d float32."""
    if features.is_cuda:
        distance = gpu_terms.squared_distance(features, target.mean, target.count)
        return (distance + target.spread) / target.elements
    distance = (target.count * (features.float() - target.mean).square()).sum()
    return (distance + target.spread) / target.elements


class PatchLoss:
    """Patch energy summed over layers, with matches that are updated at intervals.

    Args:
        style: layer -> patches.
        labels: label channels of the optimised picture, if the styles have them.
        every: evaluations between two updates of the matches; the loss is smooth in between.
    """

    def __init__(
        self, style: Mapping[str, StylePatches], labels: torch.Tensor | None, every: int
    ) -> None:
        self._style = style
        self._labels = labels
        self._every = every
        self._calls = 0
        self._targets: dict[str, PatchTarget] = {}

    def __call__(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the sum over layers of :func:`patch_energy`, 0-d float32."""
        if self._calls % self._every == 0:
            self.renew(features)
        self._calls += 1
        return self.held(features)

    def held(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the same sum with the present matches."""
        energies = [patch_energy(features[name], t) for name, t in self._targets.items()]
        return torch.stack(energies).sum()

    def renew(self, features: Mapping[str, torch.Tensor]) -> None:
        """Match the patches of activations again."""
        for name, patches in self._style.items():
            self._store(name, self._match(features[name].detach(), patches))

    def _store(self, name: str, target: PatchTarget) -> None:
        """Store a target where the last one was, because graphs read it from there."""
        old = self._targets.setdefault(name, target)
        if old is not target:
            old.mean.copy_(target.mean)
            old.count.copy_(target.count)
            old.spread.copy_(target.spread)

    def _match(self, features: torch.Tensor, patches: StylePatches) -> PatchTarget:
        height, width = features.shape[-2:]
        return target_of(match(features, patches, self._labels), patches, (height, width))


def _check_size(features: torch.Tensor, size: int) -> None:
    height, width = features.shape[-2:]
    if min(height, width) < size:
        raise ImageError(
            f"patches of {size} x {size} do not fit into a layer of {width} x {height}: use larger "
            "pictures, shallower style_layers, or larger coarse_scales"
        )


def _at(labels: torch.Tensor | None, features: torch.Tensor) -> torch.Tensor | None:
    """Return label channels averaged to the resolution of a layer."""
    if labels is None:
        return None
    size = (features.shape[-2], features.shape[-1])
    return F.adaptive_avg_pool2d(labels.float(), size)


def _keys(
    features: torch.Tensor, labels: torch.Tensor | None, map_weight: float, size: int
) -> torch.Tensor:
    """Return keys (1, K, n) whose products are cos(activations) + map_weight * cos(maps).

    GPUs get float32, because their search is exact; CPUs the number format of the activations.
    """
    keys = [_unit(F.unfold(features.float(), size))]
    if labels is not None and map_weight > 0:
        keys.append(_unit(F.unfold(labels, size)) * map_weight**0.5)
    joined = torch.cat(keys, dim=1)
    return joined if joined.is_cuda else joined.to(features.dtype)


def _unit(columns: torch.Tensor) -> torch.Tensor:
    return columns / columns.norm(dim=1, keepdim=True).clamp_min(_EPS)
