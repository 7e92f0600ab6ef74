"""Steps per second of Johnson's training, of one style and of fourteen styles in one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import ceiling
from PIL import Image

from gpu_cases.rows import Recorder
from nstbench.core.isolation import isolated
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision
from nstbench.plan.listener import Listener
from nstbench.training.job import jobs, prepare
from nstbench.training.loop import Loop
from nstbench.training.order import build_order

STYLES = 14
ROUNDS = 3
_WARM_UP = 20
_MANY = 10**6


def run(record: Recorder) -> None:
    """Measure and record."""
    with record.attempt("training-alone", "training-together"):
        write_pictures(record.folder / "contents", record.choose(32, 4), record.choose(512, 64))
        write_pictures(record.folder / "styles", record.choose(STYLES, 2), record.choose(256, 64))
        work = operations(record)
        with record.attempt("training-alone"):
            measure(record, "training-alone", 1, "alone", work)
        many = record.choose(STYLES, 2)
        measure(record, "training-together", many, f"{many} styles together", work)


def measure(record: Recorder, key: str, count: int, words: str, work: float | None) -> None:
    """Record the steps per second of ``count`` trainings together."""
    rates = []
    with isolated(None):
        loops = prepared(record, count, seed=0)
        steps = record.choose(_WARM_UP, 1)
        advance(loops, steps, record.device)
        seconds = advance(loops, steps, record.device)
        steps = max(1, int(steps * record.choose(3, 1) / seconds)) if record.full else 2
        for _ in range(min(ROUNDS, record.rounds)):
            rates.append(steps * count / advance(loops, steps, record.device))
    rate = median(rates)
    peak = ceiling(record.device, fast_precision(record.device))
    size, batch = shape(record)
    record.value(
        key,
        f"Johnson's training, half width, {size} px, batch {batch}, {words}",
        rate,
        "/s",
        f"{steps} steps of each in a round; {min(rates):.3g} to {max(rates):.3g}/s",
        share=work * rate / peak if work else None,
    )


def shape(record: Recorder) -> tuple[int, int]:
    """Return the side of the crops and the pictures per step."""
    return record.choose(256, 32), record.choose(4, 2)


def prepared(record: Recorder, count: int, seed: int) -> list[Loop]:
    """Return the loops of trainings that write no state while they are measured."""
    size, batch = shape(record)
    order = build_order(
        "johnson_2016:width=0.5",
        {
            "contents": str(record.folder / "contents"), "styles": str(record.folder / "styles"),
            "size": size, "batch": batch, "steps": _MANY, "save_every": _MANY, "seed": seed,
            "device": str(record.device), "out": record.folder / "checkpoints",
        },
    )  # fmt: skip
    return [prepare(job, Listener()) for job in jobs(order)[:count]]


def advance(loops: Sequence[Loop], steps: int, device: torch.device) -> float:
    """Launch steps of all loops in turns, and return the seconds until the device has done them."""
    start = time.perf_counter()
    for _ in range(steps):
        for loop in loops:
            loop.advance(1)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def operations(record: Recorder) -> float | None:
    """Return the operations of a step, or ``None`` if they cannot be counted."""
    with isolated(None):
        (loop,) = prepared(record, 1, seed=1)
        found = count_flops(lambda: loop.advance(1))
    return None if found is None else float(found)


def write_pictures(folder: Path, count: int, side: int) -> None:
    """Write random pictures with the falling spectrum of photographs."""
    folder.mkdir()
    rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / side)
    for index in range(count):
        noise = np.random.default_rng(index).normal(size=(3, side, side))
        smooth = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(side, side))
        smooth = 128 + 50 * smooth / smooth.std(axis=(1, 2), keepdims=True)
        pixels = smooth.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"p{index:02d}.png")
