"""Panels of flat shapes with relief: gesso, enamel, thick paint."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools.colour import Colours
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label


class Panel:
    """Colour, height and label of every pixel; later shapes cover earlier ones.

    Args:
        side: side of the panel in drawn pixels.
        ground: colour of every pixel before anything is drawn (side, side, 3).
    """

    def __init__(self, side: int, ground: Colours) -> None:
        self.side = side
        self._colour = Image.fromarray(np.round(np.clip(ground, 0, 1) * 255).astype(np.uint8))
        self._height = Image.new("L", (side, side), 60)
        self._label = Image.new("L", (side, side), int(Label.SKY))
        self._colours = ImageDraw.Draw(self._colour)
        self._heights = ImageDraw.Draw(self._height)
        self._labels = ImageDraw.Draw(self._label)
        self.label = Label.SKY

    def shape(self, points: ArrayLike, colour: Colours, height: int = 120) -> None:
        """Draw a polygon (M, 2); ``height`` in 0..255 is its height in the relief."""
        flat = (np.asarray(points, dtype=np.float64) * self.side).ravel().tolist()
        tint = tuple(int(c) for c in np.round(np.clip(colour, 0, 1) * 255))
        self._colours.polygon(flat, fill=tint)
        self._heights.polygon(flat, fill=height)
        self._labels.polygon(flat, fill=int(self.label))

    def disc(self, at: ArrayLike, radius: float, colour: Colours, height: int = 140) -> None:
        """Draw a disc."""
        turn = np.linspace(0, 2 * np.pi, 10 if radius * self.side < 6 else 30)
        ring = np.asarray(at) + radius * np.stack([np.cos(turn), np.sin(turn)], -1)
        self.shape(ring, colour, height)

    def ribbon(
        self, spine: NDArray, half: NDArray | float, colour: Colours, height: int = 160
    ) -> None:
        """Draw a band with the half-width ``half`` along a line (M, 2)."""
        tangent = np.gradient(spine, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
        thick = np.broadcast_to(half, len(spine))[:, None] * normal
        left, right = spine + thick, spine - thick
        # The outline of a tight spiral intersects itself, so the band is drawn in short pieces.
        for k in range(0, len(spine) - 1, 4):
            end = min(k + 5, len(spine))
            self.shape(np.concatenate([left[k:end], right[k:end][::-1]]), colour, height)

    def arrays(self) -> tuple[Colours, Field, NDArray[np.uint8]]:
        """Return colours (n, n, 3), heights (n, n) in [0, 1] and labels (n, n)."""
        colour = np.asarray(self._colour, dtype=np.float32) / 255
        height = np.asarray(self._height, dtype=np.float32) / 255
        return colour, height, np.asarray(self._label)
