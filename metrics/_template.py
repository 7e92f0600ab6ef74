"""A template: copy this file to ``metrics/<name>.py`` and change what it says.

The stem of the file is the public name, and nothing else has to be edited: the metric
appears in ``nstbench list metrics``, in the conformance tests and on the leaderboard, and
``nstbench score`` applies it to outputs that are already there. Files whose names start
with an underscore are not listed.

There are three kinds. A ``PairMetric`` looks at one output with its content and style. A
``SetMetric`` collects all outputs of a method in sums that merge (see ``fd_vgg16.py``). A
``TimingMetric`` reads a timing record (see ``latency.py``). What two metrics share belongs
into ``nstbench/``; metrics never import from each other.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair

LAYER = "relu3_1"


class MeanActivation(PairMetric):
    """|m(x) - m(s)| with m the mean activation of each channel of VGG-16 relu3_1; a toy.

    Say here what a reader of the number must know: the formula, the layers, the divisor,
    what it depends on, and what it cannot see.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Mean activation",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Author et al., arXiv 0000.00000, eq. 1",
        description="One sentence for the reader of a report.",
        # The scorer computes these once for all metrics. Add gram=True if you only read
        # pair.gram(...), and weights=(...) for files of your own, read in `load`.
        features=(Features("vgg16", (LAYER,), ("output", "style")),),
        # Methods that minimise this very quantity have an advantage, which the board marks.
        home_for=(),
        order=100,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the value under ``""``, and parts under other names, each of shape (B,).

        What depends on content or style alone is worth keeping for the other outputs:
        ``pair.kept("my_metric", ("style",), lambda: ...)``.

        Raise ``nstbench.core.errors.NoValueError`` with a sentence where these pictures have no
        value: it becomes a missing number with that reason. Any other error, too, costs this
        metric's number only, but the next run or score tries again.
        """
        output, style = (
            pair.features("vgg16", of)[LAYER].mean(dim=(2, 3)) for of in ("output", "style")
        )
        return {"": torch.linalg.vector_norm(output - style, dim=1)}
