"""A folder of contents, styles and outputs to score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from reference import independent

PATTERN = "outputs/{method}/{content}__{style}.png"
"""Where outputs are in the folder, for ``nstbench score``."""


def write_folder(
    root: Path, side: int, contents: int, styles: int, methods: int = 1
) -> list[tuple[Path, Path, Path]]:
    """Write pictures, and one output per method and pair.

    Args:
        root: an empty folder.
        side: of all pictures, in pixels.
        contents: number of contents.
        styles: number of styles.
        methods: number of methods.

    Returns:
        Files of outputs, each with those of its content and style.
    """
    rng = np.random.default_rng(0)
    scene, texture = independent.scene(side, side), independent.texture(side, side)
    made: dict[str, list[np.ndarray]] = {}
    for role, pixels, count in (("contents", scene, contents), ("styles", texture, styles)):
        pictures = [np.roll(pixels, 17 * i, axis=(0, 1)) * (0.6 + 0.04 * i) for i in range(count)]
        made[role] = [p + rng.integers(0, 20, p.shape) for p in pictures]
        save(root / role, map(str, range(count)), lambda name, role=role: made[role][int(name)])
    trios = []
    for method in range(methods):
        share = 0.5 + 0.4 * method / methods

        def mixed(name: str, share: float = share) -> np.ndarray:
            content, style = map(int, name.split("__"))
            return (1 - share) * made["contents"][content] + share * made["styles"][style][:, ::-1]

        folder = root / "outputs" / f"m{method}"
        names = [f"{c}__{s}" for c in range(contents) for s in range(styles)]
        save(folder, names, mixed)
        for name in names:
            content, style = name.split("__")
            files = (f"contents/{content}.png", f"styles/{style}.png")
            trios.append((folder / f"{name}.png", root / files[0], root / files[1]))
    return trios


def save(folder: Path, names: Iterable[str], make: Callable[[str], np.ndarray]) -> None:
    """Make pictures with values from 0 to 255, and write PNG files, several at a time."""
    folder.mkdir(parents=True)

    def write(name: str) -> None:
        image = Image.fromarray(make(name).clip(0, 255).astype(np.uint8))
        image.save(folder / f"{name}.png", compress_level=1)

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, names))
