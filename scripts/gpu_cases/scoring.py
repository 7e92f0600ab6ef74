"""Scoring of many outputs by all metrics, against four usual programs one after another."""

from __future__ import annotations

import os
import shutil
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
RESERVE = 15.0
"""Seconds for writing the pictures."""
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
    usual, why = plain_scores(record)
    each = seconds_of_plain(record, usual, few) if usual else None
    board = score(record, "few", "all")
    if usual:
        _check(board, usual, few[0])
    pairs = record.choose(10, 2)
    some = timed(record, "some", pairs, record.choose(2, 1))
    many = None
    # bars are computed once, so more methods take less than in proportion
    if record.full and 4 * some[0] < record.left() - RESERVE:
        shutil.rmtree(cache_dir() / "pairs", ignore_errors=True)
        many = timed(record, "many", pairs, 10)
    seconds, count, used = many or some
    case = f"Scoring of {count:,} outputs, {side} px"
    note = f"{used} metrics, bars of {pairs**2} pairs included"
    if each is None:
        record.value("scoring", case, seconds, "s", f"{note}; no reference: {why}")
        return

    def compared(key: str, words: str, seconds: float, count: int, note: str = "") -> None:
        record.pairs(
            key, f"Scoring of {count:,} outputs, {side} px{words}", [(seconds, each * count)],
            compared_with=PLAIN, note=note,
        )  # fmt: skip

    compared("scoring", "", seconds, count, f"{note}; reference from {len(few)} outputs")
    if many:
        compared("scoring-some", "", some[0], some[1])
    for key, words, metrics in (
        ("again", ", bars known", "all"),
        ("same", ", similar metrics", SAME),
    ):
        if record.full and record.left() > 2 * seconds:
            name = "many" if many else "some"
            again = seconds_of(lambda n=name, m=metrics: score(record, n, m), record.device)
            compared(f"scoring-{key}", words, again, count)


def timed(record: Recorder, name: str, pairs: int, methods: int) -> tuple[float, int, int]:
    """Write a folder and score it; return the seconds, and the numbers of outputs and metrics."""
    side = record.choose(512, 48)
    files = write_folder(record.folder / name, side, pairs, pairs, methods)
    boards: list[Board] = []
    seconds = seconds_of(lambda: boards.append(score(record, name, "all")), record.device)
    return seconds, len(files), boards[0].scores["metric"].nunique()


def plain_scores(record: Recorder) -> tuple[PlainScores | None, str]:
    """Return the reference, or ``None`` and the reason if one of its packages is missing."""
    try:
        return PlainScores(record.device), ""
    except ImportError as error:
        return None, str(error)


def seconds_of_plain(record: Recorder, usual: PlainScores, trios: Sequence[Trio]) -> float:
    """Return the seconds of the reference per output, after a first one."""

    def score_all() -> None:
        for trio in trios:
            usual(*trio)

    with without_tf32():
        usual(*trios[0])
        return seconds_of(score_all, record.device) / len(trios)


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


def _check(board: Board, usual: PlainScores, trio: Trio) -> None:
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
