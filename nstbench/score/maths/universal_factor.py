"""The universal error factor: is an output better than the trivial answers of its pair?

    T(x)      = e_content(x) + e_style(x)
    bar(c, s) = min of T over the trivial answers
    UEF(x)    = T(x) / bar(c, s)

T is 0 for the ideal, and 1 for both copies of pictures of one shape. The trivial answers use no
network: the content itself, Reinhard's colour transfer, and blends with 30, 50 and 70 % of the
style. An output with UEF < 1 beats every one of them on its pair.

Why a sum: for a single metric d, d(x, c) / d(c, s) + d(x, s) / d(c, s) >= 1 for every picture x by
the triangle inequality. A sum below 1 therefore needs content and style to be treated as two
different things. The Euclidean norm of the two is below 1 for every mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from nstbench.contracts import Picture, ScoringPair
from nstbench.core.records import BAR, CONTENT_OF, STYLE_OF
from nstbench.pictures.colour_transfer import transfer_colours
from nstbench.pictures.mixtures import blend, eight_bit
from nstbench.score.maths.normalised_errors import (
    CONTENT_FEATURES,
    STYLE_FEATURES,
    STYLE_LAYERS,
    content_errors,
    style_errors,
)

FEATURES = (*CONTENT_FEATURES, *STYLE_FEATURES)

Answer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

ANSWERS: Mapping[str, Answer] = {
    "colour transfer": transfer_colours,
    "blend 0.3": lambda content, style: blend(content, style, 0.3),
    "blend 0.5": lambda content, style: blend(content, style, 0.5),
    "blend 0.7": lambda content, style: blend(content, style, 0.7),
}
"""Trivial answers beside the content copy, whose errors are 0 and 1 by definition."""

NETWORKS = tuple(STYLE_LAYERS)

HALVES = (CONTENT_OF, STYLE_OF)
"""What the last axis of :func:`answer_errors` holds."""


def answer_errors(pair: ScoringPair) -> torch.Tensor:
    """Return both errors of the trivial answers, computed once per pair.

    The answers are rounded to 8 bits, as saved pictures are. So a trivial method on the board
    that returns one of them has the same errors.

    Returns:
        float64 (B, answers, networks, 2): content and style error on each of ``NETWORKS``, the
        content copy first and then ``ANSWERS`` in their order.

    Raises:
        DegeneratePair: see :mod:`nstbench.score.maths.normalised_errors`.
    """
    return pair.kept(
        "errors of trivial answers", ("content", "style"), lambda: _answers(pair), NETWORKS
    )


def _answers(pair: ScoringPair) -> torch.Tensor:
    found = []
    for name, answer in ANSWERS.items():
        pixels = eight_bit(answer(pair.content.pixels, pair.style.pixels))
        errors = _errors(pair.with_output(Picture(pixels, name), FEATURES))
        found.append(errors)
    copy = torch.zeros_like(found[0])
    copy[..., 1] = 1.0
    return torch.stack([copy, *found], dim=1)


def _errors(pair: ScoringPair) -> torch.Tensor:
    """Return both errors of the output, float64 (B, networks, 2)."""
    halves = [content_errors(pair), style_errors(pair)]
    return torch.stack(
        [torch.stack([half[network] for half in halves], dim=1) for network in NETWORKS], dim=1
    )


def total_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return T under ``""``, and of each network under its name; float64 (B,).

    Raises:
        DegeneratePair: see :mod:`nstbench.score.maths.normalised_errors`.
    """
    content, style = content_errors(pair), style_errors(pair)
    return {part: content[part] + style[part] for part in content}


def universal_factors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return UEF, its parts and the errors of the trivial answers; float64 (B,) each.

    Returns:
        ``""`` the factor; ``vgg16`` and ``alexnet`` that of one network, with the bar of the same
        network; ``bar`` the pair's bar; ``content of A`` and ``style of A`` the errors of each
        trivial answer A but the content copy.

    Raises:
        DegeneratePair: see :mod:`nstbench.score.maths.normalised_errors`.
    """
    total, answers = total_errors(pair), answer_errors(pair)
    sums = answers.sum(dim=3)
    bars = {"": sums.mean(dim=2).amin(dim=1)}
    bars |= {network: sums[:, :, k].amin(dim=1) for k, network in enumerate(NETWORKS)}
    parts = {part: total[part] / bars[part] for part in bars}
    parts[BAR] = bars[""]
    halves = answers.mean(dim=2)
    for k, name in enumerate(ANSWERS, start=1):
        parts |= {half + name: halves[:, k, h] for h, half in enumerate(HALVES)}
    return parts
