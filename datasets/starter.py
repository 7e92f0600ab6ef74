"""Photographs that installed packages ship, and paintings that nstbench ships."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from nstbench.contracts import Collection, Dataset, DatasetInfo, ImageRecord, Role, SkippedImage
from nstbench.core.errors import ImageError
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import pixel_hash

FOLDER = Path(__file__).with_name("starter_pictures")
"""The shipped pictures and maps, and ``manifest.json`` with every checksum and licence."""


class Starter(Dataset):
    """Seven photographs and the first painting of each style, the same on every processor.

    The photographs are read where scikit-image and scikit-learn installed them; paintings and
    semantic maps are files of nstbench. ``starter_pictures/manifest.json`` pins the bytes and
    the decoded pixels of each. A picture with other pixels is left out, and the reason names
    the decoder. The colours of maps have the same meaning in photographs and paintings
    (:class:`nstbench.pictures.painter.styles.Label`). The collection of a photograph is its
    subject, that of a painting its style.
    """

    info = DatasetInfo(
        title="Shipped photographs, painted styles",
        description="seven photographs of scikit-image and scikit-learn, and one painting by "
        "nstbench's own painter in each of its styles",
        roles=(Role.CONTENT, Role.STYLE),
        licence="per image",
        citation="van der Walt et al. 2014 (PeerJ 2:e453); Pedregosa et al. 2011 (JMLR 12)",
        version=1,
        requires=("skimage", "sklearn"),
    )

    def load(self, role: Role) -> Collection:
        """Return photographs or paintings in a fixed order; leave out those with other pixels."""
        images: list[ImageRecord] = []
        skipped: list[SkippedImage] = []
        for entry in _manifest()["styles" if role == Role.STYLE else "contents"]:
            path = _path(entry)
            problem = _problem(path, entry)
            labels = entry["map"]
            if labels is not None and not problem:
                problem = _problem(FOLDER / labels["file"], labels)
                problem = problem and f"its semantic map {labels['file']}: {problem}"
            if problem:
                skipped.append(SkippedImage(path, problem))
                continue
            images.append(
                ImageRecord(
                    name=entry["name"],
                    path=path,
                    licence=entry["licence"],
                    author=entry["author"],
                    source=entry["source"],
                    sha256=entry["sha256"],
                    semantic_map=None if labels is None else FOLDER / labels["file"],
                    collection=entry["collection"],
                )
            )
        return Collection(tuple(images), tuple(skipped))


def _manifest() -> dict[str, Any]:
    """Return the manifest: ``contents`` and ``styles``, one record per picture."""
    found: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return found


def _path(entry: dict[str, Any]) -> Path:
    """Return the path of an entry's file."""
    package = entry.get("package")
    if package is None:
        return FOLDER / entry["file"]
    # the package's own loaders would import all of it, and may look for a newer file online
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    return Path(roots[0] if roots else package, entry["file"])


def _problem(path: Path, entry: dict[str, Any]) -> str:
    """Return the reason why a file differs from its entry of the manifest, or an empty string."""
    package = entry.get("package")
    if not path.is_file():
        if package:
            return f"the installed {package} does not ship it"
        return "the file is absent; install nstbench again"
    status = path.stat()
    found = _checksums(path, status.st_mtime_ns, status.st_size)
    if found[0] != entry["sha256"]:
        if package:
            return f"the installed {package} ships another picture of that name"
        return "the file was changed; install nstbench again"
    if found[1] == entry["pixels"]:
        return ""
    gives = "gives other pixels than those pinned for" if found[1] else "cannot decode"
    return (
        f"{_decoder(path)} {gives} this file of {package or 'nstbench'}; install Pillow from its "
        "wheels on PyPI"
    )


@functools.cache
def _checksums(path: Path, modified: int, size: int) -> tuple[str, str]:
    """Return SHA-256 of a file's bytes and of its pixels; the second is empty without pixels.

    The size and time are arguments so that a process decodes an unchanged file once.

    Args:
        path: the file.
        modified: time of its last change in nanoseconds.
        size: its size in bytes.
    """
    data = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return data, pixel_hash(read_image(path))
    except ImageError:
        return data, ""


def _decoder(path: Path) -> str:
    """Return names and versions of the decoder: Pillow and the libraries it uses."""
    import PIL
    from PIL import features

    turbo = features.version_feature("libjpeg_turbo")
    library = {
        ".jpg": f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg')}",
        ".png": f"zlib {features.version_codec('zlib')}",
        ".webp": f"libwebp {features.version_module('webp')}",
    }
    # some photographs have a colour profile
    colours = f"LittleCMS {features.version_module('littlecms2')}"
    return f"Pillow {PIL.__version__} with {library[path.suffix]} and {colours}"
