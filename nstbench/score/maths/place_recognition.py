"""How often another place of a photograph fits better than the right one.

Each place of an output is compared with the places of its content by their activations in a
network. First every channel loses its mean over the places and is divided by its deviation,

    z = (f - mean) / (deviation + 0.1 mean deviation of all channels),

and each place's vector is scaled to unit length, x_i of the output and c_j of the content. So
a repainting that shifts or stretches whole channels changes nothing. With M_ij = x_i . c_j

    P_w = mean over places i and over j in w(i) of 1/2 ([M_ij > M_ii] + [M_ij > M_jj])

is one minus the area under the ROC curve of recognising a place, ties counting one half: 0 if
each place fits its own content best, 1/2 by chance. The windows w are symmetric, so the second
term is [M_ji > M_ii] with the names i and j exchanged. They are all places (``P_all``) and the
24 places within two grid steps (``P_near``), and

    Q = P_all + P_near

is 1 by chance. Two refinements:

* Networks pad with zeros, which tells a place near the edge from one inside although the picture
  says nothing. A place is compared only with places as far from each of the four edges as itself,
  where distances of ``EDGE`` grid steps and more count as equal. A grey picture then scores 1
  within 0.05 on both networks; without this it scores 0.67 to 0.85.
* A comparison by less than ``TIE`` counts in proportion, 1/2 at a difference of 0. Without this
  the last bit of an activation would decide.

References: J. Hanley and B. McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve", Radiology 143 (1982); the normalisation of channels is that of
X. Huang and S. Belongie, arXiv 1703.06868, without the content's statistics.
"""

from __future__ import annotations

from functools import lru_cache

import torch

RADIUS = 2
"""Grid steps to the farthest places that are near."""

EDGE = 3
"""Grid steps from an edge at which its padding hardly shows (VGG-16 relu4_1, AlexNet relu4).

At 4 it does not show at all, but on AlexNet's grid of 15 x 15 few places are left that far inside.
"""

TIE = 1e-4
"""Difference of two cosines below which a comparison is partly a tie."""

_DEAD = 0.1
"""Share of the mean deviation that is added to each channel's: quiet channels stay quiet."""

_LEAST = 1e-12
_ROWS = 1024
"""Places that are compared with all others at a time."""


def places(features: torch.Tensor) -> torch.Tensor:
    """Return the unit vectors of all places.

    Args:
        features: float activations (B, C, H, W).

    Returns:
        (B, H W, C) of the same type; zeros at places without any contrast.
    """
    flat = features.flatten(2).transpose(1, 2)
    deviation, mean = torch.std_mean(flat, dim=1, correction=0, keepdim=True)
    scale = deviation + _DEAD * deviation.mean(dim=2, keepdim=True)
    return torch.nn.functional.normalize((flat - mean) / scale.clamp_min(_LEAST), dim=2, eps=_LEAST)


def confusion(output: torch.Tensor, content: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return Q = P_all + P_near; 0 if every place is recognised, 1 by chance.

    Args:
        output: unit vectors of the output's places (B, N, C), from :func:`places`.
        content: those of the content, (B or 1, N, C).
        grid: height and width of the grid of places, with product N.

    Returns:
        float64 (B,), between 0 and 2.
    """
    own = (output * content).sum(dim=2)
    total = torch.zeros(len(own), 2, dtype=torch.float64, device=own.device)
    counts = torch.zeros(2, dtype=torch.float64, device=own.device)
    for start in range(0, own.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        alike = output[:, rows] @ content.transpose(1, 2)
        lost = _lost(alike, own[:, rows, None]) + _lost(alike, own[:, None, :])
        for k, mask in enumerate(_windows(grid, rows.start, rows.stop, own.device)):
            total[:, k] += (lost * mask).sum(dim=2).sum(dim=1, dtype=torch.float64)
            counts[k] += mask.sum()
    # Without any other place to compare with nothing is known, which is as good as chance.
    shares = torch.where(counts > 0, total / (2 * counts.clamp_min(1)), 0.5)
    return shares.sum(dim=1)


def confusion_map(
    output: torch.Tensor, content: torch.Tensor, grid: tuple[int, int]
) -> torch.Tensor:
    """Return each place's part in Q, float64 (B, H, W): its own P_all + P_near.

    Arguments as for :func:`confusion`. The mean over places weighted by their number of
    comparisons is Q; where a place has none, the map holds 1, which is chance.
    """
    own = (output * content).sum(dim=2)
    alike = output @ content.transpose(1, 2)
    lost = _lost(alike, own[:, :, None]) + _lost(alike.transpose(1, 2), own[:, :, None])
    result = torch.zeros(own.shape, dtype=torch.float64, device=own.device)
    for mask in _windows(grid, 0, own.shape[1], own.device):
        count = mask.sum(dim=1)
        share = (lost * mask).sum(dim=2, dtype=torch.float64) / (2 * count.clamp_min(1))
        result += torch.where(count > 0, share, 0.5)
    return result.unflatten(1, grid)


def _lost(other: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return 1 where another place fits better, 0 where the own one does, 1/2 for a tie."""
    return (other - own).mul_(0.5 / TIE).add_(0.5).clamp_(0.0, 1.0)


@lru_cache(maxsize=64)
def _windows(
    grid: tuple[int, int], start: int, stop: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which places count for which: all and near, each bool (rows, N).

    Rows are the places from ``start`` to ``stop`` (exclusive, cut at N).
    """
    height, width = grid
    place = torch.arange(height * width, device=device)
    y, x = place // width, place % width
    # One number for the four distances to the edges, none of which exceeds EDGE.
    sides = torch.stack([y, height - 1 - y, x, width - 1 - x]).clamp_max(EDGE)
    zone = (sides * torch.tensor([[1], [10], [100], [1000]], device=device)).sum(dim=0)
    rows = place[start:stop, None]
    everywhere = (zone[rows] == zone) & (rows != place)
    apart = torch.maximum((y[rows] - y).abs(), (x[rows] - x).abs())
    return everywhere, everywhere & (apart <= RADIUS)
