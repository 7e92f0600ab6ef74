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
        time.sleep({seconds})
        return (content.pixels + self.style.pixels.flip(-1)) / 2
"""


def write_slow_method(folder: Path, seconds: float) -> Path:
    """Write ``slow_method.py``, a method whose ``stylize`` takes ``seconds``, and return it."""
    path = folder / "slow_method.py"
    path.write_text(_SOURCE.format(seconds=seconds))
    return path
