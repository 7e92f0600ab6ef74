"""A template: copy this file to ``metrics/<name>.py`` and edit it.

The stem of the file is the public name. No other file has to be edited: the metric appears in
``nstbench list metrics``, in the conformance tests and on the leaderboard, and ``nstbench score``
applies it to existing outputs. Files whose names start with an underscore are not listed.
Check the metric with ``nstbench conformance <name>``.

There are three kinds. A ``PairMetric`` scores one output with its content and style. A
``SetMetric`` collects all outputs of a method in sums that can be merged (see ``fd_vgg16.py``). A
``TimingMetric`` reads a timing record (see ``latency.py``). Code that two metrics share belongs
in ``nstbench/score/maths/``; metrics never import from each other.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair

LAYER = "relu3_1"


class MeanActivation(PairMetric):
    """|m(x) - m(s)| with m the mean activation of each channel of VGG-16 relu3_1; an example.

    State here what a reader of the number must know: the formula, the layers, the divisor,
    what the value depends on, and what it ignores.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Mean activation",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Author et al., arXiv 0000.00000, eq. 1",
        description="One sentence for the reader of a report.",
        # The scorer computes these once for all metrics. Add gram=True if the metric only reads
        # pair.gram(...). Add weights=(...) for further files, and read them in `load`.
        features=(Features("vgg16", (LAYER,), ("output", "style")),),
        # Tags of methods that minimise this quantity; the board marks their advantage.
        home_for=(),
        # A copy of this picture must have the best value; leave it out if neither copy has.
        ideal="style",
        # Add presets=("core",) or presets=("field",) if `--metrics core` or `field` includes it.
        order=100,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the value under ``""``, and parts under other names, each of shape (B,).

        Keep results that depend on content or style alone for the other outputs:
        ``pair.kept("my_metric", ("style",), lambda: ...)``.

        Raise ``nstbench.core.errors.NoValueError`` with a reason if these pictures have no value;
        it is stored as a missing number with that reason. After any other error the number is
        missing, too, but the next ``nstbench run`` or ``nstbench score`` tries again.
        """
        output, style = (
            pair.features("vgg16", of)[LAYER].mean(dim=(2, 3)) for of in ("output", "style")
        )
        return {"": torch.linalg.vector_norm(output - style, dim=1)}
