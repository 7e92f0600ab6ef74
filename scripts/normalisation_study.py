"""Compare instance and batch normalisation by the held-out loss during training.

Ulyanov et al. (arXiv 1607.08022) show pictures only. This script trains Johnson's network with each
normalisation and otherwise equal settings, and measures the perceptual loss on photographs that
are not used in training. The same seed gives both the same first weights, crops and order.

    python scripts/normalisation_study.py --contents TRAIN --held-out VAL --style mosaic \
        --seeds 3 --steps 1500 --out docs/studies/normalisation

writes ``settings.json``, ``curves.csv`` (norm, seed, step, content, style, total), ``curves.svg``
and ``summary.csv`` (per step: mean difference batch - instance with its 95 % interval over seeds).
Trainings that are in ``curves.csv`` are not repeated. If the file was made with other settings, the
script refuses to continue.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from scipy import stats

from nstbench.core.errors import NstbenchError, UsageError
from nstbench.core.isolation import isolated
from nstbench.core.records import Role
from nstbench.nn.backbones.loss_network import fast_precision
from nstbench.pictures.picture import load_picture
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry
from nstbench.training.steps.crops import Collection, Pictures, Source, read_pictures
from nstbench.training.steps.plain import plain_step
from nstbench.training.trainable import Task

NORMS = ("batch", "instance")
DEVICE = torch.device("cpu")
HELD_OUT_BATCHES = 6


def main(
    contents: Annotated[str, typer.Option(help="Dataset or folder to train on.")],
    held_out: Annotated[str, typer.Option(help="Dataset or folder to measure on.")],
    style: Annotated[str, typer.Option(help="Style of the starter dataset.")] = "mosaic",
    seeds: Annotated[int, typer.Option(help="Trainings per normalisation.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps per training.")] = 1500,
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 64,
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 4,
    width: Annotated[float, typer.Option(help="Width of the network.")] = 0.5,
    every: Annotated[int, typer.Option(help="Steps between two measurements.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("studies/normalisation"),
) -> None:
    """Train both normalisations for every seed, and write curves and their differences."""
    keep_settings(
        out,
        {
            "style": style, "contents": contents, "held_out": held_out, "steps": steps,
            "size": size, "batch": batch, "width": width, "every": every,
        },
    )  # fmt: skip
    file = out / "curves.csv"
    curves = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["norm", "seed"])
    for seed in range(seeds):
        for norm in NORMS:
            if ((curves["norm"] == norm) & (curves["seed"] == seed)).any():
                continue
            torch.set_num_threads(1)
            with isolated(1):
                course = _train(
                    norm, seed, style, contents, held_out, steps, size, batch, width, every
                )
                rows = pd.DataFrame(course)
            curves = pd.concat([curves, rows]) if len(curves) else rows
            curves.to_csv(file, index=False)
            typer.echo(f"{norm}, seed {seed}: held-out total {rows['total'].iloc[-1]:.4g}")
    summary = _summary(curves)
    summary.to_csv(out / "summary.csv", index=False)
    _draw(curves, out / "curves.svg")
    typer.echo(summary.tail(1).to_string(index=False))


def keep_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a study, or compare them with the settings of its curves.

    Raises:
        UsageError: if the folder contains curves with other or unknown settings.
    """
    file = out / "settings.json"
    if (out / "curves.csv").is_file():
        old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        other = [
            f"{name} {old.get(name, 'unknown')} / {value}"
            for name, value in settings.items()
            if old.get(name) != value
        ]
        if other:
            raise UsageError(
                f"{out / 'curves.csv'} was made with other settings ({', '.join(other)}). Give "
                "another --out, or delete that folder."
            )
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(settings), indent=1) + "\n", encoding="utf-8")


def _train(
    norm: str, seed: int, style: str, contents: str, held_out: str,
    steps: int, size: int, batch: int, width: float, every: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield the held-out losses at step 0 and every ``every`` steps."""
    cls = registry.load("methods", "johnson_2016")
    method = cls(cls.Params(normalisation=norm, width=width))
    records = open_dataset("starter", "--style").load(Role.STYLE).images
    record = next(one for one in records if one.name == style)
    recipe = replace(method.recipe, size=size, batch=batch, steps=steps, style_size=2 * size)
    fast = fast_precision(DEVICE) == torch.bfloat16
    task = Task(
        recipe, DEVICE, (load_picture(record, 2 * size, "inside"),),
        lambda: torch.autocast("cpu", torch.bfloat16) if fast else contextlib.nullcontext(),
    )  # fmt: skip
    torch.manual_seed(seed)
    training = method.training(task)
    training.network.to(memory_format=torch.channels_last)
    source = Source(Collection(_pictures(contents, size), seed), None, size, batch, seed)
    # The measured crops are the same for every seed and normalisation.
    measured = Source(Collection(_pictures(held_out, size), 0), None, size, batch, seed=0)

    for step in range(steps + 1):
        if step % every == 0:
            yield {"norm": norm, "seed": seed, "step": step, **_measure(training, measured)}
        training.network.train()
        plain_step(training, step, source.at(step).contents)


@torch.no_grad()
def _measure(training: Any, source: Source) -> dict[str, float]:
    """Return mean losses on held-out crops, with the network in evaluation mode."""
    training.network.eval()
    losses = []
    for index in range(HELD_OUT_BATCHES):
        pixels = source.at(index).contents
        losses.append(training.loss(training.network(pixels), pixels, training.targets))
    return {
        name: float(np.mean([float(one[name]) for one in losses]))
        for name in ("content", "style", "total")
    }


def _pictures(text: str, size: int) -> Pictures:
    images = open_dataset(text, "--contents").load(Role.CONTENT).images
    return read_pictures(images, size, DEVICE, "--contents")


def _summary(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the paired difference batch - instance per step and loss, with its 95 % interval."""
    rows = []
    for step, at in curves.groupby("step"):
        for loss in ("content", "style", "total"):
            wide = at.pivot(index="seed", columns="norm", values=loss).dropna()
            difference = (wide["batch"] - wide["instance"]).to_numpy()
            spread = stats.sem(difference) * stats.t.ppf(0.975, len(difference) - 1)
            rows.append(
                {
                    "step": step, "loss": loss, "seeds": len(difference),
                    "batch": wide["batch"].mean(), "instance": wide["instance"].mean(),
                    "difference": difference.mean(), "low": difference.mean() - spread,
                    "high": difference.mean() + spread,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _draw(curves: pd.DataFrame, path: Path) -> None:
    """Draw held-out losses over steps, with 95 % intervals over seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for panel, loss in zip(panels, ("content", "style", "total"), strict=True):
        for norm, colour in zip(NORMS, ("#b45f06", "#1f4e79"), strict=True):
            rows = curves[(curves["norm"] == norm) & (curves["step"] > 0)]
            grouped = rows.groupby("step")[loss]
            count = grouped.count()
            half = grouped.sem() * stats.t.ppf(0.975, count - 1)
            panel.plot(grouped.mean(), color=colour, label=f"{norm} norm")
            low, high = grouped.mean() - half, grouped.mean() + half
            panel.fill_between(low.index, low, high, color=colour, alpha=0.2, lw=0)
        panel.set(title=f"held-out {loss} loss", xlabel="step", yscale="log")
    panels[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    try:
        typer.run(main)
    except NstbenchError as error:
        raise SystemExit(str(error)) from None
