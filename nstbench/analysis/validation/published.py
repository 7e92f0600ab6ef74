"""Do the metrics tell published stylisations from trivial, mismatched and damaged pictures?

Folder layout (pictures of any shape and format):

    DIR/contents/<content>.jpg
    DIR/styles/<style>.jpg
    DIR/outputs/<method>/<content>__<style>.jpg

The tests need no labels, because three answers are known: a stylisation is better than a blend of
its two pictures, it fits its own content and style better than others, and damage makes it worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nstbench.analysis.validation.case_ratings import rate_cases
from nstbench.analysis.validation.known_cases import Case, Output, Pixels, cases
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError
from nstbench.core.records import Scope
from nstbench.core.text import printable, shown_name
from nstbench.pictures.decode import PICTURE_SUFFIXES, read_image
from nstbench.pictures.folder_files import is_visible, picture_files
from nstbench.pictures.picture import fit
from nstbench.plan.listener import Listener

if TYPE_CHECKING:
    from nstbench.score.scorer import Scorer

CASE_COLUMNS = ["test", "method", "content", "style", "other", "strength", "metric", "part",
                "value"]  # fmt: skip
SEPARATOR = "__"


@dataclass(frozen=True, eq=False, slots=True)
class Published:
    """A folder of published outputs: contents and styles by name, and the outputs."""

    contents: Mapping[str, Pixels]
    styles: Mapping[str, Pixels]
    outputs: list[Output]


def read_published(folder: Path, size: int, option: str = "--published") -> Published:
    """Read a folder of outputs; every picture is cropped to its middle square.

    Args:
        folder: see this module.
        size: side of the squares in pixels.
        option: the option that named the folder, for messages.

    Raises:
        UsageError: if the folder does not have that layout, or an output names a content or style
            that is missing.
        ImageError: if a picture cannot be read.
    """
    contents, styles = (_pictures(folder / name, size, option) for name in ("contents", "styles"))
    outputs = []
    for path in sorted((folder / "outputs").glob("*/*")):
        if path.suffix.lower() not in PICTURE_SUFFIXES or not is_visible(path.name):
            continue
        content, found, style = shown_name(path.stem).partition(SEPARATOR)
        if not found or content not in contents or style not in styles:
            raise UsageError(
                f"{option}: {printable(path)} is not an output of a content and a style of the "
                f"folder. Name outputs <content>{SEPARATOR}<style>, as the files in contents and "
                "styles are called."
            )
        pixels = fit(read_image(path), size, "crop")
        outputs.append(Output(path.parent.name, content, style, pixels))
    if not outputs:
        raise UsageError(
            f"{option}: {printable(folder)} holds no outputs. Put them into "
            f"outputs/<method>/<content>{SEPARATOR}<style>.png."
        )
    return Published(contents, styles, outputs)


def score_published(
    published: Published,
    cards: Mapping[str, MetricCard],
    device: str,
    listener: Listener,
    damaged: int = 20,
) -> pd.DataFrame:
    """Score all known cases of a folder with every available pair metric.

    Args:
        published: the outputs.
        cards: metric name -> card.
        device: torch device of the networks.
        listener: receives progress, and the reason where a metric has no value.
        damaged: number of outputs that are damaged for T3.

    Returns:
        Columns ``CASE_COLUMNS``.
    """
    found = list(cases(published.contents, published.styles, published.outputs, damaged))
    return score_cases(found, published, cards, device, listener)


def score_cases(
    found: list[Case],
    published: Published,
    cards: Mapping[str, MetricCard],
    device: str,
    listener: Listener,
) -> pd.DataFrame:
    """Score cases with every usable pair metric; see :func:`score_published`."""
    import torch

    from nstbench.plugins import registry
    from nstbench.score.scorer import Scorer

    usable = [n for n, c in cards.items() if c.scope == Scope.PAIR and c.availability.ok]
    scorer = Scorer(
        {name: registry.load("metrics", name)() for name in usable}, torch.device(device)
    )
    listener.stage("published", len(found))
    rows: list[dict[str, Any]] = []
    problems: dict[str, str] = {}
    for case in found:
        rows += _rows(scorer, case, published, problems)
        listener.advanced()
    scorer.bank.clear()
    for metric, reason in problems.items():
        listener.note(f"{metric} has no value on some pictures: {reason}")
    return pd.DataFrame(rows, columns=CASE_COLUMNS)


def _rows(
    scorer: Scorer, case: Case, published: Published, problems: dict[str, str]
) -> list[dict[str, Any]]:
    from nstbench.analysis.validation.validate import picture

    content, style = case.scored_against
    records = scorer.score_pair(
        picture(case.pixels, "output", scorer.device),
        picture(published.contents[content], content, scorer.device),
        picture(published.styles[style], style, scorer.device),
    )
    place = {
        "test": case.test, "method": case.method, "content": case.content, "style": case.style,
        "other": case.other, "strength": case.strength,
    }  # fmt: skip
    rows = []
    for metric, record in records.items():
        if "error" in record:
            problems[metric] = record["error"]
            continue
        values = record["values"].items()
        rows += [
            {**place, "metric": metric, "part": part, "value": value} for part, value in values
        ]
    return rows


def validate_published(
    folder: Path,
    cards: Mapping[str, MetricCard],
    size: int,
    device: str,
    listener: Listener,
    damaged: int = 20,
) -> pd.DataFrame:
    """Return the ratings of all metrics on a folder; see :func:`rate_cases`.

    Raises:
        UsageError: see :func:`read_published`.
        ImageError: if a picture cannot be read.
    """
    published = read_published(folder, size)
    return rate_cases(score_published(published, cards, device, listener, damaged), cards)


def _pictures(folder: Path, size: int, option: str) -> dict[str, Pixels]:
    if not folder.is_dir():
        raise UsageError(
            f"{option}: {printable(folder)} is not a folder. The folder of outputs needs the "
            "folders contents, styles and outputs."
        )
    return {
        shown_name(path.stem): fit(read_image(path), size, "crop") for path in picture_files(folder)
    }
