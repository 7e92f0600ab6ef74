"""How much content does a method lose when its output is stylised again and again?

    python scripts/content_leak.py adain_2017 wct_2017 --pairs 6 --rounds 10 --out leak.csv

stylises a photograph, then the result, and so on, always with the same style, and prints content
error, style error and their sum T after chosen rounds, against the original photograph. A method
without content leak (Jie An et al., "ArtFlow", CVPR 2021, section 4.4) keeps the content error.

Every pair has a style of its own, so the interval of the rise of T is one over styles. With
``--out``, finished rounds are kept in a CSV file and a folder of pictures, and the same command
continues after an interrupt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from nstbench.analysis.stats import interval
from nstbench.contracts import ImageRecord, Method, Picture, Role
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.pictures.decode import read_image
from nstbench.pictures.mixtures import eight_bit
from nstbench.pictures.picture import load_picture, to_pixels, to_tensor, write_png
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry
from nstbench.score.scorer import Scorer

METRICS = ("content_error", "style_error", "total_error")
PAIR = ["method", "content", "style", "size"]
COLUMNS = [*PAIR, "round", *METRICS]
SHOWN = (1, 2, 5, 10, 20, 50)
"""Rounds that get a row, beside the last one."""


def rounds(
    method: Method, content: Picture, style: Picture, last: int, done: int = 0
) -> Iterator[torch.Tensor]:
    """Yield the output of each round, with the values of a saved picture.

    Args:
        method: a loaded method.
        content: the photograph, or the output of round ``done``, (1, 3, H, W).
        style: the style of every round.
        last: number of the last round.
        done: number of rounds that ``content`` has been through.
    """
    method.prepare(style)
    current = content
    for number in range(done, last):
        generator = torch.Generator().manual_seed(number)
        output = method.stylize(current, generator=generator, on_step=lambda *_: None)
        current = Picture(eight_bit(output.detach()), f"round {number + 1}")
        yield current.pixels


def main(
    methods: Annotated[list[str], typer.Argument(help="Methods of the registry.")],
    contents: Annotated[str, typer.Option(help="Dataset or folder of contents.")] = "starter",
    styles: Annotated[str, typer.Option(help="Dataset or folder of styles.")] = "starter",
    pairs: Annotated[
        int, typer.Option(min=1, help="First N styles, each with one of the contents in turn.")
    ] = 6,
    number: Annotated[int, typer.Option("--rounds", min=2, help="Times to stylise.")] = 10,
    size: Annotated[int, typer.Option(min=64, help="Side of the pictures in pixels.")] = 256,
    out: Annotated[Path | None, typer.Option(help="CSV file that keeps finished rounds.")] = None,
) -> None:
    """Print a Markdown table: mean errors over the pairs after each chosen round."""
    device = torch.device("cpu")
    shown = sorted({n for n in SHOWN if n < number} | {number})
    table = _read(out)
    photographs, paintings = _images(contents, Role.CONTENT), _images(styles, Role.STYLE)[:pairs]
    scorer = Scorer({name: registry.load("metrics", name)() for name in METRICS}, device)
    for name in methods:
        cls = registry.load("methods", name)
        method = cls(cls.Params())
        method.load(device)
        for place, painting in enumerate(paintings):
            photograph = photographs[place % len(photographs)]
            key = (name, photograph.name, painting.name, size)
            known = table.loc[_mask(table, key), "round"]
            if set(shown) <= set(known):
                continue
            content, style = (load_picture(p, size, "crop") for p in (photograph, painting))
            done, current = _kept(out, key, {n for n in known if n < number}, content)
            outputs = rounds(method, current, style, number, done)
            for n, pixels in enumerate(outputs, start=done + 1):
                if n not in shown:
                    continue
                row = pd.DataFrame([(*key, n, *_errors(pixels, content, style, scorer))])
                row.columns = pd.Index(COLUMNS)
                kept = table[~(_mask(table, key) & (table["round"] == n))]
                table = pd.concat([kept, row], ignore_index=True) if len(kept) else row
                if out is not None:
                    write_png(_picture_of(out, key, n), to_pixels(pixels))
                    table.to_csv(out, index=False)
    styles_used = {image.name for image in paintings}
    wanted = table["style"].isin(styles_used) & (table["size"] == size)
    for line in report(table[wanted & table["round"].isin(shown)], methods):
        print(line)  # noqa: T201


def report(table: pd.DataFrame, methods: list[str]) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        table: ``COLUMNS``; every pair has its own style.
        methods: the methods to show, in order.
    """
    lines = [
        "| method | pairs | round | content error | style error | T | T less round 1 |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for name in methods:
        mine = table[table["method"] == name]
        wide = mine.pivot_table(index="round", columns=["content", "style"], values="total_error")
        rises = (wide - wide.iloc[0]).to_numpy(dtype=np.float64)
        low, high = interval(rises, seed=0, resamples=2000)
        means = mine.groupby("round")[list(METRICS)].mean()
        for place, (n, errors) in enumerate(means.iterrows()):
            rise = ""
            if place:
                rise = f"{rises[place].mean():+.3f}"
                if np.isfinite(low[place]):  # a single style has no interval
                    rise += f" [{low[place]:+.3f}, {high[place]:+.3f}]"
            cells = [f"{value:.3f}" for value in errors]
            lines.append(f"| `{name}` | {wide.shape[1]} | {n} | {' | '.join(cells)} | {rise} |")
    return lines


def _errors(pixels: torch.Tensor, content: Picture, style: Picture, scorer: Scorer) -> list[float]:
    """Return the errors of one output."""
    records = scorer.score_pair(Picture(pixels, "output"), content, style)
    errors = [record["error"] for record in records.values() if "error" in record]
    if errors:
        raise UsageError(f"{content.name} and {style.name}: {errors[0]}. Use other pictures.")
    return [records[name]["values"][""] for name in METRICS]


def _picture_of(out: Path, key: tuple[str, str, str, int], n: int) -> Path:
    """Return the file of the output of a round."""
    return out.with_suffix("") / f"{'-'.join(map(str, key))}-{n}.png"


def _kept(
    out: Path | None, key: tuple[str, str, str, int], known: set[int], content: Picture
) -> tuple[int, Picture]:
    """Return the last round that an earlier call kept, with its output; 0 and the content if none.

    Args:
        out: the CSV file; its pictures are next to it.
        key: method, content, style and size.
        known: rounds of the pair in the file that may be continued.
        content: the photograph.
    """
    for n in sorted(known, reverse=True):
        if out is not None and _picture_of(out, key, n).is_file():
            return n, Picture(to_tensor(read_image(_picture_of(out, key, n))), f"round {n}")
    return 0, content


def _mask(table: pd.DataFrame, key: tuple[object, ...]) -> pd.Series:
    """Return True for the rows of one pair of one method."""
    return (table[PAIR].astype(str) == [str(part) for part in key]).all(axis=1)


def _read(out: Path | None) -> pd.DataFrame:
    """Return the finished pairs of an earlier call."""
    if out is None or not out.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(out)
    if list(table.columns) != COLUMNS:
        raise UsageError(f"--out: {out} was not written by this script. Name another file.")
    return table


def _images(dataset: str, role: Role) -> list[ImageRecord]:
    return list(open_dataset(dataset, f"--{role}s").load(role).images)


if __name__ == "__main__":
    try:
        typer.run(main)
    except NstbenchError as error:
        raise SystemExit(str(error)) from None
