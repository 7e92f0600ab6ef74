"""Print how many times faster each method of a run is than a reference.

    nstbench run --methods gatys_2015:iterations=100,johnson_2016,adain_2017 --size 256 \
        --limit 1 --out runs/speed
    python scripts/latency_ratios.py runs/speed --reference gatys_2015

prints a Markdown table: the median latency of every method with its quartiles, the median of the
reference divided by it, and the median in units of the calibration kernel (a VGG-16 forward pass
measured between the samples). The last number depends less on the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from nstbench.core.errors import NstbenchError
from nstbench.core.records import Timing
from nstbench.report.parts.numbers import DASH, significant
from nstbench.store.run_info import read_timings


def main(
    run: Annotated[Path, typer.Argument(help="Run folder with timings.")],
    reference: Annotated[str, typer.Option(help="Start of the label of the reference.")],
) -> None:
    """Print the table of a run."""
    measured = [timing for timing in read_timings(run) if timing.latency]
    timings = sorted(measured, key=lambda timing: -np.median(timing.latency))
    base = next((timing for timing in timings if timing.method.startswith(reference)), None)
    if base is None:
        raise typer.BadParameter(f"{run} has no timing of {reference} with samples")
    print(table(timings, base))  # noqa: T201  the table is the result


def table(timings: list[Timing], base: Timing) -> str:
    """Return the Markdown table that compares the latencies of timings with that of ``base``.

    Every timing must have samples. A timing without a calibration has a dash in the last column.
    """
    lines = [
        "| method | median latency [s] | quartiles [s] | times faster | in calibration kernels |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    reference = np.median(base.latency)
    for timing in timings:
        low, median, high = np.percentile(timing.latency, (25, 50, 75))
        cells = (
            f"`{timing.method}`",
            significant(float(median)),
            f"{significant(float(low))} to {significant(float(high))}",
            significant(float(reference / median)),
            significant(float(median / np.median(timing.calibration)))
            if timing.calibration
            else DASH,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        typer.run(main)
    except NstbenchError as error:
        raise SystemExit(str(error)) from None
