"""What a worker takes in: the method by its name, and pictures of the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nstbench.contracts import Method, Picture
from nstbench.core.records import ImageRecord
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import load_picture, to_tensor
from nstbench.plugins import registry


def make_method(name: str, params: Mapping[str, Any]) -> Method:
    """Return a method of the registry under these parameters, not loaded yet.

    Raises:
        UsageError: if there is no such method.
        PluginError: if its code does not run.
    """
    cls = registry.load("methods", name)
    method: Method = cls(cls.Params(**params))
    return method


def read_input(
    root: Path, record: ImageRecord, device: torch.device, size: int | None = None
) -> Picture:
    """Read a fitted picture of a run folder with its map, or fit both to another size.

    Args:
        root: the run folder, where the paths of the record begin.
        record: the picture as the plan has it.
        device: where the tensors go.
        size: side of the square wanted; as it was fitted if ``None`` or the longer side already.

    Raises:
        ImageError: if a file is damaged or absent.
    """
    labels = None if record.semantic_map is None else root / record.semantic_map
    stored = replace(record, path=root / record.path, semantic_map=labels)
    pixels = read_image(stored.path)
    if size is not None and max(pixels.shape[:2]) != size:
        return load_picture(stored, size, "crop", str(device))
    return Picture(
        pixels=to_tensor(pixels).to(device),
        name=record.name,
        sha256=record.sha256,
        record=stored,
        semantic_map=None if labels is None else to_tensor(read_image(labels)).to(device),
    )
