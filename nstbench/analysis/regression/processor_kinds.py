"""Kinds of processor: timings are compared within one kind.

The calibration kernel removes the speed of a processor, but not differences of architecture: one
processor may run a method in 10 kernels and another one in 8. A kind is the model name of the
processor or GPU and, on a processor, the widest vector instructions that PyTorch uses, because
cloud hosts give several generations one name. The number of threads is a setting of the run, and is
not part of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nstbench.core.records import Timing


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of processor; a fact that a record does not have is empty.

    Attributes:
        model: name of the processor or GPU.
        simd: vector instructions, for example ``"AVX2"``; empty on a GPU.
    """

    model: str
    simd: str

    def __str__(self) -> str:
        """Return the kind as text for tables and messages."""
        return ", ".join(part for part in (self.model, self.simd) if part) or "unknown"

    def agrees(self, other: Kind) -> bool:
        """Return whether the facts that both kinds have are equal (older records have fewer)."""
        pairs = ((self.model, other.model), (self.simd, other.simd))
        return all(mine == theirs or not mine or not theirs for mine, theirs in pairs)


def kind_of(timing: Timing) -> Kind:
    """Return the kind of processor that a timing was measured on."""
    facts = timing.environment
    simd = "" if timing.device.startswith("cuda") else facts.get("simd")
    return Kind(str(facts.get("device_name") or ""), str(simd or ""))


def of_kind(timings: Iterable[Timing], kind: Kind) -> Timing | None:
    """Return the timing of an equal kind; without one, of a kind that agrees; else ``None``."""
    found = [timing for timing in timings if kind.agrees(kind_of(timing))]
    equal = [timing for timing in found if kind_of(timing) == kind]
    return next(iter([*equal, *found]), None)
