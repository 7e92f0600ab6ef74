"""Draw one picture with the outputs of all methods of a run: a row per method, a column per pair.

Usage: ``python docs/outputs_sheet.py runs/starter docs/images/outputs.webp``. The first two rows
are the contents and the styles. A cell without an output stays white.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from nstbench.api import load_run
from nstbench.core.board import Board
from nstbench.pictures.decode import read_image

CELL, GAP, LABELS = 112, 3, 150
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def rows_of(board: Board) -> dict[str, dict[str, Path]]:
    """Return the pictures of each row by style: contents, styles, then methods in board order.

    Baselines are left out. Each style must have one content, as in the starter suite.
    """
    done = board.units[board.units["status"] == "done"]
    pairs = dict(zip(done["style"], done["content"], strict=True))
    paths = {(each.role, each.name): board.root / each.file for each in board.pictures}
    rows = {
        "content": {style: paths["content", content] for style, content in pairs.items()},
        "style": {style: paths["style", style] for style in pairs},
    }
    baselines = {label for label, card in board.methods.items() if card.family == "baseline"}
    for method in board.leaderboard["method"]:
        units = done[done["method"] == method]
        if method not in baselines and len(units):
            rows[method] = {
                style: board.root / output
                for style, output in zip(units["style"], units["output"], strict=True)
            }
    return rows


def draw(rows: Mapping[str, Mapping[str, Path]]) -> Image.Image:
    """Return the sheet: RGB, a cell of 112 px per picture."""
    styles = list(rows["style"])
    font = ImageFont.load_default(11)
    size = (LABELS + len(styles) * (CELL + GAP), 16 + len(rows) * (CELL + GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, style in enumerate(styles):
        pen.text((LABELS + column * (CELL + GAP) + 2, 1), style[:18], fill=_INK, font=font)
    for row, (label, pictures) in enumerate(rows.items()):
        top = 16 + row * (CELL + GAP)
        pen.text((2, top + CELL // 2 - 8), label.replace(":", ":\n"), fill=_INK, font=font)
        for column, style in enumerate(styles):
            if style in pictures:
                picture = Image.fromarray(np.asarray(read_image(pictures[style])))
                cell = ImageOps.fit(picture, (CELL, CELL), Image.Resampling.LANCZOS)
                sheet.paste(cell, (LABELS + column * (CELL + GAP), top))
    return sheet


def main() -> None:
    """Take the run folder and the file from the command line, and write the sheet."""
    draw(rows_of(load_run(sys.argv[1]))).save(sys.argv[2], quality=78, method=6)


if __name__ == "__main__":
    main()
