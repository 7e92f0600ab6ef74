"""Contact sheets: all pictures of a dataset as labelled thumbnails in one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nstbench.core.records import ImageRecord
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import fit

_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(records: Sequence[ImageRecord], thumb: int = 192) -> np.ndarray:
    """Draw a grid of thumbnails: the whole picture, with its name below.

    Args:
        records: at least one picture.
        thumb: longer side of a thumbnail in pixels, at least 16.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        ImageError: if a picture cannot be read.
        ValueError: if there are no records.
    """
    if not records:
        raise ValueError("a contact sheet needs at least one picture")
    margin = max(4, thumb // 16)
    font = ImageFont.load_default(max(9, thumb // 14))
    label = math.ceil(font.getbbox("Ajgy|")[3]) + margin // 2
    columns = math.ceil(math.sqrt(len(records)))
    rows = math.ceil(len(records) / columns)
    cell_width, cell_height = thumb + margin, thumb + label + margin
    sheet = Image.new("RGB", (columns * cell_width + margin, rows * cell_height + margin), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, record in enumerate(records):
        left = margin + number % columns * cell_width
        top = margin + number // columns * cell_height
        picture = Image.fromarray(fit(read_image(record.path), thumb, "inside"))
        sheet.paste(
            picture, (left + (thumb - picture.width) // 2, top + (thumb - picture.height) // 2)
        )
        text = _shorten(record.name, font, thumb)
        width = font.getlength(text)
        draw.text((left + (thumb - width) / 2, top + thumb + 2), text, fill=_INK, font=font)
    return np.array(sheet)


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
