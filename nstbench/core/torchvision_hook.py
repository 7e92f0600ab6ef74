"""Apply :mod:`nstbench.core.torchvision_shim` at the first ``import torchvision`` of a process.

This module does not import torch, so that it can be installed in any process at no cost.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Finder(importlib.abc.MetaPathFinder):
    """Finds no module; it sees the first import of torchvision before all other finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            # removed first, because the shim looks for torchvision as well
            sys.meta_path.remove(self)
            from nstbench.core.torchvision_shim import ensure_torchvision

            ensure_torchvision()
        return None


def install() -> None:
    """Apply the shim as soon as this process imports torchvision; a second call does nothing."""
    if "torchvision" in sys.modules or any(isinstance(f, _Finder) for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
