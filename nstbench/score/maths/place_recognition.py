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

from dataclasses import dataclass
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


def places(features: torch.Tensor) -> torch.Tensor:
    """Return the unit vectors of all places.

    Args:
        features: float activations (B, C, H, W).

    Returns:
        (B, H W, C) of the same type; zeros at places without any contrast.
    """
    flat = features.flatten(2).transpose(1, 2)
    # relative to one place, so that the mean of a constant channel has no rounding error
    vectors = flat - flat[:, :1]
    vectors -= vectors.mean(dim=1, keepdim=True)
    # several times faster than ``torch.std`` over a dimension that is not the last one
    deviation = vectors.square().mean(dim=1, keepdim=True).sqrt_()
    scale = deviation + _DEAD * deviation.mean(dim=2, keepdim=True)
    vectors /= scale.clamp_min_(_LEAST)
    vectors /= torch.linalg.vector_norm(vectors, dim=2, keepdim=True).clamp_min_(_LEAST)
    return vectors


@dataclass(frozen=True, slots=True)
class _Zones:
    """Zones with equally many places. A zone is a set of places that are compared with each other.

    Attributes:
        places: numbers of the places, int64 (zones, n).
        near: for each place, positions in its zone of the near ones, int64 (zones, n, k); filled
            up with zeros.
        is_near: which entries of ``near`` count, float32 (zones, n, k).
    """

    places: torch.Tensor
    near: torch.Tensor
    is_near: torch.Tensor


def confusion(output: torch.Tensor, content: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return Q = P_all + P_near; 0 if every place is recognised, 1 by chance.

    Args:
        output: unit vectors of the output's places (B, N, C), from :func:`places`.
        content: those of the content, (B or 1, N, C).
        grid: height and width of the grid of places, with product N.

    Returns:
        float64 (B,), between 0 and 2.
    """
    lost, counts = _comparisons(output, content, grid)
    total, count = lost.sum(dim=1), counts.sum(dim=0)
    # Without any other place to compare with nothing is known, which is as good as chance.
    shares = torch.where(count > 0, total / (2 * count.clamp_min(1)), 0.5)
    return shares.sum(dim=1)


def confusion_map(
    output: torch.Tensor, content: torch.Tensor, grid: tuple[int, int]
) -> torch.Tensor:
    """Return each place's part in Q, float64 (B, H, W): its own P_all + P_near.

    Arguments as for :func:`confusion`. The mean over places weighted by their number of
    comparisons is Q; where a place has none, the map holds 1, which is chance.
    """
    lost, counts = _comparisons(output, content, grid)
    shares = torch.where(counts > 0, lost / (2 * counts.clamp_min(1)), 0.5)
    return shares.sum(dim=2).unflatten(1, grid)


def _comparisons(
    output: torch.Tensor, content: torch.Tensor, grid: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how often each place is taken for another one, and the numbers of other places.

    Arguments as for :func:`confusion`.

    Returns:
        Sums over both terms of P, float64 (B, N, 2), and numbers of places, float64 (N, 2); the
        last axis is all places and the near ones.
    """
    own = (output * content).sum(dim=2)
    lost = own.new_zeros(*own.shape, 2, dtype=torch.float64)
    counts = own.new_zeros(own.shape[1], 2, dtype=torch.float64)
    for zones in _zones(grid, own.device):
        members = zones.places
        counts[members, 0] = float(members.shape[1] - 1)
        counts[members, 1] = zones.is_near.sum(dim=2, dtype=torch.float64)
        # One output at a time, because the matrices of one fit into a processor's cache.
        for k in range(len(own)):
            seen = output[k][members]
            right = content[k if len(content) > 1 else 0][members]
            alike = seen @ right.transpose(1, 2)
            mine = own[k][members]
            by_output = _lost(alike, mine[:, :, None])
            by_content = _lost(alike, mine[:, None, :])
            sums = by_output.sum(dim=2) + by_content.sum(dim=1)
            near = by_output.gather(2, zones.near)
            near += by_content.transpose(1, 2).gather(2, zones.near)
            lost[k, members, 0] = sums.double()
            lost[k, members, 1] = near.mul_(zones.is_near).sum(dim=2, dtype=torch.float64)
    return lost, counts


def _lost(other: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return 1 where another place fits better, 0 where the own one does, 1/2 for a tie.

    The last two dimensions are places; a place is not compared with itself, so its entry is 0.
    """
    lost = (other - own).mul_(0.5 / TIE).add_(0.5).clamp_(0.0, 1.0)
    lost.diagonal(dim1=1, dim2=2).zero_()
    return lost


@lru_cache(maxsize=64)
def _zones(grid: tuple[int, int], device: torch.device) -> tuple[_Zones, ...]:
    """Return the zones of a grid with at least two places, those of one size together."""
    height, width = grid
    place = torch.arange(height * width)
    y, x = place // width, place % width
    # One number for the four distances to the edges, none of which exceeds EDGE.
    sides = torch.stack([y, height - 1 - y, x, width - 1 - x]).clamp_max(EDGE)
    zone = (sides * torch.tensor([[1], [10], [100], [1000]])).sum(dim=0)
    by_size: dict[int, list[torch.Tensor]] = {}
    for number in zone.unique():
        members = place[zone == number]
        by_size.setdefault(len(members), []).append(members)
    found = []
    for size, alike in by_size.items():
        if size == 1:
            continue
        members = torch.stack(alike)
        near, is_near = zip(*(_near(y[m], x[m]) for m in members), strict=True)
        found.append(
            _Zones(
                members.to(device), torch.stack(near).to(device), torch.stack(is_near).to(device)
            )
        )
    return tuple(found)


def _near(y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the near places of each place of a zone, and which entries count; each (n, k)."""
    apart = torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs())
    is_near = (apart <= RADIUS) & (apart > 0)
    most = min((2 * RADIUS + 1) ** 2 - 1, len(y))
    counts, found = is_near.float().topk(most, dim=1)
    return found, counts
