"""Semantic maps: pictures in label colours, each of which marks a region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from nstbench.nn.losses.colour import luminance

# A label covers at least this share of one map; rarer colours are soft edges between labels.
_LEAST_SHARE = 0.005
_MOST_LABELS = 16
_TONES = 3
_SMOOTHING = 1 / 64


@dataclass(frozen=True, eq=False, slots=True)
class Labels:
    """Two maps as indices into the labels that they use together.

    Attributes:
        content: int64 (B, H, W), index of the label of each pixel.
        style: the same for the style's map.
        colours: float (L, 3), RGB of the labels.
    """

    content: torch.Tensor
    style: torch.Tensor
    colours: torch.Tensor

    @property
    def count(self) -> int:
        """Number of labels."""
        return len(self.colours)

    def shared(self) -> list[int]:
        """Return the labels that both maps use."""
        both = set(self.content.unique().tolist()) & set(self.style.unique().tolist())
        return sorted(both)


def read_labels(content_map: torch.Tensor, style_map: torch.Tensor) -> Labels:
    """Find the label colours of two maps, and assign the nearest one to every pixel.

    Args:
        content_map: float RGB (B, 3, H, W) in [0, 1].
        style_map: float RGB (B, 3, H', W') in [0, 1].
    """
    frequent = [_frequent_colours(content_map), _frequent_colours(style_map)]
    colours = torch.unique(torch.cat(frequent), dim=0)
    return Labels(_nearest(content_map, colours), _nearest(style_map, colours), colours)


def one_hot(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return masks, float32 (B, L, H, W), of label indices (B, H, W)."""
    return F.one_hot(labels, count).permute(0, 3, 1, 2).float()


def tonal_map(pixels: torch.Tensor) -> torch.Tensor:
    """Return a map of a picture's dark, middle and bright regions, if there is no drawn map.

    Otsu's method with two thresholds (Otsu 1979; scikit-image's ``threshold_multiotsu``) is
    applied to the smoothed luminance. The three labels are the same in every picture, so that
    dark regions of the content correspond to dark regions of the style, for example.

    Args:
        pixels: float RGB (B, 3, H, W) in [0, 1].

    Returns:
        float RGB (B, 3, H, W) of three greys; one grey if the picture has fewer than three tones.
    """
    from skimage.filters import gaussian, threshold_multiotsu

    maps = []
    for grey in luminance(pixels)[:, 0].cpu().numpy():
        smooth = gaussian(grey, sigma=max(grey.shape) * _SMOOTHING)
        enough = len(np.unique((smooth * 255).astype(int))) >= _TONES
        thresholds = threshold_multiotsu(smooth, classes=_TONES) if enough else [2.0]
        maps.append(np.digitize(smooth, thresholds) / (_TONES - 1))
    stacked = torch.tensor(np.stack(maps), dtype=torch.float32, device=pixels.device)
    return stacked[:, None].expand(-1, 3, -1, -1).contiguous()


def _frequent_colours(picture: torch.Tensor) -> torch.Tensor:
    levels = (picture * 255).round().byte().transpose(0, 1).flatten(1).T
    colours, counts = torch.unique(levels, dim=0, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:_MOST_LABELS]
    kept = order[counts[order] >= _LEAST_SHARE * len(levels)]
    # A map of smooth gradients has no frequent colour; its most common one is the only label.
    kept = kept if len(kept) else order[:1]
    return colours[kept].float() / 255


def _nearest(picture: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    pixels = picture.permute(0, 2, 3, 1).reshape(-1, 3)
    nearest = torch.cdist(pixels, colours).argmin(dim=1)
    batch, _, height, width = picture.shape
    return nearest.view(batch, height, width)
