"""Scoring of many outputs by all metrics, against four usual programs one after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from measure import seconds_of, without_tf32
from picture_folder import PATTERN, write_folder
from plain_scores import PlainScores

from gpu_cases.rows import Recorder
from nstbench.core.board import Board
from nstbench.core.paths import cache_dir
from nstbench.pipeline.score_outputs import Request, score_outputs

PLAIN = "lpips (2), torchmetrics' SSIM, torchvision's VGG-16"
SAME = "lpips_alex,lpips_vgg,ssim,content_loss,style_loss"
"""Metrics that are closest to those of the four programs."""
SHARE = 0.5
"""Share of the time left for the measurement that counts."""
Trio = tuple[Path, Path, Path]


def run(record: Recorder) -> None:
    """Measure and record."""
    with record.attempt("scoring"):
        _private_cache(record.folder)
        measure(record)


def measure(record: Recorder) -> None:
    """Compare the seconds of all outputs.

    Raises:
        ValueError: if both have different values of a metric.
    """
    side = record.choose(512, 48)
    few = write_folder(record.folder / "few", side, 2, record.choose(5, 2))
    usual = PlainScores(record.device)

    def plain(trios: Sequence[Trio]) -> None:
        with without_tf32():
            for trio in trios:
                usual(*trio)

    plain(few[:2])
    each = seconds_of(lambda: plain(few), record.device) / len(few)
    _check(record, score(record, "few", "all"), usual, few[0])
    # a second time, in other pairs, as a sample of the speed
    sample = write_folder(record.folder / "sample", side, 3, record.choose(5, 2))
    rate = seconds_of(lambda: score(record, "sample", "all"), record.device) / len(sample)
    pairs = 10 if record.full else 2
    most = SHARE * record.left() / (rate * pairs**2)
    methods = max(1, min(10, int(most))) if record.full else 1
    files = write_folder(record.folder / "many", side, pairs, pairs, methods)
    boards: list[Board] = []
    case = f"Scoring of {len(files):,} outputs, {side} px"
    whole = each * len(files)
    note = f"reference from {len(few)} outputs"
    ours = seconds_of(lambda: boards.append(score(record, "many", "all")), record.device)
    used = boards[-1].scores["metric"].nunique()
    record.pairs(
        "scoring", case, [(ours, whole)], compared_with=PLAIN,
        note=f"{note}; {used} metrics, bars of {pairs**2} pairs included",
    )  # fmt: skip
    for key, title, metrics in (("again", "bars known", "all"), ("same", "similar metrics", SAME)):
        if record.left() > 2 * ours:
            again = seconds_of(lambda m=metrics: score(record, "many", m), record.device)
            record.pairs(
                f"scoring-{key}", f"{case}, {title}", [(again, whole)], compared_with=PLAIN
            )


def score(record: Recorder, name: str, metrics: str) -> Board:
    """Score a folder into a new run."""
    root = record.folder / name
    count = len(list(record.folder.glob("scored*")))
    request = Request(
        patterns=(str(root / PATTERN),),
        names=(),
        contents=str(root / "contents"),
        styles=str(root / "styles"),
        out=record.folder / f"scored{count}",
        metrics=metrics,
        device=str(record.device),
        # the page belongs to the report
        formats=("csv",),
    )
    return score_outputs(request)


def _check(record: Recorder, board: Board, usual: PlainScores, trio: Trio) -> None:
    scores = board.scores
    first = scores[(scores["content"] == "0") & (scores["style"] == "0") & (scores["part"] == "")]
    ours = first.set_index("metric")["value"]
    with without_tf32():
        theirs = usual(*trio)
    for name in ("lpips_alex", "lpips_vgg"):
        if not abs(ours[name] - theirs[name]) < 1e-3:
            raise ValueError(f"{name} is {ours[name]:.5f}, and {theirs[name]:.5f} by lpips")


def _private_cache(folder: Path) -> None:
    """Use a cache with the weights, but without bars of earlier runs."""
    cache = folder / "cache"
    cache.mkdir()
    weights = cache_dir() / "weights"
    if weights.is_dir():
        (cache / "weights").symlink_to(weights.resolve())
    os.environ["NSTBENCH_CACHE"] = str(cache)
