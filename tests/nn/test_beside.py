"""Work beside a network: which stream waits for which."""

from __future__ import annotations

import pytest
import torch

from nstbench.nn.layers import beside
from nstbench.nn.losses.terms import WeightedSum


class Stream:
    """A stream that notes what it waits for."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append((self.name, other.name))

    def wait_event(self, event):
        self.log.append((self.name, event))


@pytest.fixture
def waits(monkeypatch):
    """Return a list of waits (stream, what for), as a GPU with two streams would have."""
    log = []
    streams = beside._Streams(Stream("network", log), Stream("beside", log))
    monkeypatch.setattr(beside, "_active", [streams])
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: SimpleStream(stream, log))
    return log


class SimpleStream:
    """A block that computes in a stream."""

    def __init__(self, stream, log):
        self.stream, self.log = stream, log

    def __enter__(self):
        self.log.append(("in", self.stream.name))

    def __exit__(self, *_):
        self.log.append(("out", self.stream.name))


def test_work_beside_waits_for_its_layer_only(waits):
    early, late = torch.ones(3), torch.ones(4)
    beside._active[-1].known[early.data_ptr()] = "early", early
    found = WeightedSum([2.0, 1.0]).of_layers([(torch.sum, early), (torch.sum, late)])
    assert float(found) == 10.0
    assert waits == [
        ("beside", "early"), ("in", "beside"), ("out", "beside"),
        # a layer that was not noted: all that the network has done so far
        ("beside", "network"), ("in", "beside"), ("out", "beside"),
        ("network", "beside"),
    ]  # fmt: skip
    addresses = {tensor.data_ptr() for tensor in beside._active[-1].held}
    assert addresses == {early.data_ptr(), late.data_ptr()}


def test_a_network_without_work_beside_it_does_not_wait(waits):
    """A stream that is being recorded must not wait for one that is not."""
    beside.join()
    beside._active[-1].wait()
    assert waits == []


def test_cpus_have_one_stream():
    with beside.two_streams(torch.device("cpu"), wanted=True):
        assert not beside.is_active()
        beside.note_known(torch.ones(2))
        with beside.beside(torch.ones(2)):
            pass
        beside.join()


@pytest.mark.gpu
def test_streams_wait_for_each_other_on_the_gpu():
    device = torch.device("cuda", torch.cuda.current_device())
    for _ in range(20):
        with beside.two_streams(device, wanted=True):
            large = torch.ones(3000, 3000, device=device)
            for _ in range(4):
                large = large @ large / 3000
            beside.note_known(large)
            later = large @ large
            with beside.beside(large):
                total = (large * 2).sum()
            beside.join()
            found = total + later[0, 0]
        assert float(found) == pytest.approx(2 * 3000**2 + 3000, rel=1e-4)
    assert not beside._active
