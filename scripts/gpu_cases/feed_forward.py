"""Methods with one pass through a network, one by one and in batches of eight."""

from __future__ import annotations

from measure import alternate, ceiling, repeat, without_tf32
from network_pair import network_pair

from gpu_cases.promises import FEED_FORWARD
from gpu_cases.rows import Recorder
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision

ROUNDS = 7
MOST_DIFFERENCE = 0.02
"""Mean difference between both pictures in units of [0, 1] that the number format may cause."""


def run(record: Recorder) -> None:
    """Measure and record."""
    for name in FEED_FORWARD:
        for batch in (1, 8):
            with record.attempt(f"{name}-{batch}"):
                one(record, name, batch)


def one(record: Recorder, name: str, batch: int) -> None:
    """Compare a method with the same network in float32 eager mode.

    Raises:
        ValueError: if the pictures differ.
    """
    device, size = record.device, record.choose(512, 48)
    pair = network_pair(name, batch, size, device)
    difference = float((pair.own() - pair.plain()).abs().mean())
    # also false for NaN
    if not difference < MOST_DIFFERENCE:
        raise ValueError(f"the pictures of both differ by {difference:.3g} on average")
    calls = record.choose(40 if batch == 1 else 8, 1)

    def default() -> None:
        repeat(pair.plain, calls)

    def exact() -> None:
        with without_tf32():
            default()

    def pairs(reference: object, rounds: int) -> list[tuple[float, float]]:
        assert callable(reference)
        found = alternate(lambda: repeat(pair.own, calls), reference, rounds=rounds, device=device)
        return [(a / calls, b / calls) for a, b in found]

    case = f"{FEED_FORWARD[name]}, {batch} at a time, {size} px"
    work = count_flops(pair.plain)
    measured = pairs(exact, min(record.choose(ROUNDS, 2), record.rounds))
    record.pairs(
        f"{name}-{batch}",
        case,
        measured,
        compared_with="plain float32 eager",
        flops=None if work is None else float(work),
        ceiling=ceiling(device, fast_precision(device)),
        note=f"mean difference {difference:.2g}",
    )
    if record.full and batch == 1:
        record.pairs(
            f"{name}-{batch}-tf32", case, pairs(default, 2),
            compared_with="plain eager with TF32 convolutions",
        )  # fmt: skip
