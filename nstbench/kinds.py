"""Kinds of processor: between which of them timings may be compared.

The calibration kernel takes out how fast a processor is, not what it is good at: of two
processors one may run a method in 10 kernels and the other one in 8. So samples are compared
within one kind. A kind is the model of the processor or GPU as the system names it and, on a
processor, the widest vector instructions that PyTorch uses there: hosts of clouds give several
generations one name. The number of threads is a setting of the run and not a part of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nstbench.core.records import Timing


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of processor; facts that a record does not hold are empty.

    Attributes:
        model: name of the processor or GPU.
        simd: vector instructions, for example ``"AVX2"``; empty on a GPU.
    """

    model: str
    simd: str

    def __str__(self) -> str:
        """Return it as tables and messages name it."""
        return ", ".join(part for part in (self.model, self.simd) if part) or "unknown"

    def agrees(self, other: Kind) -> bool:
        """Return whether no fact that both know differs: older records know less."""
        pairs = ((self.model, other.model), (self.simd, other.simd))
        return all(mine == theirs or not mine or not theirs for mine, theirs in pairs)


def kind_of(timing: Timing) -> Kind:
    """Return the kind of processor that a timing was measured on."""
    facts = timing.environment
    simd = "" if timing.device.startswith("cuda") else facts.get("simd")
    return Kind(str(facts.get("device_name") or ""), str(simd or ""))


def of_kind(timings: Iterable[Timing], kind: Kind) -> Timing | None:
    """Return the timing of a kind; an equal one before one that only agrees."""
    found = [timing for timing in timings if kind.agrees(kind_of(timing))]
    equal = [timing for timing in found if kind_of(timing) == kind]
    return next(iter([*equal, *found]), None)
