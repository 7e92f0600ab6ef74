"""Plates for etchings: tones, directions of the hatching, and drawn lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label

Course = Callable[[Field, Field], NDArray[np.floating]]


@dataclass
class Plate:
    """The drawing of an etching.

    Attributes:
        dark: tone of each pixel (n, n), 1 for the darkest.
        along: field (n, n) whose level sets are the hatching lines; it grows across the lines,
            by one over the picture.
        labels: uint8 values of :class:`~nstbench.pictures.painter.tools.painting.Label` (n, n).
        lines: image of the drawn lines.
        pen: draws on ``lines``.
    """

    dark: Field
    along: Field
    labels: NDArray[np.uint8]
    lines: Image.Image
    pen: ImageDraw.ImageDraw

    @property
    def side(self) -> int:
        """Side of the plate in drawn pixels."""
        return int(self.dark.shape[0])

    def fill(self, inside: NDArray[np.bool_], dark: NDArray, along: NDArray, label: Label) -> None:
        """Set tone, hatching and label of a region, and erase the lines in it."""
        self.dark[inside] = np.broadcast_to(dark, inside.shape)[inside]
        self.along[inside] = np.broadcast_to(along, inside.shape)[inside]
        self.labels[inside] = label
        wipe = np.asarray(self.lines.resize(inside.shape)) * ~inside
        self.lines.paste(Image.fromarray(wipe.astype(np.uint8)))

    def shape(self, polygon: NDArray, dark: float | Course, along: Course, label: Label) -> None:
        """Fill a polygon (M, 2); tone and hatching are functions of x and y."""
        n = self.side
        corners = np.asarray(polygon)
        low = np.clip((corners.min(axis=0) * n).astype(int) - 1, 0, n - 1)
        high = np.clip((corners.max(axis=0) * n).astype(int) + 2, 1, n)
        if (high <= low).any():
            return
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        stencil = Image.new("L", tuple((high - low).tolist()))
        ImageDraw.Draw(stencil).polygon((corners * n - low).ravel().tolist(), fill=255)
        self.lines.paste(0, tuple(low.tolist()), stencil)
        inside = np.asarray(stencil) > 0
        rows, columns = np.mgrid[window].astype(np.float32)
        x, y = (columns + 0.5) / n, (rows + 0.5) / n
        tone = np.broadcast_to(dark(x, y) if callable(dark) else dark, x.shape)
        self.dark[window][inside] = np.clip(tone, 0, 1)[inside]
        self.along[window][inside] = np.broadcast_to(along(x, y), x.shape)[inside]
        self.labels[window][inside] = label

    def draw(self, points: NDArray, width: float = 0.0026) -> None:
        """Draw one line (M, 2) that is thinner at its ends."""
        at = np.asarray(points, dtype=np.float64) * self.side
        if len(at) < 2:
            return
        tangent = np.gradient(at, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        swell = 0.3 + 0.7 * np.sin(np.pi * np.linspace(0.06, 0.94, len(at)))
        half = (np.maximum(0.5 * width * self.side * swell, 0.45))[:, None]
        side = half * np.stack([-tangent[:, 1], tangent[:, 0]], -1)
        outline = np.concatenate([at + side, (at - side)[::-1]])
        self.pen.polygon(outline.ravel().tolist(), fill=255)
