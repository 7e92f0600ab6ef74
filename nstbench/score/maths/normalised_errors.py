"""Content and style errors in units of the two trivial answers, on two networks.

Returning the content picture and returning the style picture bound every stylisation.
With s' the style resized to the content's shape and each Gram matrix G divided by its
own number of positions,

    e_content(x) = mean_l |F_l(x) - F_l(c)| / |F_l(s') - F_l(c)|
    e_style(x)   = mean_l |G_l(x) - G_l(s)|_F / |G_l(c) - G_l(s)|_F
    UEF(x)       = sqrt(e_content^2 + e_style^2)

so UEF is 1 for the content picture, 1 for the (resized) style picture, and 0 for the
ideal. Each error is the mean over VGG-16, whose statistics most methods minimise, and
AlexNet, which hardly any method does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from nstbench.contracts import Features, ScoringPair
from nstbench.core.errors import NoValueError
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.feature_distances import (
    squared_distance,
    squared_gram_distance,
    squared_gram_norm,
    squared_norm,
)

CONTENT_LAYERS: Mapping[str, tuple[str, ...]] = {"vgg16": ("relu4_2",), "alexnet": ("conv4",)}
STYLE_LAYERS: Mapping[str, tuple[str, ...]] = {
    "vgg16": GRAM_LAYERS,
    "alexnet": ("conv1", "conv2", "conv3", "conv4", "conv5"),
}

TOLERANCE = 1e-3
"""Least difference between content and style, relative to the larger of the two norms, that
an error is divided by. Below it the two trivial answers are the same answer."""

CONTENT_FEATURES = tuple(
    Features(network, layers, ("output", "content", "style_as_content"))
    for network, layers in CONTENT_LAYERS.items()
)
STYLE_FEATURES = tuple(
    Features(network, layers, ("output", "content", "style"), gram=True)
    for network, layers in STYLE_LAYERS.items()
)


class DegeneratePair(NoValueError):  # noqa: N818  it says what the pair is
    """Content and style share the statistics that an error would be measured by."""


def content_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return e_content of each network and, under ``""``, their mean; float64 (B,).

    Raises:
        DegeneratePair: if the resized style has the content's activations (see ``TOLERANCE``).
    """
    return _over_networks(CONTENT_LAYERS, lambda network: _content_error(pair, network))


def style_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return e_style of each network and, under ``""``, their mean; float64 (B,).

    Raises:
        DegeneratePair: if content and style have the same Gram matrices (see ``TOLERANCE``).
    """
    return _over_networks(STYLE_LAYERS, lambda network: _style_error(pair, network))


def universal_errors(pair: ScoringPair) -> dict[str, torch.Tensor]:
    """Return UEF under ``""``, and of each network alone under its name; float64 (B,).

    Raises:
        DegeneratePair: see :func:`content_errors` and :func:`style_errors`.
    """
    content, style = content_errors(pair), style_errors(pair)
    return {part: torch.hypot(content[part], style[part]) for part in content}


def _over_networks(
    networks: Mapping[str, tuple[str, ...]], error: Callable[[str], torch.Tensor]
) -> dict[str, torch.Tensor]:
    parts = {network: error(network) for network in networks}
    return {"": torch.stack(list(parts.values())).mean(dim=0), **parts}


def _content_error(pair: ScoringPair, network: str) -> torch.Tensor:
    ratios = []
    for layer in CONTENT_LAYERS[network]:
        style, content = (
            squared_norm(pair, network, layer, of) for of in ("style_as_content", "content")
        )
        unit = squared_distance(pair, network, layer, "style_as_content", "content")
        error = squared_distance(pair, network, layer, "output", "content")
        ratios.append(_ratio(pair, error, unit, torch.maximum(style, content)))
    return torch.stack(ratios).mean(dim=0)


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
            f" {TOLERANCE:g} of their features, so there is nothing to measure an error by:"
            " choose another pair"
        )
    return (error / unit).sqrt()
