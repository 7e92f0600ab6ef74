"""Stylise several pictures in one pass through a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from nstbench.contracts import Method, OnStep, PreparedPair
from nstbench.core.records import Step


class OnePass(Method):
    """Base of methods whose ``stylize`` takes any number of contents, (B, 3, H, W).

    A batch takes one pass per shape of contents and style. Several styles share a pass if
    :meth:`joined` supports it.
    """

    def does_batches(self) -> bool:
        """Return True: the pictures of a pass do not influence each other."""
        return True

    def draws(self) -> bool:
        """Return True if ``stylize`` draws from its generator; each pair then has its own pass."""
        return False

    def joined(self, methods: Sequence[Any]) -> Any:
        """Return a copy of this method for B contents, each in the style of one of ``methods``.

        Returns ``None`` if several styles cannot share a pass.
        """
        return None

    def stylize_batch(self, pairs: Sequence[PreparedPair]) -> list[torch.Tensor | BaseException]:
        """Stylise in as few passes as possible."""
        outputs: dict[int, torch.Tensor] = {}
        for method, places in _passes(pairs):
            group = [pairs[place] for place in places]
            made = method.stylize(
                replace(
                    group[0].content, pixels=torch.cat([pair.content.pixels for pair in group])
                ),
                generator=group[0].generator,
                on_step=_all_of([pair.on_step for pair in group]),
            )
            outputs |= zip(places, made.split(1), strict=True)
        return [outputs[place] for place in range(len(pairs))]


def _passes(pairs: Sequence[PreparedPair]) -> Iterator[tuple[Method, list[int]]]:
    """Yield methods, each with the indices of the pairs that it stylises in one pass."""

    def shape(place: int) -> object:
        method: Any = pairs[place].method
        return pairs[place].content.pixels.shape, place if method.draws() else None

    for places in _grouped(range(len(pairs)), shape):
        methods: list[Any] = [pairs[place].method for place in places]
        groups = _grouped(places, lambda place: pairs[place].style)
        joined = methods[0].joined(methods) if len(groups) > 1 else None
        if joined is not None:
            yield joined, places
            continue
        for group in groups:
            yield pairs[group[0]].method, group


def _grouped(places: Iterable[int], kind: Callable[[int], object]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for place in places:
        groups.setdefault(kind(place), []).append(place)
    return list(groups.values())


def _all_of(reports: Sequence[OnStep]) -> OnStep:
    def report(step: Step) -> None:
        for one in reports:
            one(step)

    return report
