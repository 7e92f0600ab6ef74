"""Score one folder again and again, by the nstbench of a given source tree.

This file runs as a program of its own, so that two versions can be timed in turns:

    python scoring_rounds.py TREE PICTURES OUT METRICS

TREE is a checkout; PICTURES has the folders ``contents``, ``styles`` and ``outputs/METHOD``;
METRICS are names separated by commas. For each line on its input the program scores PICTURES into
a new folder in OUT, and prints the seconds of all of it, those of the stage that scores, and the
number of outputs with a factor. The cache folder ``NSTBENCH_CACHE`` must be a private one: its bars
are removed before each round.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any


def modules() -> tuple[Any, Any]:
    """Return the modules that import pictures and that score them; both moved after 3f5388b."""
    try:
        from nstbench.pipeline import score_outputs as importer
        from nstbench.score import stage
    except ImportError:
        from nstbench import external as importer
        from nstbench import score_stage as stage
    return importer, stage


def main(tree: Path, pictures: Path, out: Path, metrics: str) -> None:
    """Answer each line of the input with the durations and the count."""
    sys.path.insert(0, str(tree))
    importer, stage = modules()
    assert Path(importer.__file__).is_relative_to(tree), importer.__file__
    spent: list[float] = []
    run = stage.ScoreStage.run

    def timed(self: Any, listener: Any) -> Any:
        start = time.perf_counter()
        try:
            return run(self, listener)
        finally:
            spent.append(time.perf_counter() - start)

    stage.ScoreStage.run = timed
    for count, _ in enumerate(sys.stdin):
        # bars of an earlier round would cost nothing
        shutil.rmtree(Path(os.environ["NSTBENCH_CACHE"]) / "pairs", ignore_errors=True)
        request = importer.Request(
            patterns=(str(pictures / "outputs/{method}/{content}__{style}.png"),),
            names=(),
            contents=str(pictures / "contents"),
            styles=str(pictures / "styles"),
            out=out / str(count),
            metrics=metrics,
            pairs="found",
            device="cpu",
            formats=("csv",),
        )
        start = time.perf_counter()
        scores = importer.score_outputs(request).scores
        seconds = time.perf_counter() - start
        factors = ((scores["metric"] == "uef") & (scores["part"] == "")).sum()
        print(seconds, spent[-1], factors, flush=True)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:4]), sys.argv[4])
