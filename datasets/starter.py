"""Photographs that installed packages ship, and styles that nstbench paints itself."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nstbench.contracts import Collection, Dataset, DatasetInfo, ImageRecord, Role, SkippedImage
from nstbench.core.paths import cache_dir
from nstbench.pictures.picture import write_png

if TYPE_CHECKING:
    from nstbench.pictures.painter.styles import Painting

STYLE_SIZE = 512


@dataclass(frozen=True, slots=True)
class _Photograph:
    """A file inside an installed package, with the provenance that the package states."""

    name: str
    package: str
    file: str
    sha256: str
    licence: str
    author: str
    source: str
    subject: str


_PHOTOGRAPHS = (
    _Photograph(
        name="astronaut",
        package="skimage",
        file="data/astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        licence="public domain",
        author="NASA",
        source="https://flic.kr/p/r9qvLn, in scikit-image",
        subject="portrait",
    ),
    _Photograph(
        name="cat",
        package="skimage",
        file="data/chelsea.png",
        sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        licence="CC0-1.0",
        author="Stefan van der Walt",
        source="skimage.data.chelsea, in scikit-image",
        subject="portrait",
    ),
    _Photograph(
        name="coffee",
        package="skimage",
        file="data/coffee.png",
        sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        licence="CC0-1.0",
        author="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        source="skimage.data.coffee, in scikit-image",
        subject="still life",
    ),
    _Photograph(
        name="rocket",
        package="skimage",
        file="data/rocket.jpg",
        sha256="c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        licence="public domain",
        author="SpaceX",
        source="https://www.flickr.com/photos/spacexphotos/16511594820/, in scikit-image",
        subject="view",
    ),
    _Photograph(
        name="motorcycle",
        package="skimage",
        file="data/motorcycle_left.png",
        sha256="db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        licence="none stated; cite Scharstein et al., GCPR 2014",
        author="Nera Nesic, Porter Westling, Xi Wang, York Kitajima, Greg Krathwohl, "
        "Daniel Scharstein",
        source="http://vision.middlebury.edu/stereo/data/scenes2014/, in scikit-image",
        subject="still life",
    ),
    _Photograph(
        name="china",
        package="sklearn",
        file="datasets/images/china.jpg",
        sha256="8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        licence="CC-BY-2.0",
        author="danielbuechele",
        source="https://www.flickr.com/photos/danielbuechele/6061409035/, in scikit-learn",
        subject="view",
    ),
    _Photograph(
        name="flower",
        package="sklearn",
        file="datasets/images/flower.jpg",
        sha256="a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        licence="CC-BY-2.0",
        author="vultilion",
        source="https://www.flickr.com/photos/vultilion/6056698931/, in scikit-learn",
        subject="still life",
    ),
)


class Starter(Dataset):
    """Seven photographs and the first painting of each style: no download, the same everywhere.

    The photographs are read where scikit-image and scikit-learn installed them. The
    paintings and all semantic maps are made once, in ``datasets/starter/v<version>`` of the
    cache; a map's colours mean the same in photographs and paintings
    (:class:`nstbench.pictures.painter.styles.Label`). Photographs are collected by subject, paintings by style.
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
        """Return photographs or paintings in a fixed order; missing pictures are made first.

        Raises:
            StoreError: if the cache folder cannot be written.
        """
        folder = cache_dir() / "datasets" / "starter" / f"v{self.info.version}"
        return _paintings(folder) if role == Role.STYLE else _photographs(folder)


def _photographs(folder: Path) -> Collection:
    images: list[ImageRecord] = []
    skipped: list[SkippedImage] = []
    for photograph in _PHOTOGRAPHS:
        path = _installed(photograph)
        problem = _problem(path, photograph)
        if problem:
            skipped.append(SkippedImage(path, problem))
            continue
        images.append(
            ImageRecord(
                name=photograph.name,
                path=path,
                licence=photograph.licence,
                author=photograph.author,
                source=photograph.source,
                sha256=photograph.sha256,
                semantic_map=_photograph_map(photograph.name, path, folder),
                collection=photograph.subject,
            )
        )
    return Collection(tuple(images), tuple(skipped))


def _installed(photograph: _Photograph) -> Path:
    # The package's own loaders would import it whole, and may look for a newer file online.
    spec = importlib.util.find_spec(photograph.package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    return Path(roots[0] if roots else photograph.package, photograph.file)


def _problem(path: Path, photograph: _Photograph) -> str:
    if not path.is_file():
        return f"the installed {photograph.package} does not ship it"
    if hashlib.sha256(path.read_bytes()).hexdigest() != photograph.sha256:
        return f"the installed {photograph.package} ships another picture of that name"
    return ""


def _photograph_map(name: str, picture: Path, folder: Path) -> Path | None:
    from PIL import Image

    from nstbench.pictures.painter.tools.regions import PHOTOGRAPHS, photograph_map

    if name not in PHOTOGRAPHS:
        return None
    path = folder / f"{name}_sem.png"
    if not path.is_file():
        with Image.open(picture) as image:
            width, height = image.size
        write_png(path, photograph_map(name, width, height))
    return path


def _paintings(folder: Path) -> Collection:
    from nstbench.pictures.painter.styles import STYLES, painting

    images = []
    for style in STYLES:
        path, labels = folder / f"{style}.png", folder / f"{style}_sem.png"
        if not path.is_file():
            _write(painting(style, STYLE_SIZE), path, labels)
        images.append(
            ImageRecord(
                name=style,
                path=path,
                licence="CC0-1.0",
                author="nstbench painter",
                source=f'nstbench.pictures.painter.styles.paint("{style}", {STYLE_SIZE})',
                semantic_map=labels if labels.is_file() else None,
                collection=style,
            )
        )
    return Collection(tuple(images))


def _write(made: Painting, path: Path, labels: Path) -> None:
    """Write the map, if there is one, first: no picture is ever in the cache without it."""
    regions = made.label_pixels()
    if regions is not None:
        write_png(labels, regions)
    write_png(path, made.pixels())
