"""A plug-in for tests that need units of a known duration."""

from __future__ import annotations

from pathlib import Path

_SOURCE = """
import time
from nstbench.contracts import Flexibility, Method, MethodInfo

class Slow(Method):
    info = MethodInfo("Slow", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style

    def stylize(self, content, *, generator, on_step):
        {wait}
        return (content.pixels + self.style.pixels.flip(-1)) / 2
"""


def write_slow_method(folder: Path, seconds: float, wait: str = "") -> Path:
    """Write ``slow_method.py``; its ``stylize`` sleeps, or runs the code ``wait`` instead."""
    path = folder / "slow_method.py"
    path.write_text(_SOURCE.replace("{wait}", wait or f"time.sleep({seconds})"))
    return path
