"""Content and style errors in units of the two trivial answers, on two networks.

The content picture and the style picture, returned as outputs, are the two trivial answers. With
s' the style resized to the content's shape, Q the confusion of places
(:mod:`nstbench.score.maths.place_recognition`) and each Gram matrix G divided by its own
number of positions,

    e_content(x) = (Q(x, c) - Q(c, c)) / (Q(s', c) - Q(c, c))
    e_style(x)   = mean_l |G_l(x) - G_l(s)|_F / |G_l(c) - G_l(s)|_F

so e_content is 0 for the content picture and 1 for the resized style picture, and e_style is the
reverse. Q(c, c) is 0 unless the content has equal places. Each error is the mean over VGG-16,
whose statistics most methods minimise, and AlexNet, whose statistics hardly any method minimises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from nstbench.contracts import Features, ScoringPair
from nstbench.core.errors import NoValueError
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.feature_distances import squared_gram_distance, squared_gram_norm
from nstbench.score.maths.place_recognition import confusion, places

CONTENT_LAYERS: Mapping[str, str] = {"vgg16": "relu4_1", "alexnet": "relu4"}
STYLE_LAYERS: Mapping[str, tuple[str, ...]] = {
    "vgg16": GRAM_LAYERS,
    "alexnet": ("conv1", "conv2", "conv3", "conv4", "conv5"),
}

CONTENT_SIDE = 256
"""Short side in pixels of the pictures whose places are compared: grids of 32 and 15 places."""

LEAST_CONFUSION = 0.5
"""Least Q(s', c) - Q(c, c) that a content error is divided by; unrelated pictures have about 1."""

TOLERANCE = 1e-3
"""Least difference of the Gram matrices of content and style, relative to the larger of their
norms, that a style error is divided by."""

CONTENT_FEATURES = tuple(
    Features(network, (layer,), ("output", "content", "style_as_content"), side=CONTENT_SIDE)
    for network, layer in CONTENT_LAYERS.items()
)
STYLE_FEATURES = tuple(
    Features(network, layers, ("output", "content", "style"), gram=True)
    for network, layers in STYLE_LAYERS.items()
)


class DegeneratePair(NoValueError):  # noqa: N818  it says what the pair is
    """Content and style have the same statistics, so the unit of an error is 0."""


def content_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return e_content of each network and, under ``""``, their mean; float64 (B,), >= 0.

    Raises:
        DegeneratePair: if the resized style is confused with the content too seldom, or the
            content has too many equal places (see ``LEAST_CONFUSION``).
    """
    return over_networks(CONTENT_LAYERS, lambda network: content_error_on(pair, network))


def style_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return e_style of each network and, under ``""``, their mean; float64 (B,).

    Raises:
        DegeneratePair: if content and style have the same Gram matrices (see ``TOLERANCE``).
    """
    return over_networks(STYLE_LAYERS, lambda network: _style_error(pair, network))


def over_networks(
    networks: Sequence[str] | Mapping[str, object], error: Callable[[str], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the error of each network under its name, and their mean under ``""``."""
    parts = {network: error(network) for network in networks}
    return {"": torch.stack(list(parts.values())).mean(dim=0), **parts}


def content_places(
    pair: ScoringPair, network: str, of: str
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the unit vectors of a picture's places, (B, N, C), and the shape of their grid."""
    features = pair.features(network, of, CONTENT_SIDE)[CONTENT_LAYERS[network]]
    grid = (features.shape[2], features.shape[3])
    if of == "output":
        return places(features), grid
    # ``make`` must not use the features above: they may be repeated for each output.
    return pair.kept(
        f"places {network} {of}",
        ("content", "style") if of == "style_as_content" else (of,),
        lambda: places(pair.features(network, of, CONTENT_SIDE)[CONTENT_LAYERS[network]]),
    ), grid


def content_unit(pair: ScoringPair, network: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Q(c, c) and Q(s', c) - Q(c, c), each float64 (B,).

    Raises:
        DegeneratePair: if the difference is below ``LEAST_CONFUSION``.
    """
    own = pair.kept(
        f"confusion {network}", ("content",), lambda: _confusion(pair, network, "content")
    )
    of_style = pair.kept(
        f"confusion {network} style",
        ("content", "style"),
        lambda: _confusion(pair, network, "style_as_content"),
    )
    unit = of_style - own
    if bool((unit < LEAST_CONFUSION).any()):
        raise DegeneratePair(
            f"style {pair.style.name!r} is laid out like content {pair.content.name!r}, or the"
            f" content has too many equal places: {network} takes {float(unit.min()):.2f} more"
            f" of the style's places for another one than of the content's, and content errors"
            f" need {LEAST_CONFUSION:g}; choose another pair"
        )
    return own, unit


def content_error_on(pair: ScoringPair, network: str) -> torch.Tensor:
    """Return e_content on one network, float64 (B,); see :func:`content_errors`."""
    own, unit = content_unit(pair, network)
    confused = pair.kept(
        f"confusion {network}", ("output", "content"), lambda: _confusion(pair, network, "output")
    )
    # an output with fewer confusions than the content itself would have a negative error
    return ((confused - own) / unit).clamp_min(0.0)


def _confusion(pair: ScoringPair, network: str, of: str) -> torch.Tensor:
    (seen, grid), (content, _) = (content_places(pair, network, o) for o in (of, "content"))
    return confusion(seen, content, grid)


def _style_error(pair: ScoringPair, network: str) -> torch.Tensor:
    ratios = []
    for layer in STYLE_LAYERS[network]:
        content, style = (
            squared_gram_norm(pair, network, layer, of) for of in ("content", "style")
        )
        unit = squared_gram_distance(pair, network, layer, "content", "style")
        error = squared_gram_distance(pair, network, layer, "output", "style")
        ratios.append(_ratio(pair, error, unit, torch.maximum(content, style)))
    return torch.stack(ratios).mean(dim=0)


def _ratio(
    pair: ScoringPair, error: torch.Tensor, unit: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Return the root of error / unit; all three are squares, float64 (B or 1,)."""
    if bool((unit <= TOLERANCE**2 * scale).any()):
        raise DegeneratePair(
            f"content {pair.content.name!r} and style {pair.style.name!r} differ by less than"
            f" {TOLERANCE:g} of their statistics, so there is nothing to measure an error by:"
            " choose another pair"
        )
    return (error / unit).sqrt()
