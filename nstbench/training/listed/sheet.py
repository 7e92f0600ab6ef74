"""Sample sheets of checkpoints: a few contents in the styles of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from nstbench.contracts import Picture
from nstbench.core.records import Flexibility, ImageRecord
from nstbench.pictures.picture import load_picture, resize, to_pixels, write_png
from nstbench.training.checkpoints import Checkpoint, Library
from nstbench.training.trainable import TrainableMethod

ROWS = 4
_COLUMNS = 6
_GUTTER = 4


def write_sheet(
    path: Path,
    checkpoint: Checkpoint,
    method: TrainableMethod,
    contents: Sequence[ImageRecord],
    styles: Sequence[ImageRecord],
    device: torch.device,
) -> None:
    """Write a PNG file: styles in the first row, contents in the first column, and the outputs.

    The outputs are made from the file of the checkpoint, as in a run.

    Args:
        path: the file to write.
        checkpoint: the checkpoint.
        method: a method with the parameters of the training.
        contents: the contents; at most four are used.
        styles: the styles; see :func:`styles_shown`.
        device: device of the networks.

    Raises:
        WeightsError: if the checkpoint cannot be read.
        StoreError: if the file cannot be written.
    """
    painter = type(method)(method.params)
    painter.library = Library(loaded=(checkpoint,))
    painter.load(device)
    # outputs are as large as in training, where the networks are at their best
    side = checkpoint.card.size
    rows = [load_picture(record, side, "crop", str(device)) for record in contents[:ROWS]]
    columns: list[list[torch.Tensor]] = [[torch.ones(1, 3, side, side), *(r.pixels for r in rows)]]
    for record in styles:
        style = load_picture(record, checkpoint.card.style_size, "inside", str(device))
        painter.prepare(style)
        shown = load_picture(record, side, "crop").pixels
        columns.append([shown, *(_stylised(painter, content) for content in rows)])
    write_png(path, _grid(columns, side))


def styles_shown(
    checkpoint: Checkpoint,
    method: TrainableMethod,
    trained: Sequence[ImageRecord],
    known: Sequence[ImageRecord],
) -> list[ImageRecord]:
    """Return the styles of a sheet.

    Args:
        checkpoint: the checkpoint.
        method: its method.
        trained: the styles of the training.
        known: the styles of the starter dataset.

    Returns:
        All fixed styles of the checkpoint. For a method of any style, six of ``known``. For a
        method of collections, the first picture of each collection, from ``known`` if possible.
    """
    if method.info.flexibility == Flexibility.ARBITRARY:
        count = min(_COLUMNS, len(known))
        return [known[i * len(known) // count] for i in range(count)]
    if method.info.flexibility == Flexibility.DOMAIN:
        first: dict[str, ImageRecord] = {}
        for record in (*known, *trained):
            if checkpoint.has_collection(record.collection):
                first.setdefault(record.collection, record)
        return list(first.values())
    return list(trained)


def _stylised(method: TrainableMethod, content: Picture) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return method.stylize(content, generator=generator, on_step=lambda step: None)


def _grid(columns: Sequence[Sequence[torch.Tensor]], side: int) -> np.ndarray:
    step = side + _GUTTER
    height, width = step * len(columns[0]) - _GUTTER, step * len(columns) - _GUTTER
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            pixels = to_pixels(resize(picture.float().clamp(0, 1), (side, side))[0])
            sheet[y * step :, x * step :][:side, :side] = pixels
    return sheet
