"""Make the pictures and maps of the starter suite with the painter, and pin their pixels.

    python scripts/starter_pictures.py

writes lossless WebP files and ``manifest.json`` into ``datasets/starter_pictures``. The
manifest keeps the provenance of the photographs and gets new checksums of everything. Other
processors may paint other pixels, so run it only to change the suite: raise the ``version`` of
``datasets/starter.py`` then, and renew the baselines.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nstbench.pictures.decode import read_image
from nstbench.pictures.painter.styles import STYLES, painting
from nstbench.pictures.painter.tools.regions import PHOTOGRAPHS, photograph_map
from nstbench.pictures.picture import pixel_hash
from nstbench.store.atomic_files import write_bytes

FOLDER = Path(__file__).parents[1] / "datasets" / "starter_pictures"
SIZE = 512
MOST_BYTES = 6 << 20


def pinned(folder: Path, name: str, pixels: np.ndarray) -> dict[str, str]:
    """Write a picture losslessly and return its file and checksums.

    Args:
        folder: where the file goes.
        name: stem of the file.
        pixels: uint8 RGB (H, W, 3).
    """
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "WEBP", lossless=True, quality=100, method=6)
    path = folder / f"{name}.webp"
    write_bytes(path, encoded.getvalue())
    return {
        "file": path.name,
        "sha256": hashlib.sha256(encoded.getvalue()).hexdigest(),
        "pixels": pixel_hash(pixels),
    }


def pinned_map(folder: Path, name: str, pixels: np.ndarray, source: str) -> dict[str, str]:
    """Write a semantic map and return its entry of the manifest."""
    provenance = {"licence": "CC0-1.0", "author": "the nstbench developers", "source": source}
    return pinned(folder, f"{name}_sem", pixels) | provenance


def style(folder: Path, name: str, size: int) -> dict[str, Any]:
    """Paint a style and return its entry of the manifest."""
    made = painting(name, size)
    source = f'nstbench.pictures.painter.styles.paint("{name}", {size})'
    regions = made.label_pixels()
    return {
        "name": name,
        **pinned(folder, name, made.pixels()),
        "licence": "CC0-1.0",
        "author": "nstbench painter",
        "source": source,
        "collection": name,
        "map": None if regions is None else pinned_map(folder, name, regions, source),
    }


def content(folder: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of an installed photograph with checksums of its pixels and its map."""
    spec = importlib.util.find_spec(known["package"])
    (root,) = spec.submodule_search_locations or () if spec else ()
    path = Path(root, known["file"])
    pixels = read_image(path)
    entry = known | {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "pixels": pixel_hash(pixels),
        "map": None,
    }
    if known["name"] in PHOTOGRAPHS:
        labels = photograph_map(known["name"], pixels.shape[1], pixels.shape[0])
        source = "nstbench.pictures.painter.tools.regions, drawn by hand"
        entry["map"] = pinned_map(folder, known["name"], labels, source)
    return entry


def main(arguments: list[str] | None = None) -> int:
    """Write everything; return 1 if it is more than may ship."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files go")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the paintings in pixels")
    options = parser.parse_args(arguments)
    known = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    manifest = {
        "contents": [content(options.folder, entry) for entry in known["contents"]],
        "styles": [style(options.folder, name, options.size) for name in STYLES],
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_bytes(options.folder / "manifest.json", text.encode())
    total = sum(path.stat().st_size for path in options.folder.glob("*.webp"))
    sys.stdout.write(f"{total / 2**20:.2f} MiB in {options.folder}\n")
    if total > MOST_BYTES:
        sys.stderr.write(
            f"{options.folder} holds {total:,} bytes of pictures, and {MOST_BYTES:,} may ship. "
            "Give a smaller --size.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
