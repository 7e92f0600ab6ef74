"""What the report measures: the cases, their limits, and the processes that measure them."""

from __future__ import annotations

from dataclasses import dataclass

FEED_FORWARD = {
    "johnson_2016": "Johnson et al. 2016",
    "ulyanov_2016": "Ulyanov et al. 2016",
    "dumoulin_2017": "Dumoulin et al. 2017",
    "adain_2017": "AdaIN",
}
"""Methods with one pass through a network -> short titles."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A case with its limits, which hold for a GPU at full size.

    Attributes:
        key: identifier of the case, unique.
        part: name of the module that measures it.
        case: text in the table.
        most_ratio: largest ratio to the reference.
        least_ratio: smallest ratio to the reference.
        most: largest value of ours.
        least: smallest value of ours.
        least_share: smallest share of the ceiling.
    """

    key: str
    part: str
    case: str
    most_ratio: float | None = None
    least_ratio: float | None = None
    most: float | None = None
    least: float | None = None
    least_share: float | None = None

    def limit(self) -> str:
        """Return the limits as a text, for the table."""
        texts = []
        if self.most_ratio is not None:
            low = "" if self.least_ratio is None else f"{self.least_ratio:.2f} to "
            texts.append(f"{low or '≤ '}{self.most_ratio:.2f}")
        if self.most is not None:
            texts.append("none" if self.most == 0 else f"≤ {self.most:g} s")
        if self.least is not None:
            texts.append(f"≥ {self.least:g}/s")
        if self.least_share is not None:
            texts.append(f"share ≥ {self.least_share:.0%}")
        return ", ".join(texts)

    def kept(self, ours: float, ratio: float | None, share: float | None) -> bool | None:
        """Return whether all limits hold; ``None`` if a number that one needs was not measured."""
        checks = (
            (self.most_ratio, ratio, 1),
            (self.least_ratio, ratio, -1),
            (self.most, ours, 1),
            (self.least, ours, -1),
            (self.least_share, share, -1),
        )
        needed = [(limit, value, sign) for limit, value, sign in checks if limit is not None]
        # a value that is not a number keeps no limit
        if any(v is not None and not sign * v <= sign * limit for limit, v, sign in needed):
            return False
        return None if not needed or any(v is None for _, v, _ in needed) else True


PROMISES: tuple[Promise, ...] = (
    Promise(
        "gatys-adam-512", "optimisation", "Gatys, iteration of Adam, 512 px",
        most_ratio=0.25, least_share=0.35,
    ),
    Promise(
        "gatys-adam-1024", "optimisation", "Gatys, iteration of Adam, 1024 px", least_share=0.50
    ),
    Promise("gatys-lbfgs", "optimisation", "Gatys, evaluation of L-BFGS, 512 px", most_ratio=1.3),
    Promise(
        "gatys-loss", "optimisation", "Gatys, final loss of 100 iterations, 512 px",
        most_ratio=1.02, least_ratio=0.98,
    ),
    *(
        promise
        for name, title in FEED_FORWARD.items()
        for promise in (
            Promise(f"{name}-1", "feed_forward", f"{title}, 1 at a time, 512 px", most_ratio=0.35),
            Promise(f"{name}-8", "feed_forward", f"{title}, 8 at a time, 512 px", least_share=0.30),
        )
    ),
    Promise("training-alone", "training", "Johnson's training, half width, 256 px, batch 4, alone",
            least=100),
    Promise("training-together", "training", "Johnson's training, fourteen styles together",
            least=250),
    Promise("lost-device", "lost_device", "Units that a planted CUDA error costs wrongly", most=0),
    Promise("suite", "suite", "Starter suite, everything", most=60),
    Promise("scoring", "scoring", "Scoring of 1,000 outputs, 512 px", most_ratio=0.1),
    Promise("gpu-tests", "gpu_tests", "Failed tests that need a GPU", most=0),
)  # fmt: skip

PARTS: dict[str, float] = {
    "optimisation": 90, "feed_forward": 75, "training": 80, "lost_device": 60, "suite": 150,
    "scoring": 90, "gpu_tests": 150,
}  # fmt: skip
"""Name of a module in this package -> seconds it may take, in the order of the report."""
