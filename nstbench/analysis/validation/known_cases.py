"""Pictures that are known to be worse than a published stylisation.

Each case is an output with the content and the style to score it against. Tests:

* ``trivial``: 22 trivial answers to a pair (T1);
* ``content`` and ``style``: the output against another content or style of the folder (T2);
* ``damage``: the output damaged in seven ways, each of two strengths (T3).

Pixels are uint8 RGB (H, W, 3) throughout, as saved outputs are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures import degradations as damage
from nstbench.pictures.picture import to_pixels, to_tensor

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]

REAL, TRIVIAL, DAMAGE = "real", "trivial", "damage"
OTHER_CONTENT, OTHER_STYLE = "content", "style"

BLENDS = (0.1, 0.3, 0.5, 0.7, 0.9)
DISTRACTORS = 4
"""Other contents, and other styles, that each output is scored against."""

DAMAGES: Mapping[str, tuple[Callable[[Pixels, float], Pixels], tuple[float, float]]] = {
    "blur": (damage.blurred, (1.5, 3.0)),
    "noise": (damage.noisy, (0.08, 0.16)),
    "jpeg": (damage.compressed, (20, 6)),
    "pixelate": (damage.pixelated, (4, 8)),
    "fade": (damage.faded, (0.5, 1.0)),
    "shuffle": (damage.shuffled, (0.2, 0.4)),
    "hole": (damage.holed, (64, 128)),
}
"""Kind of damage -> what does it, and its two strengths."""


@dataclass(frozen=True, eq=False, slots=True)
class Output:
    """A published output: its method, its pair and its pixels."""

    method: str
    content: str
    style: str
    pixels: Pixels


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """An output to score against a content and a style.

    Attributes:
        test: one of ``REAL``, ``TRIVIAL``, ``OTHER_CONTENT``, ``OTHER_STYLE``, ``DAMAGE``.
        method: folder of the output; empty for trivial answers.
        content: name of the content of the pair.
        style: name of the style of the pair.
        other: name of the trivial answer, of the other content or style, or of the damage.
        strength: 1 or 2 for damage, else 0.
        pixels: the picture to score.
    """

    test: str
    method: str
    content: str
    style: str
    other: str
    strength: int
    pixels: Pixels

    @property
    def scored_against(self) -> tuple[str, str]:
        """Names of the content and style that the picture is scored against."""
        content = self.other if self.test == OTHER_CONTENT else self.content
        style = self.other if self.test == OTHER_STYLE else self.style
        return content, style


def cases(
    contents: Mapping[str, Pixels],
    styles: Mapping[str, Pixels],
    outputs: list[Output],
    damaged: int,
) -> Iterator[Case]:
    """Yield all cases of a folder of outputs, those of one pair together.

    Args:
        contents: name -> pixels.
        styles: name -> pixels.
        outputs: the published outputs.
        damaged: how many outputs are damaged, spread over the list.
    """
    pairs = dict.fromkeys((output.content, output.style) for output in outputs)
    chosen = set(np.linspace(0, len(outputs) - 1, min(damaged, len(outputs))).round().astype(int))
    for content, style in pairs:
        for name, pixels in trivial_answers(contents[content], styles[style]).items():
            yield Case(TRIVIAL, "", content, style, name, 0, pixels)
        for place, output in enumerate(outputs):
            if (output.content, output.style) == (content, style):
                yield from _of_output(output, contents, styles, place in chosen)


def _of_output(
    output: Output,
    contents: Mapping[str, Pixels],
    styles: Mapping[str, Pixels],
    damaged: bool,
) -> Iterator[Case]:
    case = partial(Case, method=output.method, content=output.content, style=output.style)
    yield case(test=REAL, other="", strength=0, pixels=output.pixels)
    for test, names, own in (
        (OTHER_CONTENT, contents, output.content),
        (OTHER_STYLE, styles, output.style),
    ):
        for other in distractors(list(names), own):
            yield case(test=test, other=other, strength=0, pixels=output.pixels)
    for kind, (change, strengths) in DAMAGES.items() if damaged else ():
        for strength, amount in enumerate(strengths, start=1):
            pixels = change(output.pixels, amount)
            yield case(test=DAMAGE, other=kind, strength=strength, pixels=pixels)


def distractors(names: list[str], own: str) -> list[str]:
    """Return up to ``DISTRACTORS`` other names, evenly spread over those after ``own``."""
    place = names.index(own)
    others = names[place + 1 :] + names[:place]
    steps = np.linspace(0, len(others) - 1, min(DISTRACTORS, len(others))).round().astype(int)
    return [others[step] for step in steps]


def trivial_answers(content: Pixels, style: Pixels) -> dict[str, Pixels]:
    """Return the 22 trivial answers: name -> pixels in the content's shape."""
    from nstbench.pictures import colour_transfer, mixtures
    from nstbench.pictures.picture import resize

    c, s = to_tensor(content), to_tensor(style)
    s = resize(s, (content.shape[0], content.shape[1]))
    recoloured = colour_transfer.transfer_colours(c, s)
    low = mixtures.blurred(c, mixtures.DETAIL * min(content.shape[:2]) / mixtures.REFERENCE_SIDE)
    made: dict[str, torch.Tensor] = {"content copy": c, "style copy": s}
    made |= {f"blend {share:g}": mixtures.blend(c, s, share) for share in BLENDS}
    made |= {
        "reinhard": recoloured,
        "histogram matching": colour_transfer.match_histograms(c, s),
        "reinhard, blend 0.3": mixtures.blend(recoloured, s, 0.3),
        "overlay": mixtures.overlay(c, s),
        "reinhard, overlay": mixtures.overlay(recoloured, s),
        "hybrid": (low + mixtures.details(s)).clamp(0, 1),
        "half and half": mixtures.half_and_half(c, s),
        "checkerboard": mixtures.checkerboard(c, s),
    }
    answers = {name: to_pixels(pixels) for name, pixels in made.items()}
    answers["quilt"] = _quilt(answers["style copy"])
    for name in ("content", "style"):
        copy = answers[f"{name} copy"]
        answers |= {
            f"{name}, blur": damage.blurred(copy, 3),
            f"{name}, noise": damage.noisy(copy, 0.1),
            f"{name}, jpeg": damage.compressed(copy, 10),
        }
    return answers


def _quilt(style: Pixels) -> Pixels:
    """Return squares of 32 px at 256 px, cut from random places of the style."""
    side = max(1, round(damage.scaled(style, 32)))
    generator = np.random.default_rng(0)
    result = np.empty_like(style)
    height, width = style.shape[:2]
    for top in range(0, height, side):
        for left in range(0, width, side):
            y, x = generator.integers(0, (height - side + 1, width - side + 1))
            rows, columns = min(side, height - top), min(side, width - left)
            piece = style[y : y + rows, x : x + columns]
            result[top : top + rows, left : left + columns] = piece
    return result
