"""Metrics as torchmetrics objects have the same numbers as in the scorer."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys

import pytest
import torch
from reference import independent

import nstbench.metrics
from nstbench.contracts import Picture
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.core.records import Scope
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.metrics import UniversalErrorFactor, metric_class
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.scorer import Scorer
from nstbench.score.torchmetrics_adapter import _packed, _unpacked

ensure_torchvision()
from torchmetrics import Metric, MetricCollection  # noqa: E402

CPU = torch.device("cpu")
PAIR_METRICS = list(independent.METRICS)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three outputs of one content, each with a different style of another size."""
    output, content, style = (to_tensor(p) for p in independent.triple("other_size"))
    outputs = torch.cat([output, output.flip(-1), content])
    return outputs, content, torch.cat([style, style.flip(-1), style.flip(-2)])


def expected(name: str, batch: tuple[torch.Tensor, ...], rows: slice) -> float:
    """Return the mean of the scorer's values, computed output by output."""
    outputs, content, styles = batch
    scorer = Scorer({name: registry.load("metrics", name)()}, CPU)
    values = [
        scorer.score_pair(Picture(x[None], "x"), Picture(content, "c"), Picture(s[None], "s"))[name]
        for x, s in zip(outputs[rows], styles[rows], strict=True)
    ]
    return sum(value["values"][""] for value in values) / len(values)


def test_import_does_not_import_torch() -> None:
    code = (
        "import sys, nstbench.metrics; assert 'torch' not in sys.modules;"
        "from nstbench.metrics import Ssim; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_picture_metric_has_a_class_and_timing_metrics_have_none() -> None:
    for name in registry.names("metrics"):
        plugin = registry.load("metrics", name)
        if plugin.info.scope == Scope.TIMING:
            with pytest.raises(UsageError, match="timing record"):
                metric_class(name)
            assert not hasattr(nstbench.metrics, plugin.__name__)
            continue
        cls = getattr(nstbench.metrics, plugin.__name__)
        assert issubclass(cls, Metric)
        assert cls.higher_is_better is plugin.info.higher_is_better
        assert plugin.__name__ in dir(nstbench.metrics)
    with pytest.raises(AttributeError, match="Did you mean 'UniversalErrorFactor'"):
        _ = nstbench.metrics.UniversalErorFactor


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_equals_the_scorer_in_any_batches(name, batch, network_weights) -> None:
    outputs, content, styles = batch
    metric = metric_class(name)()
    metric.update(outputs[:2], content, styles[:2])
    metric.update(outputs[2:], content, styles[2:])
    value = metric.compute()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected(name, batch, slice(None)), rel=1e-5, abs=1e-7)


def test_parts_can_be_reset_merged_and_pickled(batch, network_weights) -> None:
    outputs, content, styles = batch
    whole, first, second = (UniversalErrorFactor(part="vgg16") for _ in range(3))
    whole.update(outputs, content, styles)
    first.update(outputs[:1], content, styles[:1])
    second.update(outputs[1:], content, styles[1:])
    first.merge_state(pickle.loads(pickle.dumps(second)))
    assert first.compute().item() == pytest.approx(whole.compute().item(), rel=1e-6)
    assert whole.compute() != UniversalErrorFactor()(outputs, content, styles)
    first.reset()
    first.update(outputs[:1], content, styles[:1])
    alone = UniversalErrorFactor(part="vgg16")
    assert first.compute() == alone(outputs[:1], content, styles[:1])
    with pytest.raises(UsageError, match="no part 'vgg19'; it has '', 'vgg16', 'alexnet'"):
        UniversalErrorFactor(part="vgg19").update(outputs[:1], content, styles[:1])


def test_gathered_processes_have_the_value_of_all_pictures(batch, network_weights) -> None:
    outputs, content, styles = batch
    for name in ("ssim", "fd_vgg16"):
        whole, here, there = (metric_class(name)() for _ in range(3))
        whole.update(outputs, content, styles)
        here.update(outputs[:2], content, styles[:2])
        there.update(outputs[2:], content, styles[2:])
        others = iter(
            tensor
            for state in there.metric_state.values()
            for tensor in (state if isinstance(state, list) else [state])
        )
        here.sync(
            dist_sync_fn=lambda tensor, group=None, others=others: [tensor, next(others)],
            distributed_available=lambda: True,
        )
        # The states are now those of all processes; compute must not synchronise again.
        here._to_sync = False
        assert here.compute().item() == pytest.approx(whole.compute().item(), rel=1e-6)


class Evil:
    def __reduce__(self):
        return exec, ("import os; os.mkdir('pwned')",)


def test_sums_of_another_process_run_no_code(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    metric = registry.load("metrics", "fd_vgg16")()
    stream = io.BytesIO()
    torch.save({"_outputs": Evil()}, stream)
    hostile = struct.pack("<Q", stream.tell()) + stream.getvalue()
    plain = pickle.dumps({"_outputs": Evil()}, protocol=2)
    for data in (hostile, struct.pack("<Q", len(plain)) + plain):
        with pytest.raises(NstbenchError, match="state_types"):
            list(_unpacked(data, metric))
    assert not (tmp_path / "pwned").exists()
    metric._styles.add([torch.arange(3.0)])
    packed = _packed(metric)
    (first, second) = _unpacked(packed + packed, metric)
    for sums in (first, second):
        assert torch.equal(sums["_styles"].stacked(), torch.arange(3.0)[None])


def test_a_collection_updates_metrics_of_equal_values_separately(batch, network_weights) -> None:
    outputs, content, styles = batch
    names = ["content_loss", "self_similarity", "lpips_alex", "ssim", "style_error"]
    collection = MetricCollection({name: metric_class(name)() for name in names})
    # For a copy of the content the first three are 0, and the last two are 1.
    collection.update(content, content, styles[:1])
    collection.update(outputs[:1], content, styles[:1])
    pair = (torch.cat([content, outputs[:1]]), content, styles[[0, 0]])
    for name, value in collection.compute().items():
        assert value.item() == pytest.approx(expected(name, pair, slice(None)), rel=1e-5), name


def test_set_metric_equals_its_plugin(batch, network_weights) -> None:
    outputs, content, styles = batch
    plugin = registry.load("metrics", "fd_vgg16")()
    bank = FeatureBank(CPU)
    metric = metric_class("fd_vgg16")()
    for output, style in zip(outputs.split(1), styles.split(1), strict=True):
        trio = [Picture(p, n) for p, n in ((output, "x"), (content, "c"), (style, "s"))]
        with torch.inference_mode():
            plugin.update(bank.pair(*trio, plugin.info.features))
        metric.update(output, content, style)
    assert metric.compute().item() == pytest.approx(plugin.compute()[""], rel=1e-6)
    metric.reset()
    metric.update(outputs[:1], content, styles[:1])
    with pytest.raises(NstbenchError, match="at least two pictures, got 1"):
        metric.compute()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, c, s: (255 * x, c, s), r"output: values from 0 to 255"),
        (lambda x, c, s: (x, 2 * c - 1, s), r"content: values from -1 to 1"),
        (lambda x, c, s: (x, (255 * c).byte(), s), r"content: expected float RGB"),
        (lambda x, c, s: (x, c, s[0]), r"style: expected float RGB"),
        (lambda x, c, s: (x, c, s[:2]), r"style: 2 pictures for 3 outputs"),
    ],
)
def test_tensors_that_are_not_pictures_are_refused(change, message) -> None:
    x = torch.linspace(0, 1, 3 * 3 * 32 * 32).reshape(3, 3, 32, 32)
    with pytest.raises(UsageError, match=message):
        metric_class("ssim")().update(*change(x, x, x))
