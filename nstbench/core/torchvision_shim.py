"""Make ``import torchvision`` work with a CPU build of torch.

The torchvision wheels on PyPI are compiled for CUDA. With a CPU build of torch their compiled
library does not load. The import then fails when it registers fake implementations of the
operators ``torchvision::nms`` and ``torchvision::qnms``, which nstbench does not use. This module
declares the two schemas first, so that the import succeeds. It does nothing where torchvision's
own library loads. It imports torch only when it is needed.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def ensure_torchvision() -> torch.library.Library | None:
    """Declare torchvision's operators if its compiled library cannot be loaded.

    Call it before the first ``import torchvision`` (``lpips`` and parts of ``torchmetrics``
    import it, too), or :func:`install` it.

    Returns:
        The library with the declarations, or ``None`` if torchvision's own library loads.
    """
    import torch

    # importlib.util.find_spec would ask _Finder, which calls this function
    spec = PathFinder.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        compiled = [*sorted(Path(folder).glob("_C*.so")), *sorted(Path(folder).glob("_C*.pyd"))]
        for file in compiled:
            try:
                torch.ops.load_library(str(file))
            except OSError:
                continue
            return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


def shim_in_use() -> bool:
    """Return True if torchvision is installed and can be imported only with the shim."""
    return ensure_torchvision() is not None


class _Finder(importlib.abc.MetaPathFinder):
    """Finds no module; it sees the first import of torchvision before all other finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            ensure_torchvision()
        return None


def install() -> None:
    """Apply the shim when this process first imports torchvision; a second call does nothing."""
    if "torchvision" in sys.modules or any(isinstance(f, _Finder) for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
