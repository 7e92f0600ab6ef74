"""Positions of the tiles of a mosaic: first in rows along contours, then in the gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

# Points of a tile, in units of its sides, at which an overlap with other tiles is tested.
_PROBE_U, _PROBE_V = (g.ravel() for g in np.meshgrid(*[np.linspace(-0.46, 0.46, 7)] * 2))


@dataclass(frozen=True, eq=False, slots=True)
class Tiles:
    """Positions and sizes of N tiles, in picture units.

    Attributes:
        at: middle of each tile (N, 2).
        turn: direction of its row in radians (N,).
        along: length in the direction of the row (N,).
        across: length across the row (N,).
    """

    at: NDArray[np.float32]
    turn: NDArray[np.float32]
    along: NDArray[np.float32]
    across: NDArray[np.float32]


def lay_tiles(
    rng: np.random.Generator,
    region: NDArray[np.integer],
    sizes: Sequence[tuple[NDArray[np.bool_], float]],
) -> Tiles:
    """Place tiles in rows parallel to the contours (opus vermiculatum).

    Args:
        rng: source of randomness.
        region: a number per region (n, n); rows follow the borders between regions.
        sizes: pairs of an area (n, n) and the side of its tiles in picture units, in the
            order of placing.
    """
    n = region.shape[0]
    edge = np.zeros(region.shape, dtype=bool)
    edge[:, 1:] |= region[:, 1:] != region[:, :-1]
    edge[1:] |= region[1:] != region[:-1]
    far = ndimage.distance_transform_edt(~edge).astype(np.float32) / n
    far = ndimage.gaussian_filter(far, 0.7)
    taken = np.zeros_like(edge)
    found: list[tuple[float, float, float, float, float]] = []
    for where, tile in sizes:
        masked = np.where(where, far, 0.0)
        for level in np.arange(0.42, 30) * tile:
            rows = find_contours(masked, level)
            if not rows:
                break
            for row in rows:
                _place_row(rng, row[:, ::-1] / n, tile, taken, found)
        _fill_gaps(rng, taken, where, tile, found)
    table = np.array(found, dtype=np.float32)
    return Tiles(table[:, :2], table[:, 2], table[:, 3], table[:, 4])


def _place_row(
    rng: np.random.Generator, row: NDArray, tile: float, taken: NDArray[np.bool_], found: list
) -> None:
    steps = np.hypot(*np.diff(row, axis=0).T)
    where = np.concatenate([[0.0], np.cumsum(steps)])
    total = where[-1]
    count = round(total / (1.06 * tile))
    if count < 1:
        return
    at = (np.arange(count) + rng.uniform(0, 1)) / count * total
    reach = 0.5 * tile
    for s in at:
        ends = [[np.interp(s + d, where, row[:, c]) for c in (0, 1)] for d in (-reach, 0.0, reach)]
        before, middle, after = np.array(ends)
        turn = np.arctan2(after[1] - before[1], after[0] - before[0])
        _try_tile(taken, found, middle, turn, total / count, tile, 0.3)


def _try_tile(
    taken: NDArray[np.bool_],
    found: list,
    middle: NDArray,
    turn: float,
    along: float,
    across: float,
    tolerance: float,
) -> None:
    """Add a tile, unless other tiles cover more than the share ``tolerance`` of its area."""
    n = taken.shape[0]
    c, s = np.cos(turn) * n, np.sin(turn) * n
    columns = (middle[0] * n + (c * along) * _PROBE_U - (s * across) * _PROBE_V).astype(np.intp)
    rows = (middle[1] * n + (s * along) * _PROBE_U + (c * across) * _PROBE_V).astype(np.intp)
    columns = np.minimum(np.maximum(columns, 0), n - 1)
    rows = np.minimum(np.maximum(rows, 0), n - 1)
    if taken[rows, columns].mean() > tolerance:
        return
    taken[rows, columns] = True
    found.append((middle[0], middle[1], turn, along, across))


def _fill_gaps(
    rng: np.random.Generator,
    taken: NDArray[np.bool_],
    where: NDArray[np.bool_],
    tile: float,
    found: list,
) -> None:
    """Fill the gaps between the rows with small tiles."""
    n = taken.shape[0]
    for part, tolerance in ((0.8, 0.25), (0.55, 0.3), (0.4, 0.35)):
        room = ndimage.distance_transform_edt(~taken) / n
        rows, columns = np.nonzero((room > 0.3 * part * tile) & where)
        order = np.argsort(-room[rows, columns], kind="stable")
        for k in order[::3]:
            middle = (np.array([columns[k], rows[k]]) + 0.5) / n
            side = part * tile
            if not taken[rows[k], columns[k]]:
                _try_tile(taken, found, middle, rng.uniform(0, np.pi), side, side, tolerance)
