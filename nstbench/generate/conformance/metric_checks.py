"""The contract of metrics as executable checks, like those of methods.

The project's own tests run these checks over the whole registry. Authors of plug-ins run them
with ``nstbench conformance NAME``. Pictures are synthetic, 64 x 64 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar, get_args

import torch

from nstbench.contracts import Ideal, Metric, PairMetric, Picture, SetMetric, TimingMetric
from nstbench.core.errors import NoValueError
from nstbench.core.records import Timing
from nstbench.generate.conformance.method_checks import CPU, Verdict, demand, example, verdicts
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank, ScoredPair

Check = Callable[[type[Metric]], None]
M = TypeVar("M", bound=Metric)
S = TypeVar("S", bound=SetMetric)

SIDE = 64
SET_SIZES = (4, 32)
"""Outputs of a set: the first number, and the second for metrics that need more."""

# Largest difference from the best value, as a share of the other copy's difference.
_IDEAL_TOLERANCE = 1e-3
# float32 networks use other kernels for batches, and other devices round differently.
_BATCH_TOLERANCE = 1e-3
_DEVICE_TOLERANCE = 1e-2

EXAMPLE_TIMING = Timing(
    method="example", plugin="example", size=SIDE, device="cpu", latency=(0.2, 0.3, 0.1),
    first_call=0.5, load=1.5, prepare=(0.02, 0.04), peak_memory=1 << 20, parameters=1000,
    calibration=(0.01, 0.01), environment={}, training=60.0, flops=10**9, batch=4,
    batch_seconds=(0.5, 0.6),
)  # fmt: skip
"""A timing record in which everything was measured."""


class Trio(NamedTuple):
    """One output with its content and its style, pixels float32 (B, 3, H, W) in [0, 1]."""

    output: torch.Tensor
    content: torch.Tensor
    style: torch.Tensor


def states_its_facts(cls: type[Metric]) -> None:
    """Title, citation, description, docstring, range and ideal are stated."""
    info = cls.info
    for fact in ("title", "citation", "description"):
        demand(bool(getattr(info, fact)), f"info.{fact} is empty")
    demand(bool(cls.__doc__), "the class has no docstring")
    demand(info.range[0] < info.range[1], f"info.range is {info.range}")
    demand(info.version >= 1, f"info.version is {info.version}")
    ideals = (*get_args(Ideal), None)
    demand(info.ideal in ideals, f"info.ideal is {info.ideal!r}, none of {ideals}")


def gives_its_ideal_the_best_value(cls: type[Metric]) -> None:
    """A copy of the picture in ``info.ideal`` scores better than a copy of the other one.

    It has the best value of ``info.range`` where that is finite.
    """
    if cls.info.ideal is None:
        return
    other = "style" if cls.info.ideal == "content" else "content"
    best, worse = (_value_of_copies(cls, of) for of in (cls.info.ideal, other))
    sign = 1.0 if cls.info.higher_is_better else -1.0
    demand(
        sign * best > sign * worse,
        f"a copy of the {cls.info.ideal} has {best:g}, a copy of the {other} {worse:g}",
    )
    limit = cls.info.range[1] if cls.info.higher_is_better else cls.info.range[0]
    if math.isfinite(limit):
        allowed = _IDEAL_TOLERANCE * abs(worse - limit)
        demand(
            abs(best - limit) <= allowed,
            f"a copy of the {cls.info.ideal} has {best:g}, and the best value is {limit:g}",
        )


def stays_in_its_range(cls: type[Metric]) -> None:
    """Values of ordinary pictures are in ``info.range``."""
    value = _value(cls, EXAMPLE_TIMING)
    low, high = cls.info.range
    demand(low <= value <= high, f"{value:g} is not in the range from {low:g} to {high:g}")


def leaves_its_input_alone(cls: type[Metric]) -> None:
    """Pictures and shared features are unchanged after the call."""
    if issubclass(cls, TimingMetric):
        return
    pair = _pair(FeatureBank(CPU), cls, _blends(1)[0])
    shared = {of: getattr(pair, of).pixels for of in ("output", "content", "style")}
    for need in cls.info.features:
        for of in need.of:
            for layer in need.layers:
                name = f"{need.network} {layer} of {of}"
                if need.gram:
                    shared[name] = pair.gram(need.network, of, layer)
                else:
                    shared[name] = pair.features(need.network, of, need.side)[layer]
    before = {name: tensor.clone() for name, tensor in shared.items()}
    metric = _loaded(cls)
    with torch.inference_mode():
        if isinstance(metric, PairMetric):
            metric.compute(pair)
        elif isinstance(metric, SetMetric):
            metric.update(pair)
    for name, tensor in shared.items():
        demand(torch.equal(tensor, before[name]), f"the metric changes {name}")


def scores_a_batch_like_single_pairs(cls: type[Metric]) -> None:
    """A batch of outputs has the values of its outputs one by one, within rounding."""
    if issubclass(cls, TimingMetric):
        return
    blends = _blends(3, same_pictures=True)
    batch = Trio(torch.cat([trio.output for trio in blends]), *blends[0][1:])
    if issubclass(cls, PairMetric):
        of_batch = _pair_values(cls, batch)
        singles = [_pair_values(cls, trio) for trio in blends]
        for part, values in of_batch.items():
            demand(values.shape == (3,), f"part {part!r} of 3 outputs has shape {values.shape}")
            expected = torch.cat([single[part] for single in singles])
            _demand_close(values, expected, _BATCH_TOLERANCE, f"part {part!r} of a batch")
        return
    assert issubclass(cls, SetMetric)
    more = _blends(SET_SIZES[1])
    together, apart = (_set_values(cls, [*first, *more]) for first in ([batch], blends))
    _demand_same_parts(together, apart, _BATCH_TOLERANCE, "a batch of a set")


def merges_like_one_set(cls: type[Metric]) -> None:
    """Two merged instances of a set metric have the value of one instance with all outputs."""
    if not issubclass(cls, SetMetric):
        return
    blends = _blends(SET_SIZES[1])
    half = len(blends) // 2
    first, second = _collected(cls, blends[:half]), _collected(cls, blends[half:])
    first.merge(second)
    whole = _set_values(cls, blends)
    _demand_same_parts(first.compute(), whole, _BATCH_TOLERANCE, "two merged halves")


def is_finite_on_flat_pictures(cls: type[Metric]) -> None:
    """Pictures of one colour have finite values, or a ``NoValueError`` that states the reason."""
    if issubclass(cls, TimingMetric):
        nothing = replace(
            EXAMPLE_TIMING, latency=(), prepare=(), peak_memory=None, parameters=None,
            training=None, flops=None, batch=1, batch_seconds=(),
        )  # fmt: skip
        values = cls().compute(nothing)
        for part, value in values.items():
            demand(math.isfinite(value), f"part {part!r} is {value} where nothing was measured")
        return
    grey, black = torch.full((1, 3, SIDE, SIDE), 0.5), torch.zeros(1, 3, SIDE, SIDE)
    scene, texture = example(SIDE, SIDE).pixels, example(SIDE, SIDE, 1).pixels
    cases = {
        "output": Trio(grey, scene, texture),
        "content": Trio(scene, grey, texture),
        "style": Trio(scene, scene, grey),
        "output and content": Trio(grey, grey, texture),
        "output and style": Trio(grey, scene, grey),
        "content and style": Trio(scene, grey, black),
        "black output, content and style": Trio(black, black, black),
    }
    for name, trio in cases.items():
        try:
            if issubclass(cls, SetMetric):
                found = _set_values(cls, [trio, trio])
            else:
                assert issubclass(cls, PairMetric)
                found = {part: float(value) for part, value in _pair_values(cls, trio).items()}
        except NoValueError as error:
            demand(bool(str(error)), f"flat {name}: the NoValueError states no reason")
            continue
        for part, value in found.items():
            demand(math.isfinite(value), f"flat {name}: part {part!r} is {value}")


def repeats_itself(cls: type[Metric]) -> None:
    """Two fresh instances return equal values."""
    first, second = (_value(cls, EXAMPLE_TIMING) for _ in range(2))
    demand(first == second, f"two calls return {first!r} and {second!r}")


def agrees_on_another_device(cls: type[Metric]) -> None:
    """Values on a GPU and on the CPU are equal within rounding; not checked without a GPU."""
    if issubclass(cls, TimingMetric) or not torch.cuda.is_available():
        return
    on_cpu, on_gpu = (_value(cls, EXAMPLE_TIMING, torch.device(d)) for d in ("cpu", "cuda"))
    _demand_same_parts({"": on_gpu}, {"": on_cpu}, _DEVICE_TOLERANCE, "the GPU")


METRIC_CHECKS: tuple[Check, ...] = (
    states_its_facts,
    gives_its_ideal_the_best_value,
    stays_in_its_range,
    leaves_its_input_alone,
    scores_a_batch_like_single_pairs,
    merges_like_one_set,
    is_finite_on_flat_pictures,
    repeats_itself,
    agrees_on_another_device,
)


def examine(name: str) -> Iterator[Verdict]:
    """Run every check over one metric and yield each verdict at once.

    Raises:
        UsageError: if there is no such metric.
        PluginError: if it cannot be imported.
    """
    yield from verdicts(registry.load("metrics", name), METRIC_CHECKS)


# -- values ---------------------------------------------------------------------------------


def _loaded(cls: type[M], device: torch.device = CPU) -> M:
    metric = cls()
    metric.load(device)
    return metric


def _pair(bank: FeatureBank, cls: type[Metric], trio: Trio) -> ScoredPair:
    output, content, style = (
        Picture(pixels.to(bank.device), name) for name, pixels in trio._asdict().items()
    )
    return bank.pair(output, content, style, cls.info.features)


def _pair_values(
    cls: type[PairMetric], trio: Trio, device: torch.device = CPU
) -> Mapping[str, torch.Tensor]:
    metric = _loaded(cls, device)
    with torch.inference_mode():
        return metric.compute(_pair(FeatureBank(device), cls, trio))


def _collected(cls: type[S], trios: Sequence[Trio], device: torch.device = CPU) -> S:
    metric, bank = _loaded(cls, device), FeatureBank(device)
    with torch.inference_mode():
        for trio in trios:
            metric.update(_pair(bank, cls, trio))
    return metric


def _set_values(
    cls: type[SetMetric], trios: Sequence[Trio], device: torch.device = CPU
) -> dict[str, float]:
    return _collected(cls, trios, device).compute()


def _value(cls: type[Metric], timing: Timing, device: torch.device = CPU) -> float:
    """Return the metric's own value for ordinary pictures or for ``timing``."""
    return _own_value(cls, _blends, timing, device)


def _value_of_copies(cls: type[Metric], of: str) -> float:
    """Return the value where every output is a copy of its content or of its style."""

    def copies(count: int) -> list[Trio]:
        return [trio._replace(output=getattr(trio, of)) for trio in _blends(count)]

    return _own_value(cls, copies, EXAMPLE_TIMING, CPU)


def _own_value(
    cls: type[Metric], trios: Callable[[int], list[Trio]], timing: Timing, device: torch.device
) -> float:
    if issubclass(cls, TimingMetric):
        return cls().compute(timing)[""]
    if issubclass(cls, PairMetric):
        return float(_pair_values(cls, trios(1)[0], device)[""])
    assert issubclass(cls, SetMetric)
    few, many = SET_SIZES
    try:
        return _set_values(cls, trios(few), device)[""]
    # some metrics need more outputs
    except NoValueError:
        return _set_values(cls, trios(many), device)[""]


def _blends(count: int, same_pictures: bool = False) -> list[Trio]:
    """Return outputs that are mixtures of their content and their style.

    Args:
        count: number of outputs, all different.
        same_pictures: True if all have the same content and style.
    """
    trios = []
    for index in range(count):
        which = 0 if same_pictures else index
        content = example(SIDE, SIDE).pixels.roll(5 * which, dims=3)
        style = example(SIDE, SIDE, 1 + which % 4).pixels
        share = 0.3 + 0.4 * index / count
        trios.append(Trio(torch.lerp(content, style, share), content, style))
    return trios


def _demand_same_parts(
    values: Mapping[str, float], expected: Mapping[str, float], tolerance: float, what: str
) -> None:
    demand(values.keys() == expected.keys(), f"{what}: parts {list(values)}, not {list(expected)}")
    for part, value in values.items():
        _demand_close(torch.tensor(value), torch.tensor(expected[part]), tolerance, what)


def _demand_close(
    values: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str
) -> None:
    close = torch.allclose(values.double(), expected.double(), rtol=tolerance, atol=1e-9)
    demand(close, f"{what}: {values.tolist()}, expected {expected.tolist()}")
