"""Do the metrics tell published stylisations from trivial, mismatched and damaged pictures?

Folder layout (pictures of any shape and format):

    DIR/contents/<content>.jpg
    DIR/styles/<style>.jpg
    DIR/outputs/<method>/<content>__<style>.jpg

A run folder is read, too: its outputs, without those of trivial methods.

The tests need no labels, because three answers are known: a stylisation is better than a blend of
its two pictures, it fits its own content and style better than others, and damage makes it worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nstbench.analysis.load_board import load_board
from nstbench.analysis.validation.case_ratings import rate_cases
from nstbench.analysis.validation.known_cases import Case, Output, Pixels, cases
from nstbench.analysis.validation.programs import program_noise, read_methods
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError
from nstbench.core.records import Flexibility, Role, Scope
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
SIDE = 256
"""Side in pixels to which published outputs are cropped by default."""

RUN_FILE = "run.json"
"""File by which a folder is a run."""


@dataclass(frozen=True, eq=False, slots=True)
class Published:
    """A folder of published outputs.

    Attributes:
        contents: name -> pixels.
        styles: name -> pixels.
        outputs: the outputs.
        methods: folder of outputs -> method, where several programs are one method
            (:func:`nstbench.analysis.validation.programs.read_methods`).
        side: side of all pictures in pixels.
    """

    contents: Mapping[str, Pixels]
    styles: Mapping[str, Pixels]
    outputs: list[Output]
    methods: Mapping[str, str]
    side: int


@dataclass(frozen=True, eq=False, slots=True)
class Ratings:
    """What :func:`validate_published` returns.

    Attributes:
        known: ratings on known cases
            (:func:`nstbench.analysis.validation.case_ratings.rate_cases`).
        programs: distances of programs of one method and of different methods
            (:func:`nstbench.analysis.validation.programs.program_noise`).
    """

    known: pd.DataFrame
    programs: pd.DataFrame


def read_published(folder: Path, size: int | None = None, option: str = "--published") -> Published:
    """Read a folder of outputs or a run; every picture is cropped to its middle square.

    Args:
        folder: see this module.
        size: side of the squares in pixels; by default 256, or the size of the run.
        option: the option that named the folder, for messages.

    Raises:
        UsageError: if the folder does not have that layout, or an output names a content or style
            that is missing.
        ImageError: if a picture cannot be read.
    """
    if (folder / RUN_FILE).is_file():
        return _read_run(folder, size, option)
    size = size or SIDE
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
    methods = read_methods(folder, {output.method for output in outputs}, option)
    return Published(contents, styles, outputs, methods, size)


def _read_run(root: Path, size: int | None, option: str) -> Published:
    """Read the outputs of a run at its largest size, of the first seed, without trivial methods."""
    board = load_board(root)
    units = board.units[board.units["output"] != ""]
    baselines = {
        label for label, card in board.methods.items() if card.flexibility == Flexibility.BASELINE
    }
    units = units[~units["method"].isin(baselines)]
    if units.empty:
        raise UsageError(
            f"{option}: the run {printable(root)} has no output of a method that is not trivial. "
            "Name a run with outputs."
        )
    units = units[units["size"] == units["size"].max()]
    units = units.sort_values("seed").drop_duplicates(["method", "content", "style"])
    side = size or int(units["size"].iloc[0])
    pictures = {
        role: {
            card.name: fit(read_image(root / card.file), side, "crop")
            for card in board.pictures
            if card.role == role and card.name in set(units[role])
        }
        for role in (Role.CONTENT, Role.STYLE)
    }
    outputs = [
        Output(
            u["method"], u["content"], u["style"], fit(read_image(root / u["output"]), side, "crop")
        )
        for u in units.sort_index().to_dict("records")
    ]
    return Published(pictures[Role.CONTENT], pictures[Role.STYLE], outputs, {}, side)


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
    published: Published,
    cards: Mapping[str, MetricCard],
    device: str,
    listener: Listener,
    damaged: int = 20,
) -> Ratings:
    """Return the ratings of all metrics on published outputs; see :func:`score_published`."""
    scores = score_published(published, cards, device, listener, damaged)
    return Ratings(rate_cases(scores, cards), program_noise(scores, cards, published.methods))


def _pictures(folder: Path, size: int, option: str) -> dict[str, Pixels]:
    if not folder.is_dir():
        raise UsageError(
            f"{option}: {printable(folder)} is not a folder. The folder of outputs needs the "
            "folders contents, styles and outputs."
        )
    return {
        shown_name(path.stem): fit(read_image(path), size, "crop") for path in picture_files(folder)
    }
