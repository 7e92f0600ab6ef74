"""Small pictures for tests of sweeps."""

from __future__ import annotations

import numpy as np
from PIL import Image

from nstbench.analysis.validation.picture_series import Source

SIZE = 64


def picture(seed, size=SIZE):
    """Return a smooth picture with a texture that depends on the seed, uint8 (size, size, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.sin(9 * (1 + seed) * (x + rng.uniform(-1, 1) * y))[..., None]
    pixels = rng.uniform(0.3, 0.7, 3) + 0.25 * waves * rng.uniform(0.3, 1, 3)
    pixels += np.stack([0.2 * x, 0.2 * y, 0.1 * x * y], axis=-1)
    return np.clip(255 * pixels, 0, 255).astype(np.uint8)


def source(content=0, style=1):
    return Source(f"c{content}", f"s{style}", picture(content), picture(style))


def save_sweep(folder, count=6, suffix="png"):
    folder.mkdir(parents=True)
    content, style = picture(0).astype(float), picture(5).astype(float)
    Image.fromarray(picture(0)).save(folder / "content.png")
    Image.fromarray(picture(5)).save(folder / "style.png")
    for index in range(count):
        share = 0.2 + 0.6 * index / max(count - 1, 1)
        mixed = (1 - share) * content + share * style
        Image.fromarray(mixed.astype(np.uint8)).save(folder / f"{index}.{suffix}")
    return folder
