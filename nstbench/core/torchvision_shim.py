"""Make ``import torchvision`` work beside a CPU-only build of torch.

The torchvision wheels on PyPI are compiled for CUDA. Beside a CPU build of torch
their compiled library does not load, and importing torchvision then fails while
it registers fake implementations of ``torchvision::nms`` and ``torchvision::qnms``,
operators that this project never calls. Declaring the two schemas first lets the
import through. Where torchvision's own library loads, nothing is done.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def ensure_torchvision() -> torch.library.Library | None:
    """Declare torchvision's operators if its compiled library cannot be loaded.

    Call it before the first ``import torchvision`` (``lpips`` and parts of
    ``torchmetrics`` import it, too). Returns the library that holds the
    declarations, or ``None`` if none were needed.
    """
    spec = importlib.util.find_spec("torchvision")
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
