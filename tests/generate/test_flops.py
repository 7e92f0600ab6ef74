"""Counts of operations, against counts by hand, and their place in a timing record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nstbench.core.records import ImageRecord
from nstbench.generate.flops import count_flops
from nstbench.generate.method_timing import TimingRequest
from nstbench.generate.runner import Runner
from nstbench.pictures.picture import to_pixels, write_png
from nstbench.plugins import registry
from nstbench.store.store import Store

METHOD = """
import torch
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility

class Counted(Method):
    info = MethodInfo("Counted", "me", 2026, "", "test", Flexibility.ARBITRARY{facts})
    calls = 0

    def prepare(self, style):
        torch.ones(50, 50) @ torch.ones(50, 50)

    def stylize(self, content, *, generator, on_step):
        type(self).calls += 1
        {work}
        return content.pixels.clone()
"""


def test_convolution_matmul_and_backward_by_hand() -> None:
    weight = torch.rand(8, 3, 3, 3, requires_grad=True)
    picture = torch.rand(1, 3, 10, 12)
    forward = 2 * 8 * 3 * 9 * 10 * 12
    convolve = torch.nn.functional.conv2d
    assert count_flops(lambda: convolve(picture, weight.detach(), padding=1)) == forward
    # The gradient of the weights costs as much as the forward pass; the picture needs none.
    assert count_flops(lambda: convolve(picture, weight, padding=1).sum().backward()) == 2 * forward
    assert count_flops(lambda: torch.rand(4, 5) @ torch.rand(5, 6)) == 2 * 4 * 5 * 6


def test_other_work_has_no_count() -> None:
    assert count_flops(lambda: torch.rand(50).sin().sort()) is None

    def broken() -> None:
        raise RuntimeError("not under a counter")

    assert count_flops(broken) is None


@pytest.mark.parametrize(
    ("facts", "work", "expected", "calls"),
    [
        ("", "content.pixels.flatten(1) @ torch.ones(3 * 32 * 32, 7)", 2 * 3 * 32 * 32 * 7, 4),
        ("", "content.pixels.sqrt()", None, 4),
        (", in_torch=False", "torch.ones(5, 5) @ torch.ones(5, 5)", None, 3),
    ],
)
def test_the_timing_record_holds_the_count_of_stylize_alone(
    tmp_path: Path, facts: str, work: str, expected: int | None, calls: int
) -> None:
    file = tmp_path / "counted.py"
    file.write_text(METHOD.format(facts=facts, work=work))
    registry.add_file(file)
    write_png(tmp_path / "run/a.png", to_pixels(torch.rand(1, 3, 32, 32)))
    record = ImageRecord("a", Path("a.png"), sha256="a")
    cls = registry.load("methods", "counted")
    cls.calls = 0
    timing = Runner(Store(tmp_path / "run"), "cpu", 1).time(
        TimingRequest("k", "counted", "counted", {}, record, record, size=32, repeats=2)
    )
    assert timing.flops == expected
    # One cold call, two timed calls, and one counted call if operations are counted.
    assert len(timing.latency) == 2
    # A method of microseconds is called many times per sample.
    assert cls.calls >= calls
