"""Gatys' algorithm with VGG-19 and random weights: Adam and L-BFGS, against the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gatys_pair import RATE, method_with, plain
from measure import alternate, ceiling, seconds_of, without_tf32

from gpu_cases.rows import Recorder
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision

PLAIN, PLAIN_TF32 = "plain float32 eager", "plain eager with TF32 convolutions"
ROUNDS = 3


def run(record: Recorder) -> None:
    """Measure and record."""
    dtype = fast_precision(record.device)
    peak = ceiling(record.device, dtype)
    name = str(dtype).removeprefix("torch.")
    record.value("ceiling", f"Ceiling in {name}", peak / 1e12, " TFLOP/s")
    if record.full:
        lower = ceiling(record.device, dtype, side=2048) / 1e12
        record.value("ceiling-2048", f"Ceiling in {name}, matrices of 2048²", lower, " TFLOP/s")
    small, large = record.choose(512, 64), record.choose(1024, 96)
    with record.attempt("gatys-adam-512"):
        adam(record, "gatys-adam-512", small, record.choose(500, 6), peak)
    with record.attempt("gatys-lbfgs"):
        lbfgs(record, small, record.choose(200, 6))
    with record.attempt("gatys-loss"):
        loss(record, small, record.choose(100, 10))
    with record.attempt("gatys-adam-1024"):
        adam(record, "gatys-adam-1024", large, record.choose(200, 4), peak)


def adam(record: Recorder, key: str, size: int, count: int, peak: float) -> None:
    """Compare an iteration of Adam; ours is a whole call divided by its iterations."""
    device = record.device
    own, content, style = stylizer(size, device, "adam", count)
    usual = plain(content, style)
    few = record.choose(20, 2)
    work = operations(size, device)

    def per_step(reference: Callable[[], Any], rounds: int) -> list[tuple[float, float]]:
        found = alternate(own, reference, rounds=rounds, device=device)
        return [(a / count, b / few) for a, b in found]

    def default() -> None:
        usual.optimise(content.pixels, few, RATE)

    def exact() -> None:
        with without_tf32():
            default()

    pairs = per_step(exact, min(ROUNDS, record.rounds))
    half, _, _ = stylizer(size, device, "adam", count // 2)
    half()
    rest = (seconds_of(own, device) - seconds_of(half, device)) / (count - count // 2)
    record.pairs(
        key,
        f"Gatys, iteration of Adam, {size} px",
        pairs,
        compared_with=PLAIN,
        flops=work,
        ceiling=peak,
        note=f"mean of {count}; {1e3 * rest:.3g} ms in the second half",
    )
    if record.full:
        record.pairs(
            f"{key}-tf32", f"Gatys, iteration of Adam, {size} px", per_step(default, 1),
            compared_with=PLAIN_TF32,
        )  # fmt: skip


def lbfgs(record: Recorder, size: int, count: int) -> None:
    """Compare an evaluation of L-BFGS with one of Adam."""
    own, other = (
        stylizer(size, record.device, name, count)[0] for name in ("lbfgs", "adam")
    )  # fmt: skip
    pairs = alternate(own, other, rounds=min(ROUNDS, record.rounds), device=record.device)
    record.pairs(
        "gatys-lbfgs",
        f"Gatys, evaluation of L-BFGS, {size} px",
        [(a / count, b / count) for a, b in pairs],
        compared_with="of Adam",
    )


def loss(record: Recorder, size: int, count: int) -> None:
    """Compare the final losses from the same noise, both measured by the plain float32 network."""
    device = record.device
    method, content, style = method_with(size, device, optimizer="adam", iterations=count)
    method.prepare(style)
    usual = plain(content, style)
    noise = torch.rand(content.pixels.shape, generator=torch.Generator().manual_seed(1))
    start = noise.to(device)
    method._start = lambda *_: start
    made = method.stylize(content, generator=torch.Generator(), on_step=lambda _: None)
    with without_tf32(), torch.no_grad():
        with torch.enable_grad():
            expected = usual.optimise(start, count, RATE)
        ours, theirs, first = (
            float(sum(usual(pixels.clamp(0, 1)))) for pixels in (made, expected, start)
        )
    record.pairs(
        "gatys-loss",
        f"Gatys, final loss of {count} iterations, {size} px",
        [(ours, theirs)],
        compared_with=PLAIN,
        unit="",
        note=f"{first:.4g} at the start",
    )


def stylizer(
    size: int, device: torch.device, optimizer: str, count: int
) -> tuple[Callable[[], torch.Tensor], Any, Any]:
    """Return a call of gatys_2015 from the content with a prepared style, content and style."""
    method, content, style = method_with(size, device, optimizer=optimizer, iterations=count)
    method.prepare(style)

    def call() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        made: torch.Tensor = method.stylize(content, generator=generator, on_step=lambda _: None)
        return made

    return call, content, style


def operations(size: int, device: torch.device) -> float | None:
    """Return the operations of an iteration: the fewer of ours and those of the plain loop.

    Ours may compute more, for example on channels of zeros, or less, for example in the gradient
    of a Gram matrix.
    """
    one, content, style = stylizer(size, device, "adam", 1)
    none, _, _ = stylizer(size, device, "adam", 0)
    ours, before = count_flops(one), count_flops(none)
    usual = plain(content, style)
    counts = [count_flops(lambda: usual.optimise(content.pixels, 1, RATE))]
    if ours is not None and before is not None:
        counts.append(ours - before)
    return min((float(count) for count in counts if count), default=None)
