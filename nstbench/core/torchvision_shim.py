"""Make ``import torchvision`` work with a CPU build of torch.

The torchvision wheels on PyPI are compiled for CUDA. With a CPU build of torch their compiled
library does not load. The import then fails when it registers fake implementations of the
operators ``torchvision::nms`` and ``torchvision::qnms``, which nstbench does not use. This module
declares the two schemas first, so that the import succeeds. It does nothing where torchvision's
own library loads.
"""

from __future__ import annotations

from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def ensure_torchvision() -> torch.library.Library | None:
    """Declare torchvision's operators if its compiled library cannot be loaded.

    Call it before the first ``import torchvision`` (``lpips`` and parts of ``torchmetrics``
    import it, too).

    Returns:
        The library with the declarations, or ``None`` if torchvision's own library loads.
    """
    # importlib.util.find_spec would call the finder of torchvision_hook, which calls this function
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
