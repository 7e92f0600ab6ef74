"""Several optimisations that share each pass through their network.

Every pair keeps its own optimiser, scale of the gradient and watch for divergence, and runs as
it would alone, in a thread. One thread is awake at a time. Where a pair needs losses and a
gradient it falls asleep; when all of them sleep, their pixels go through the network as one
batch, each pair's objective reads its part of the activations, and the sum of the totals is
differentiated once. The gradient of a sum of terms that share no pixels is that of each term, so
a pair that diverges or ends early costs the others nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from nstbench.core.errors import ran_out_of_memory
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.optimise.minimise import Evaluate, Losses, Objective, detached

Answer = tuple[Losses, torch.Tensor]


class _Stopped(BaseException):
    """Ends an optimisation from outside; no method's ``except Exception`` catches it."""


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """What a pair sleeps for; see :func:`nstbench.nn.optimise.minimise.evaluate_alone`."""

    objective: Objective
    pixels: torch.Tensor
    factor: torch.Tensor


class _Pair:
    """One optimisation, in a thread that is awake only during :meth:`resume`.

    Attributes:
        request: what it sleeps for; ``None`` before it began and after it ended.
        outcome: what it returned or raised, in the end.
    """

    def __init__(self, work: Callable[[Evaluate], torch.Tensor]) -> None:
        self._work = work
        self._wake, self._asleep = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = False
        self._answer: Answer | BaseException | None = None
        self.request: _Request | None = None
        self.outcome: torch.Tensor | BaseException | None = None

    def resume(self, answer: Answer | BaseException | None = None) -> None:
        """Begin, or go on with an answer; return when it asks for another or has ended."""
        self._answer, self.request = answer, None
        if answer is None:
            self._thread.start()
        else:
            self._wake.release()
        self._asleep.acquire()

    def stop(self) -> None:
        """End the thread, wherever it is, and wait for that."""
        self._stopped = True
        self._wake.release()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.outcome = self._work(self._evaluate)
        except _Stopped:
            pass
        # whatever it is, it is the outcome of this pair
        except BaseException as error:
            self.outcome = error
        finally:
            self._asleep.release()

    def _evaluate(self, objective: Objective, pixels: torch.Tensor, factor: torch.Tensor) -> Answer:
        if not self._stopped:
            self.request = _Request(objective, pixels, factor)
            self._asleep.release()
            self._wake.acquire()
        if self._stopped:
            raise _Stopped
        answer, self._answer = self._answer, None
        if isinstance(answer, BaseException):
            raise answer
        assert answer is not None
        return answer


class Together:
    """The pass that several optimisations share.

    Args:
        network: the frozen network of all objectives.
    """

    def __init__(self, network: LayeredNetwork) -> None:
        self._network = network
        self._leaf = torch.empty(0)
        self._parts: tuple[torch.Tensor, ...] = ()
        self._found: dict[tuple[str, ...], dict[str, tuple[torch.Tensor, ...]]] = {}

    def run(
        self, works: Sequence[Callable[[Evaluate], torch.Tensor]]
    ) -> list[torch.Tensor | BaseException]:
        """Run optimisations, each with the function that evaluates for it.

        Returns:
            What each of them returned or raised.

        Raises:
            Exception: what the common pass raised, or a lack of memory wherever it arose;
                nothing is left of any pair, then.
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
            pixels: what its objective was called with, unchanged.
            layers: names of layers.

        Returns:
            ``None`` for any other pixels: they have to go through the network by themselves.
        """
        place = next((i for i, part in enumerate(self._parts) if part is pixels), None)
        if place is None:
            return None
        if layers not in self._found:
            laid_out = self._leaf.contiguous(memory_format=torch.channels_last)
            sizes = [len(part) for part in self._parts]
            # Cut once: the gradients of all parts then meet in one copy, not in one for each.
            self._found[layers] = {
                name: found.split(sizes) for name, found in self._network(laid_out, layers).items()
            }
        return {name: parts[place] for name, parts in self._found[layers].items()}

    def _serve(self, waiting: Sequence[_Pair]) -> None:
        """Answer all requests; pictures of one shape go through the network together."""
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
                found = [
                    _losses(request, part)
                    for request, part in zip(requests, self._parts, strict=True)
                ]
                totals = [
                    losses["total"] * request.factor
                    for request, losses in zip(requests, found, strict=True)
                    if not isinstance(losses, BaseException)
                ]
                gradient = torch.zeros_like(self._leaf)
                if totals:
                    (gradient,) = torch.autograd.grad(totals, self._leaf)
            finally:
                self._leaf, self._parts, self._found = torch.empty(0), (), {}
        parts = gradient.contiguous().split([len(request.pixels) for request in requests])
        return [
            losses if isinstance(losses, BaseException) else (detached(losses), part)
            for losses, part in zip(found, parts, strict=True)
        ]


def _losses(request: _Request, pixels: torch.Tensor) -> Losses | Exception:
    """Return the losses of one pair, or what its objective raised, which is its own affair."""
    try:
        return request.objective(pixels)
    except Exception as error:
        return error


def _resume(pair: _Pair, answer: Answer | BaseException | None = None) -> None:
    pair.resume(answer)
    if isinstance(pair.outcome, BaseException) and ran_out_of_memory(pair.outcome):
        raise pair.outcome
