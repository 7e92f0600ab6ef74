"""The pictures of a run: chosen and fitted for the plan, then copied into the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nstbench.core.cards import PictureCard
from nstbench.core.errors import ImageError, StoreError, UsageError
from nstbench.core.records import Collection, ImageRecord, Role, SkippedImage
from nstbench.pictures.picture import Fit, fit_picture, pixel_hash, write_png
from nstbench.plan.config import RunConfig
from nstbench.plan.variants import open_dataset
from nstbench.store.store import Store

KEPT_BYTES = 256 * 2**20
"""Fitted pixels that a plan keeps in memory; beyond them pictures are fitted again for the copy."""


@dataclass(frozen=True, eq=False)
class Input:
    """A fitted content or style picture.

    Attributes:
        original: the picture as its dataset has it.
        fitted: the same record with path, checksum and map of the copy in the run folder.
        card: provenance for the report.
        size: side in pixels that it was fitted to.
        fit: how it was fitted (see :func:`nstbench.pictures.picture.fit`).
        pixels: uint8 RGB (H, W, 3), or ``None`` if the plan does not keep them.
        labels: semantic map, uint8 RGB (H, W, 3), or ``None``.
    """

    original: ImageRecord
    fitted: ImageRecord
    card: PictureCard
    size: int
    fit: Fit
    pixels: np.ndarray | None
    labels: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Inputs:
    """The pictures of one role, and the files that were left out."""

    inputs: tuple[Input, ...]
    skipped: tuple[SkippedImage, ...]


def fit_pictures(config: RunConfig, role: Role) -> Inputs:
    """Read and fit the pictures of one role; each file is decoded and hashed once.

    Raises:
        UsageError: if the dataset is unknown or wrong, or has no usable picture of the role.
    """
    option = "--contents" if role is Role.CONTENT else "--styles"
    text = config.contents if role is Role.CONTENT else config.styles
    dataset = open_dataset(text, option)
    if role not in dataset.info.roles:
        raise UsageError(f"{option} {text}: this dataset has no {role} pictures.")
    collection: Collection = dataset.load(role)
    skipped = list(collection.skipped)
    inputs: list[Input] = []
    names: dict[str, str] = {}
    kept = 0
    for record in collection.images[: config.limit]:
        try:
            pixels, labels = fit_picture(record, config.size, config.fit)
        except ImageError as error:
            skipped.append(SkippedImage(record.path, str(error)))
            continue
        digest = pixel_hash(pixels)
        if digest in names:
            reason = f"same pixels as '{names[digest]}'"
            skipped.append(SkippedImage(record.path, reason))
            continue
        names[digest] = record.name
        file = Path("inputs") / role / f"{digest[:20]}.png"
        map_file = None
        if labels is not None:
            map_file = file.with_name(f"{digest[:20]}_{pixel_hash(labels)[:12]}_sem.png")
        kept += pixels.nbytes + (0 if labels is None else labels.nbytes)
        keep = kept <= KEPT_BYTES
        inputs.append(
            Input(
                original=record,
                fitted=replace(record, path=file, sha256=digest, semantic_map=map_file),
                card=PictureCard(
                    role, record.name, str(file), digest, record.licence, record.author,
                    record.source,
                ),
                size=config.size,
                fit=config.fit,
                pixels=pixels if keep else None,
                labels=labels if keep else None,
            )
        )  # fmt: skip
    if not inputs:
        reasons = "; ".join(f"{s.path.name}: {s.reason}" for s in skipped[:3])
        raise UsageError(f"{option} {text}: no usable {role} picture. {reasons}")
    return Inputs(tuple(inputs), tuple(skipped))


def write_inputs(store: Store, inputs: Iterable[Input]) -> None:
    """Copy fitted pictures and maps into the run folder.

    Raises:
        StoreError: if the folder cannot be written, or a picture changed since it was planned.
    """
    for entry in inputs:
        pixels, labels = entry.pixels, entry.labels
        if pixels is None:
            try:
                pixels, labels = fit_picture(entry.original, entry.size, entry.fit)
            except ImageError as error:
                raise StoreError(f"{error} It was readable when the run was planned.") from error
            if pixel_hash(pixels) != entry.fitted.sha256:
                raise StoreError(
                    f"{entry.original.path} changed while the run was planned. "
                    "Run the same command again."
                )
        write_png(store.root / entry.fitted.path, pixels)
        if labels is not None and entry.fitted.semantic_map is not None:
            write_png(store.root / entry.fitted.semantic_map, labels)
