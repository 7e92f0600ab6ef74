"""Let a GPU compute the loss of a layer while the network goes on.

The products and sums of a loss are small kernels, and each waits for the one before. In a stream of
their own they start as soon as their layer is known, and fill the gaps between the kernels of the
network. Autograd computes their gradients in the same stream and makes both streams wait for each
other. A CUDA graph keeps these dependencies as branches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import torch


@dataclass(frozen=True, slots=True)
class _Streams:
    """The stream of the network, the stream beside it, and when layers were known.

    Attributes:
        network: the stream that the network runs in.
        beside: the other one.
        known: address of a layer's activations -> event in the stream of the network, and the
            activations, so that no other tensor gets this address.
    """

    network: torch.cuda.Stream
    beside: torch.cuda.Stream
    known: dict[int, tuple[torch.cuda.Event, torch.Tensor]] = field(default_factory=dict)


_active: list[_Streams] = []


@contextlib.contextmanager
def two_streams(device: torch.device, wanted: bool) -> Iterator[None]:
    """Allow :func:`beside` to use another stream in this block, if wanted and on a GPU.

    At the end, the present stream waits for the other one.
    """
    if not wanted or device.type != "cuda":
        yield
        return
    streams = _Streams(torch.cuda.current_stream(device), _stream(device))
    _active.append(streams)
    try:
        yield
    finally:
        _active.remove(streams)
        streams.network.wait_stream(streams.beside)


def note_known(layer: torch.Tensor) -> None:
    """Note that the present stream has computed the activations of a layer."""
    if _active and layer.is_cuda:
        event = torch.cuda.Event()
        event.record(_active[-1].network)
        _active[-1].known[layer.data_ptr()] = event, layer.detach()


@contextlib.contextmanager
def beside(*layers: torch.Tensor) -> Iterator[None]:
    """Compute in the other stream, once the activations of these layers are known.

    Tensors of the block must not be used before :func:`join`. Without :func:`two_streams`, this is
    an ordinary block.
    """
    if not _active:
        yield
        return
    streams = _active[-1]
    for layer in layers:
        known = streams.known.get(layer.data_ptr())
        if known is None:
            streams.beside.wait_stream(streams.network)
        else:
            streams.beside.wait_event(known[0])
    with torch.cuda.stream(streams.beside):
        yield


def is_active() -> bool:
    """Return True inside of :func:`two_streams` on a GPU."""
    return bool(_active)


def join() -> None:
    """Make the stream of the network wait for all work beside it."""
    if _active:
        _active[-1].network.wait_stream(_active[-1].beside)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
