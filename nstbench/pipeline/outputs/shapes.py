"""Compare the size of an output with that of its content.

Many programs pad or crop a content to a multiple of 4, 8 or 16 pixels. Such outputs are used: they
are cut to the content if the surplus is constant padding, else the content is resized to them. An
output with other proportions is refused, with the value of ``--fit`` that describes it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from nstbench.pictures.likeness import edge_correlation
from nstbench.pictures.picture import PROPORTION_TOLERANCE, Fit

Size = tuple[int, int]
"""Height and width in pixels."""

NEAR_PIXELS = 16
NEAR_SHARE = 0.03
# Of a small picture, 16 pixels are a third. In outputs of another scale than the content, such a
# difference is not padding.
_NEAR_SCALED = 0.1
# Levels of 255 by which the values of constant padding may differ after JPEG compression.
_CONSTANT = 8
_FRAME = 4
_CLEARLY = 0.1
_CORRELATED = 0.2
# A picture that contains the content itself has a correlation near 1 there.
_SAME = 0.5
_PART = 0.7

ASSUMED = {
    "inside": "the whole content in its own proportions",
    "crop": "the middle of the content, cut to the proportions of the output",
    "stretch": "the whole content, resized to the shape of the output",
}
"""Value of ``--fit`` -> what an output shows."""


def is_near(one: Size, other: Size) -> bool:
    """Return whether two sizes differ by at most 16 pixels a side, or 3 % of the side.

    Example:
        >>> is_near((80, 116), (75, 112)), is_near((96, 96), (75, 112))
        (True, False)
    """
    return all(
        abs(a - b) <= max(NEAR_PIXELS, NEAR_SHARE * b) for a, b in zip(one, other, strict=True)
    )


def has_proportions(shape: Size, content: Size) -> bool:
    """Return whether a shape has the proportions of a content, apart from rounding."""
    stretch = (shape[1] / shape[0]) / (content[1] / content[0])
    # a difference of one pixel is rounding, also in a small picture
    return abs(stretch - 1) <= max(PROPORTION_TOLERANCE, 1 / min(shape))


def without_padding(pixels: np.ndarray, content: Size) -> np.ndarray | None:
    """Return an output cut to its content, or ``None`` if its surplus is not constant padding.

    Args:
        pixels: uint8 RGB (H, W, 3).
        content: size of the content; the output may have another scale.
    """
    shape = pixels.shape[0], pixels.shape[1]
    top, bottom = _constant(pixels)
    left, right = _constant(pixels.transpose(1, 0, 2))
    cut = shape[0] - top - bottom, shape[1] - left - right
    if cut == shape or min(cut) < 1 or not is_near(shape, cut):
        return None
    same_scale = cut == content
    other_scale = not has_proportions(shape, content) and has_proportions(cut, content)
    if not same_scale and not other_scale:
        return None
    return np.ascontiguousarray(pixels[top : shape[0] - bottom, left : shape[1] - right])


def without_frame(pixels: np.ndarray, content: np.ndarray) -> np.ndarray | None:
    """Return an output without its black frame, or ``None`` if it has none.

    Early versions of torchvision's ``save_image`` put 2 black pixels around a single picture. A
    frame has the same width on all sides, at most 4 pixels, and is not in the content.

    Args:
        pixels: the output, uint8 RGB (H, W, 3).
        content: the content, uint8 RGB (H, W, 3), at any scale.
    """
    widths = {*_constant(pixels), *_constant(pixels.transpose(1, 0, 2))}
    width = widths.pop()
    if widths or not 1 <= width <= _FRAME or pixels[:width].max() > _CONSTANT:
        return None
    if max(*_constant(content), *_constant(content.transpose(1, 0, 2))) > 0:
        return None
    return np.ascontiguousarray(pixels[width:-width, width:-width])


def _constant(pixels: np.ndarray) -> tuple[int, int]:
    """Return the number of constant rows at the beginning and at the end."""
    limit = max(NEAR_PIXELS, round(NEAR_SHARE * len(pixels)))
    counts = []
    for rows in (pixels, pixels[::-1]):
        first = rows[0].astype(np.int16)
        count = 0
        for row in rows[: limit + 1]:
            if np.ptp(first, axis=0).max() > _CONSTANT:
                break
            if np.abs(row.astype(np.int16) - np.median(first, axis=0)).max() > _CONSTANT:
                break
            count += 1
        counts.append(count)
    return counts[0], counts[1]


def is_whole(pixels: np.ndarray, content: np.ndarray) -> bool:
    """Return whether an output shows the whole content with a small difference in proportions.

    Its size must be near that of the content, or near its shape at the scale of the output. The
    edges must not show that the program cut out the middle.
    """
    shape = pixels.shape[0], pixels.shape[1]
    own = content.shape[0], content.shape[1]
    scale = max(shape) / max(own)
    scaled = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
    near = is_near(shape, own) or all(
        abs(a - b) <= max(NEAR_SHARE * b, min(NEAR_PIXELS, _NEAR_SCALED * b))
        for a, b in zip(shape, scaled, strict=True)
    )
    return near and best_fit(content, pixels)[0] != "crop"


def as_fit(content: np.ndarray, shape: Size, fit: str) -> np.ndarray:
    """Return a content as an output of a shape shows it, without a border for ``"inside"``."""
    height, width = content.shape[:2]
    stretch = (shape[1] / shape[0]) / (width / height)
    left = top = 0.0
    target = shape[1], shape[0]
    if fit == "crop":
        left = max(0.0, width * (1 - stretch) / 2)
        top = max(0.0, height * (1 - 1 / stretch) / 2)
    elif fit == "inside":
        scale = min(shape[0] / height, shape[1] / width)
        target = max(1, round(width * scale)), max(1, round(height * scale))
    box = (left, top, width - left, height - top)
    return np.array(Image.fromarray(content).resize(target, Image.Resampling.LANCZOS, box=box))


def best_fit(content: np.ndarray, output: np.ndarray) -> tuple[Fit | None, dict[Fit, float]]:
    """Return the value of ``--fit`` that the edges of an output show, and all correlations.

    The value is ``None`` if no correlation is clearly higher than the others.
    """
    shape = output.shape[0], output.shape[1]
    found: dict[Fit, float] = {}
    words: tuple[Fit, ...] = ("inside", "crop", "stretch")
    for word in words:
        shown = as_fit(content, shape, word)
        top, left = (shape[0] - shown.shape[0]) // 2, (shape[1] - shown.shape[1]) // 2
        part = output[top : top + shown.shape[0], left : left + shown.shape[1]]
        found[word] = edge_correlation(shown, part)
    best, second = sorted(found, key=lambda word: found[word], reverse=True)[:2]
    clear = found[best] >= _CORRELATED and found[best] - found[second] >= _CLEARLY
    return (best if clear else None), found


def fits_better(content: np.ndarray, one: np.ndarray, other: np.ndarray, fit: str) -> bool:
    """Return whether the edges of one picture fit the content clearly better than another's."""
    scores = [
        edge_correlation(as_fit(content, (p.shape[0], p.shape[1]), fit), np.ascontiguousarray(p))
        for p in (one, other)
    ]
    return scores[0] >= _CORRELATED and scores[0] - scores[1] >= _CLEARLY


def is_grid(output: np.ndarray, content: np.ndarray) -> bool:
    """Return whether a picture begins with the content and continues with other pictures."""
    top, bottom = _constant(output)
    left, right = _constant(output.transpose(1, 0, 2))
    output = output[top : len(output) - bottom, left : output.shape[1] - right]
    height, width = output.shape[:2]
    stretch = content.shape[1] / content.shape[0]
    part = output[: round(width / stretch), : round(height * stretch)]
    shape = part.shape[0], part.shape[1]
    if min(shape) < 1 or shape[0] * shape[1] > _PART * height * width:
        return False
    part = np.ascontiguousarray(part)
    return edge_correlation(as_fit(content, shape, "stretch"), part) >= _SAME


def refusal(file: str, output: np.ndarray, name: str, content: np.ndarray) -> str:
    """Return the reason why an output is refused, with the values of ``--fit``.

    The value that the edges show comes first, because a terminal shortens long notes.
    """
    shapes = (
        f"{file} is {output.shape[1]} x {output.shape[0]} px, which are not the proportions of the "
        f"content {name} ({content.shape[1]} x {content.shape[0]} px)"
    )
    if is_grid(output, content):
        return (
            f"{shapes}: it shows the content and other pictures side by side. Cut the output out "
            "of it, or save the output alone"
        )
    best, found = best_fit(content, output)
    fits = ""
    if best is not None:
        values = ", ".join(f"{word} {value:.2f}" for word, value in found.items() if word != best)
        fix = "cut the border off the outputs" if best == "inside" else f"use --fit {best}"
        fits = f": {fix}, which fits the edges best (correlation {found[best]:.2f}; {values})"
    return (
        f"{shapes}{fits}. --fit inside, the default, assumes that an output shows "
        f"{ASSUMED['inside']}; --fit crop {ASSUMED['crop']}; --fit stretch {ASSUMED['stretch']}"
    )


def doubt(fit: str, file: str, output: np.ndarray, content: np.ndarray) -> str:
    """Return a note if the edges of an output contradict ``--fit``, or an empty string."""
    shape = output.shape[0], output.shape[1]
    if has_proportions(shape, (content.shape[0], content.shape[1])):
        return ""
    best, found = best_fit(content, output)
    if best is None or best == fit or fit not in found:
        return ""
    return (
        f"--fit {fit} assumes that outputs show {ASSUMED[fit]}. The edges of {file} fit {best} "
        f"better (correlation {found[best]:.2f}, and {found[fit]:.2f} for {fit}): {ASSUMED[best]}."
    )
