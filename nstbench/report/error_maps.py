"""Where in a picture its content and style errors arise, on VGG-16.

**Content.** Each place of a grid (8 px at 256 px) gets its own P_all + P_near: how often another
place of the photograph fits it better than the right one, less what the photograph itself confuses
(:mod:`nstbench.score.maths.place_recognition`). Red places are taken for others. A factor makes the
mean of the map e_content.

**Style.** A Gram matrix divided by its N is a mean over positions, G(x) = mean_i f_i f_i^T, so
with D = G(x) - G(s)

    |D|^2 = <D, G(x) - G(s)> = mean_i (f_i^T D f_i - <D, G(s)>) = mean_i a_i

is a mean over positions, too, exactly. The map is the mean over the five layers of
a_i / |G(c) - G(s)|^2, and its mean over the picture is the mean of the layers' *squared* errors,
of which e_style is the mean without the squares. (Divided once more by the error, the map would
have the mean e_style, but not fade where an output reaches the style: local statistics differ
from their mean in every picture.) Where the map is positive, a place adds to the error; where it
is negative, it makes up for others. A style error is one of the whole picture: the map says who
contributes, not what is missing from the spot.

What the maps do not say: AlexNet's half of both errors (means belong to the part ``vgg16``, not
to the value of the metrics); and nothing finer than what a position of the layer sees (76 px at
relu4_1, 3 to 132 px from relu1_1 to relu5_1) although they are drawn at full resolution. Linear
up-sampling would change the mean by some per cent; that is put back, by a factor for content and
by a constant for style.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from nstbench.analysis.load_board import load_board
from nstbench.contracts import Features, Picture, ScoringPair
from nstbench.core.cards import PictureCard
from nstbench.core.errors import NstbenchError
from nstbench.core.records import Role, Status
from nstbench.pictures.picture import read_image, to_tensor, write_png
from nstbench.plan.listener import Listener
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths.normalised_errors import (
    CONTENT_FEATURES,
    STYLE_LAYERS,
    TOLERANCE,
    DegeneratePair,
    content_error_on,
    content_places,
)
from nstbench.score.maths.place_recognition import confusion_map
from nstbench.store.store import MAP_KINDS, map_path

NETWORK = "vgg16"
LIMIT = 2.0
"""Error that is drawn in full colour: twice that of a trivial answer. It is the same for every
picture, so that maps of different methods compare."""

FEATURES = (
    *(need for need in CONTENT_FEATURES if need.network == NETWORK),
    Features(NETWORK, STYLE_LAYERS[NETWORK], ("output",)),
    Features(NETWORK, STYLE_LAYERS[NETWORK], ("content", "style"), gram=True),
)
"""What a pair must be able to answer for (see :class:`nstbench.contracts.Features`)."""

_MOST_OPAQUE = 0.85
_ADDS, _MAKES_UP = (230.0, 60.0, 20.0), (30.0, 100.0, 230.0)


def content_map(pair: ScoringPair) -> torch.Tensor:
    """Return how far each place is from being recognised on VGG-16, float64 (B, H, W), >= 0.

    Its mean is the part ``vgg16`` of ``content_error``.

    Raises:
        DegeneratePair: if content and style are too alike to measure by.
    """
    error = content_error_on(pair, NETWORK)
    (seen, grid), (content, _) = (content_places(pair, NETWORK, of) for of in ("output", "content"))
    # Places that the content itself does not tell apart are no fault of the output.
    lost = confusion_map(seen, content, grid) - confusion_map(content, content, grid)
    drawn = _enlarged(pair, lost.clamp_min(0.0))
    return drawn * (error / drawn.mean(dim=(1, 2)).clamp(min=1e-300))[:, None, None]


def style_map(pair: ScoringPair) -> torch.Tensor:
    """Return each place's part in the squared style error on VGG-16, float64 (B, H, W), signed.

    Its mean is the mean over layers of (|G(x) - G(s)| / |G(c) - G(s)|)^2; the part ``vgg16`` of
    ``style_error`` is the mean over layers without the square.

    Raises:
        DegeneratePair: if content and style are too alike to measure by.
    """
    layers = STYLE_LAYERS[NETWORK]
    return torch.stack([_layer_style_map(pair, layer) for layer in layers]).mean(dim=0)


def _layer_style_map(pair: ScoringPair, layer: str) -> torch.Tensor:
    features = pair.features(NETWORK, "output")[layer].double()
    content, style = (pair.gram(NETWORK, of, layer) for of in ("content", "style"))
    flat = features.flatten(2)
    # The Gram matrix of exactly these numbers, so that the positions add up to it.
    difference = flat @ flat.transpose(1, 2) / flat.shape[2] - style
    squared_unit = _unit(pair, content, style).square()[:, None]
    parts = ((difference @ flat) * flat).sum(dim=1)
    parts = (parts - (difference * style).sum(dim=(1, 2))[:, None]) / squared_unit
    drawn = _enlarged(pair, parts.unflatten(1, features.shape[2:]))
    return drawn + (parts.mean(dim=1) - drawn.mean(dim=(1, 2)))[:, None, None]


def _unit(pair: ScoringPair, trivial: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return |trivial - other|, (B,), where it is large enough to measure by."""
    unit = _norm(trivial - other)
    if bool((unit <= TOLERANCE * torch.maximum(_norm(trivial), _norm(other))).any()):
        raise DegeneratePair(
            f"content {pair.content.name!r} and style {pair.style.name!r} are too alike"
        )
    return unit


def _norm(values: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=torch.float64)


def _enlarged(pair: ScoringPair, values: torch.Tensor) -> torch.Tensor:
    """Scale (B, h, w) to the output's shape, linearly."""
    size = (pair.output.height, pair.output.width)
    return interpolate(values[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


# --- pictures ----------------------------------------------------------------------------


def overlay(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Draw a map over its picture in grey: red adds to the error, blue makes up for it.

    Args:
        values: float (H, W); ``LIMIT`` and more gets the full colour, 0 none.
        pixels: uint8 RGB (H, W, 3).

    Returns:
        uint8 RGB (H, W, 3).
    """
    grey = (pixels.astype(np.float64) @ (0.299, 0.587, 0.114))[..., None]
    opacity = _MOST_OPAQUE * np.clip(np.abs(values) / LIMIT, 0, 1)[..., None]
    colour = np.where(values[..., None] > 0, _ADDS, _MAKES_UP)
    return np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)


def write_maps(root: Path, device: str, listener: Listener | None = None) -> int:
    """Write both maps of every output of a run beside it, and return how many outputs have them.

    Args:
        root: run folder.
        device: torch device of VGG-16.
        listener: receives progress, and the reason where an output has no maps.

    Raises:
        UsageError: if the folder holds no run.
        WeightsError: if VGG-16 is not to be had.
    """
    listener = listener or Listener()
    board = load_board(root)
    cards = {(card.role, card.name): card for card in board.pictures}
    done = board.units[board.units["status"] == Status.DONE]
    bank = FeatureBank(torch.device(device))
    listener.stage("maps", len(done))
    written = 0
    for unit in done.to_dict("records"):
        listener.began(f"{unit['method']} · {unit['content']} × {unit['style']}")
        try:
            _write_unit(root, unit, cards, bank)
            written += 1
        except (NstbenchError, ValueError) as error:
            listener.note(f"no error maps of {unit['output']}: {error}")
        listener.advanced()
    return written


def _write_unit(
    root: Path,
    unit: Mapping[Any, Any],
    cards: Mapping[tuple[str, str], PictureCard],
    bank: FeatureBank,
) -> None:
    pixels = read_image(root / unit["output"])
    content, style = cards[Role.CONTENT, unit["content"]], cards[Role.STYLE, unit["style"]]
    with torch.inference_mode():
        pair = bank.pair(
            Picture(to_tensor(pixels).to(bank.device), "output"),
            _picture(root, content, bank.device),
            _picture(root, style, bank.device),
            FEATURES,
        )
        for kind, values in zip(MAP_KINDS, (content_map(pair), style_map(pair)), strict=True):
            drawn = overlay(values[0].cpu().numpy(), pixels)
            write_png(root / map_path(unit["output"], kind), drawn)


def _picture(root: Path, card: PictureCard, device: torch.device) -> Picture:
    pixels = to_tensor(read_image(root / card.file)).to(device)
    return Picture(pixels, card.name, card.sha256)
