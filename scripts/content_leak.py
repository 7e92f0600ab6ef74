"""How much content does a method lose when its output is stylised again and again?

    python scripts/content_leak.py adain_2017 wct_2017 --rounds 20

stylises a photograph, then the result, and so on, always with the same style, and prints content
error, style error and their sum T after chosen rounds, against the original photograph. A method
without content leak (Jie An et al., "ArtFlow", CVPR 2021, section 4.4) keeps the content error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
import typer

from nstbench.contracts import ImageRecord, Method, Picture, Role
from nstbench.core.errors import NstbenchError
from nstbench.pictures.mixtures import eight_bit
from nstbench.pictures.picture import load_picture
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry
from nstbench.score.scorer import Scorer

METRICS = ("content_error", "style_error", "total_error")
SHOWN = (1, 2, 5, 10, 20, 50)
"""Rounds that get a row, beside the last one."""

Errors = dict[str, float]


def rounds(method: Method, content: Picture, style: Picture, count: int) -> Iterator[torch.Tensor]:
    """Yield the output of each round, with the values of a saved picture.

    Args:
        method: a loaded method.
        content: the photograph, (1, 3, H, W).
        style: the style of every round.
        count: number of rounds.
    """
    method.prepare(style)
    current = content
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        output = method.stylize(current, generator=generator, on_step=lambda *_: None)
        current = Picture(eight_bit(output.detach()), f"round {number + 1}")
        yield current.pixels


def main(
    methods: Annotated[list[str], typer.Argument(help="Methods of the registry.")],
    contents: Annotated[str, typer.Option(help="Dataset or folder of contents.")] = "starter",
    styles: Annotated[str, typer.Option(help="Dataset or folder of styles.")] = "starter",
    limit: Annotated[int, typer.Option(min=1, help="First N contents and styles.")] = 2,
    number: Annotated[int, typer.Option("--rounds", min=2, help="Times to stylise.")] = 20,
    size: Annotated[int, typer.Option(min=64, help="Side of the pictures in pixels.")] = 256,
) -> None:
    """Print a Markdown table: mean errors over the pairs after each chosen round."""
    device = torch.device("cpu")
    pictures = {
        role: [load_picture(image, size, "crop") for image in _images(dataset, role)[:limit]]
        for dataset, role in ((contents, Role.CONTENT), (styles, Role.STYLE))
    }
    scorer = Scorer({name: registry.load("metrics", name)() for name in METRICS}, device)
    shown = sorted({n for n in SHOWN if n < number} | {number})
    print("| method | round | pairs | content error | style error | T | T less round 1 |")  # noqa: T201
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")  # noqa: T201
    for name in methods:
        found: dict[int, list[Errors]] = {n: [] for n in shown}
        cls = registry.load("methods", name)
        method = cls(cls.Params())
        method.load(device)
        for content in pictures[Role.CONTENT]:
            for style in pictures[Role.STYLE]:
                _follow(method, content, style, scorer, found)
        first = _mean(found[shown[0]], "total_error")
        for n in shown:
            means = [_mean(found[n], metric) for metric in METRICS]
            cells = [*(f"{value:.3f}" for value in means), f"{means[-1] - first:+.3f}"]
            print(f"| `{name}` | {n} | {len(found[n])} | " + " | ".join(cells) + " |")  # noqa: T201


def _follow(
    method: Method,
    content: Picture,
    style: Picture,
    scorer: Scorer,
    found: dict[int, list[Errors]],
) -> None:
    """Score the rounds of one pair that ``found`` asks for."""
    for n, pixels in enumerate(rounds(method, content, style, max(found)), start=1):
        if n in found:
            records = scorer.score_pair(Picture(pixels, "output"), content, style)
            errors = [record["error"] for record in records.values() if "error" in record]
            if errors:
                raise typer.BadParameter(errors[0])
            found[n].append({name: records[name]["values"][""] for name in METRICS})


def _mean(errors: list[Errors], metric: str) -> float:
    return sum(error[metric] for error in errors) / len(errors)


def _images(dataset: str, role: Role) -> list[ImageRecord]:
    return list(open_dataset(dataset, f"--{role}s").load(role).images)


if __name__ == "__main__":
    try:
        typer.run(main)
    except NstbenchError as error:
        raise SystemExit(str(error)) from None
