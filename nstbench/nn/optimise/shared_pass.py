"""Several optimisations that share each pass through their network.

Optimisers call back for losses and gradients, so every pair runs in a thread of its own, with its
own optimiser, gradient scale and check for divergence. Only one thread runs at a time. A pair
that needs losses and a gradient waits. When all pairs wait, their pixels go through the network
as one batch, each objective reads its part of the activations, and the sum of the totals is
differentiated once. The terms of that sum share no pixels, so the gradient of each pair is the
same as alone, and a pair that diverges or ends early does not affect the others.

This is meant for GPUs, which one small picture may not fill; no gain there has been measured yet.
CPUs gain nothing:
four pairs of ``gatys_2015`` at 96 px on one thread took 1.00 to 1.03 times as long as one by one
(see docs/speed.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import torch

from nstbench.core.errors import ran_out_of_memory
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.optimise.minimise import Evaluate, Losses, Objective, detached

Answer = tuple[Losses, torch.Tensor]


class _Stopped(BaseException):
    """Ends an optimisation from outside; ``except Exception`` in a method does not catch it."""


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """Arguments of :func:`nstbench.nn.optimise.minimise.evaluate_alone` for one pair."""

    objective: Objective
    pixels: torch.Tensor
    factor: torch.Tensor


class _Pair:
    """One optimisation, in a thread that runs only during :meth:`resume`.

    Attributes:
        request: the evaluation that it waits for; ``None`` before the start and after the end.
        outcome: what the optimisation returned or raised, once it has ended.
    """

    def __init__(self, work: Callable[[Evaluate], torch.Tensor]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer | BaseException] = SimpleQueue()
        self.request: _Request | None = None
        self.outcome: torch.Tensor | BaseException | None = None

    def resume(self, answer: Answer | BaseException | None = None) -> None:
        """Start, or continue with an answer; return at the next request or at the end."""
        self.request = None
        if answer is None:
            self._thread.start()
        else:
            self._answers.put(answer)
        self.request = self._requests.get()

    def stop(self) -> None:
        """End the thread at its next evaluation, and wait until it has ended."""
        self._answers.put(_Stopped())
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self, work: Callable[[Evaluate], torch.Tensor]) -> None:
        try:
            self.outcome = work(self._evaluate)
        except _Stopped:
            pass
        # any exception, KeyboardInterrupt included, is the outcome of this pair
        except BaseException as error:
            self.outcome = error
        finally:
            self._requests.put(None)

    def _evaluate(self, objective: Objective, pixels: torch.Tensor, factor: torch.Tensor) -> Answer:
        self._requests.put(_Request(objective, pixels, factor))
        answer = self._answers.get()
        if isinstance(answer, _Stopped):
            # later evaluations, in a `finally` block for example, must end as well
            self._answers.put(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class SharedPass:
    """Forward and backward passes that several optimisations share.

    Args:
        network: the frozen network of all objectives.
    """

    def __init__(self, network: LayeredNetwork) -> None:
        self._network = network
        self._leaf = torch.empty(0)
        self._parts: tuple[torch.Tensor, ...] = ()
        self._activations: dict[tuple[str, ...], dict[str, tuple[torch.Tensor, ...]]] = {}

    def run(
        self, works: Sequence[Callable[[Evaluate], torch.Tensor]]
    ) -> list[torch.Tensor | BaseException]:
        """Run optimisations; each receives the function that evaluates its losses.

        Args:
            works: one function per pair, which returns the optimised picture.

        Returns:
            What each of them returned or raised, in order.

        Raises:
            Exception: any error of the shared pass, and any lack of memory. All pairs have been
                stopped then, and their results are lost.
        """
        pairs = [_Pair(work) for work in works]
        try:
            for pair in pairs:
                _resume(pair)
            while waiting := [pair for pair in pairs if pair.request is not None]:
                self._serve(waiting)
        finally:
            for pair in pairs:
                pair.stop()
        outcomes = [pair.outcome for pair in pairs]
        return [outcome for outcome in outcomes if outcome is not None]

    def features(
        self, pixels: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor] | None:
        """Return one pair's part of the activations, channels last.

        Args:
            pixels: the tensor that its objective was called with, unchanged.
            layers: names of layers.

        Returns:
            Layer name -> activations (1, C, H, W), or ``None`` for any other tensor, which needs
            a pass of its own.
        """
        place = next((i for i, part in enumerate(self._parts) if part is pixels), None)
        if place is None:
            return None
        if layers not in self._activations:
            laid_out = self._leaf.contiguous(memory_format=torch.channels_last)
            sizes = [len(part) for part in self._parts]
            # Split once: autograd then joins the gradients of all parts in a single copy.
            self._activations[layers] = {
                name: whole.split(sizes) for name, whole in self._network(laid_out, layers).items()
            }
        return {name: parts[place] for name, parts in self._activations[layers].items()}

    def _serve(self, waiting: Sequence[_Pair]) -> None:
        """Answer all requests, in one pass per shape of pictures."""
        groups: dict[tuple[int, ...], list[tuple[_Pair, _Request]]] = {}
        for pair in waiting:
            assert pair.request is not None
            shape = tuple(pair.request.pixels.shape[1:])
            groups.setdefault(shape, []).append((pair, pair.request))
        for group in groups.values():
            answers = self._evaluate([request for _, request in group])
            for (pair, _), answer in zip(group, answers, strict=True):
                _resume(pair, answer)

    def _evaluate(self, requests: Sequence[_Request]) -> list[Answer | BaseException]:
        with torch.enable_grad():
            try:
                self._leaf = torch.cat([request.pixels for request in requests]).requires_grad_()
                self._parts = self._leaf.split([len(request.pixels) for request in requests])
                results = [
                    _losses(request, part)
                    for request, part in zip(requests, self._parts, strict=True)
                ]
                totals = [
                    losses["total"] * request.factor
                    for request, losses in zip(requests, results, strict=True)
                    if not isinstance(losses, BaseException)
                ]
                gradient = torch.zeros_like(self._leaf)
                if totals:
                    (gradient,) = torch.autograd.grad(totals, self._leaf)
            finally:
                self._leaf, self._parts, self._activations = torch.empty(0), (), {}
        parts = gradient.contiguous().split([len(request.pixels) for request in requests])
        return [
            losses if isinstance(losses, BaseException) else (detached(losses), part)
            for losses, part in zip(results, parts, strict=True)
        ]


def _losses(request: _Request, pixels: torch.Tensor) -> Losses | Exception:
    """Return the losses of one pair, or the exception of its objective, which fails it only."""
    try:
        return request.objective(pixels)
    except Exception as error:
        return error


def _resume(pair: _Pair, answer: Answer | BaseException | None = None) -> None:
    """Resume a pair, and raise if it ran out of memory, which affects all pairs."""
    pair.resume(answer)
    if isinstance(pair.outcome, BaseException) and ran_out_of_memory(pair.outcome):
        raise pair.outcome
