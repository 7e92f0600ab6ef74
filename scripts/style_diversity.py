"""Compare the diversity of the painted styles with the diversity of a folder of paintings.

    python scripts/style_diversity.py path/to/paintings

prints the mean pairwise Gram distance of the ``starter`` styles, that of the folder, and
the ratio. The distance is the metric ``gram_distance``: VGG-16, relu1_1 to relu5_1, each
Gram matrix divided by its number of positions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nstbench.core.errors import NstbenchError
from nstbench.core.records import ImageRecord, Role
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.losses.gram import GRAM_LAYERS, scoring_gram_matrix
from nstbench.pictures.picture import load_picture
from nstbench.plugins import registry


def pairwise_distances(grams: Sequence[Sequence[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the Gram distance between every two pictures.

    Per layer |A - B|^2 / (|A|^2 + |B|^2) = 1 - 2 <A, B> / (|A|^2 + |B|^2), so one matrix
    product gives all pairs.

    Args:
        grams: for each picture its Gram matrices (C, C), one per layer.

    Returns:
        float64 (N, N), symmetric, with values in [0, 1] and zeros on the diagonal.
    """
    layers = len(grams[0])
    total = np.zeros((len(grams), len(grams)))
    for layer in range(layers):
        flat = np.stack([picture[layer].ravel() for picture in grams])
        products = flat @ flat.T
        squares = np.diag(products)
        total += 1 - 2 * products / (squares[:, None] + squares[None, :])
    np.fill_diagonal(total, 0.0)
    return np.clip(total / layers, 0.0, 1.0)


def mean_distance(distances: NDArray[np.float64]) -> float:
    """Return the mean distance of two different pictures."""
    count = len(distances)
    return float(distances.sum() / (count * (count - 1)))


def gram_matrices(
    network: torch.nn.Module, records: Sequence[ImageRecord], size: int
) -> list[list[NDArray[np.float64]]]:
    """Return the Gram matrices of each picture, cropped to a square of ``size`` pixels."""
    matrices = []
    with torch.inference_mode():
        for record in records:
            features = network(load_picture(record, size, "crop").pixels, GRAM_LAYERS)
            matrices.append(
                [scoring_gram_matrix(features[layer])[0].numpy() for layer in GRAM_LAYERS]
            )
    return matrices


def _records(dataset: str, **params: object) -> tuple[ImageRecord, ...]:
    cls = registry.load("datasets", dataset)
    images: tuple[ImageRecord, ...] = cls(cls.Params(**params)).load(Role.STYLE).images
    return images


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both numbers and their ratio; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of real paintings")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default 256)")
    parser.add_argument("--each", action="store_true", help="also print one line per style")
    options = parser.parse_args(arguments)
    try:
        network = load_backbone("vgg16")
        painted = _records("starter")
        real = _records("folder", path=options.folder)
        ours = pairwise_distances(gram_matrices(network, painted, options.size))
        theirs = pairwise_distances(gram_matrices(network, real, options.size))
    except NstbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if len(real) < 2:
        sys.stderr.write(f"{options.folder} contains one picture; a distance needs at least two.\n")
        return 2
    if options.each:
        for record, row in zip(painted, ours, strict=True):
            others = np.delete(row, painted.index(record))
            nearest = painted[int(np.argsort(row)[1])].name
            sys.stdout.write(
                f"{record.name:16s} mean {others.mean():.3f}, "
                f"nearest {nearest} {others.min():.3f}\n"
            )
    ratio = mean_distance(ours) / mean_distance(theirs)
    sys.stdout.write(
        f"mean pairwise Gram distance at {options.size} px\n"
        f"  {len(painted)} starter styles: {mean_distance(ours):.4f}\n"
        f"  {len(real)} pictures in {options.folder}: {mean_distance(theirs):.4f}\n"
        f"  ratio: {ratio:.3f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
