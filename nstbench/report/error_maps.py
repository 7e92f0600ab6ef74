"""Maps of the content and style errors over a picture, on VGG-16.

**Content.** Each place of a grid (8 px at 256 px) gets its own P_all + P_near: how often another
place of the photograph fits it better than the right one, less what the photograph itself confuses
(:mod:`nstbench.score.maths.place_recognition`). Red places are taken for others. A factor makes the
mean of the map e_content.

**Style.** A Gram matrix divided by its N is a mean over positions, G(x) = mean_i f_i f_i^T, so
with D = G(x) - G(s)

    |D|^2 = <D, G(x) - G(s)> = mean_i (f_i^T D f_i - <D, G(s)>) = mean_i a_i

is also a mean over positions, exactly. The map is the mean over the five layers of
a_i / |G(c) - G(s)|^2. Its mean over the picture is the mean of the layers' *squared* errors,
whereas e_style is the mean of the errors. (Divided by the error once more, the map would have
the mean e_style. But it would not approach 0 for an output that reaches the style, because local
statistics differ from their mean in every picture.) A positive value adds to the error, a
negative value offsets other positions. The style error belongs to the whole picture: the map
shows how much each position contributes, not what is missing there.

Limits: the maps omit AlexNet's half of both errors, so the means are those of the part
``vgg16``, not of the metric. They are drawn at full resolution, but their real resolution is
the receptive field of a layer (76 px at relu4_1, 3 to 132 px from relu1_1 to relu5_1). Linear
up-sampling changes the mean by a few per cent; a factor (content) or a constant (style)
corrects it.
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
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import to_tensor, write_png
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
"""Error that is drawn in full colour: twice the error of a trivial output.

It is the same for every picture, so that the maps of different methods can be compared.
"""

FEATURES = (
    *(need for need in CONTENT_FEATURES if need.network == NETWORK),
    Features(NETWORK, STYLE_LAYERS[NETWORK], ("output",)),
    Features(NETWORK, STYLE_LAYERS[NETWORK], ("content", "style"), gram=True),
)
"""Features that the maps read from a pair (see :class:`nstbench.contracts.Features`)."""

_MAX_OPACITY = 0.85
_ADDS, _OFFSETS = (230.0, 60.0, 20.0), (30.0, 100.0, 230.0)


def content_map(pair: ScoringPair) -> torch.Tensor:
    """Return how far each place is from being recognised on VGG-16, float64 (B, H, W), >= 0.

    Its mean is the part ``vgg16`` of ``content_error``.

    Raises:
        DegeneratePair: if content and style are too similar for a normalised error.
    """
    error = content_error_on(pair, NETWORK)
    (seen, grid), (content, _) = (content_places(pair, NETWORK, of) for of in ("output", "content"))
    # Places that the content itself does not tell apart are no fault of the output.
    lost = confusion_map(seen, content, grid) - confusion_map(content, content, grid)
    drawn = _enlarged(pair, lost.clamp_min(0.0))
    return drawn * (error / drawn.mean(dim=(1, 2)).clamp(min=1e-300))[:, None, None]


def style_map(pair: ScoringPair) -> torch.Tensor:
    """Return the squared style error on VGG-16 by position, float64 (B, H, W), with sign.

    Its mean is the mean over layers of (|G(x) - G(s)| / |G(c) - G(s)|)^2; the part ``vgg16`` of
    ``style_error`` is the mean over layers without the square.

    Raises:
        DegeneratePair: if content and style are too similar for a normalised error.
    """
    layers = STYLE_LAYERS[NETWORK]
    return torch.stack([_layer_style_map(pair, layer) for layer in layers]).mean(dim=0)


def _layer_style_map(pair: ScoringPair, layer: str) -> torch.Tensor:
    features = pair.features(NETWORK, "output")[layer].double()
    content, style = (pair.gram(NETWORK, of, layer) for of in ("content", "style"))
    flat = features.flatten(2)
    # from these numbers, not from the cache, so that the positions add up exactly
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
    """Return (B, h, w) values interpolated linearly to the height and width of the output."""
    size = (pair.output.height, pair.output.width)
    return interpolate(values[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


# --- pictures ----------------------------------------------------------------------------


def overlay(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return a map drawn over its picture in grey: red adds to the error, blue offsets it.

    Args:
        values: float (H, W); 0 has no colour, ``LIMIT`` and more has full colour.
        pixels: uint8 RGB (H, W, 3).

    Returns:
        uint8 RGB (H, W, 3).
    """
    grey = (pixels.astype(np.float64) @ (0.299, 0.587, 0.114))[..., None]
    opacity = _MAX_OPACITY * np.clip(np.abs(values) / LIMIT, 0, 1)[..., None]
    colour = np.where(values[..., None] > 0, _ADDS, _OFFSETS)
    return np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)


def write_maps(root: Path, device: str, listener: Listener | None = None) -> int:
    """Write both maps of every output of a run, and return the number of outputs with maps.

    Args:
        root: run folder.
        device: torch device of VGG-16.
        listener: receives progress, and the reason if an output has no maps.

    Raises:
        UsageError: if the folder is not a run folder.
        WeightsError: if the weights of VGG-16 are not available.
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
