"""Any folder of pictures, or a single picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from nstbench.contracts import (
    Collection,
    Dataset,
    DatasetInfo,
    ImageRecord,
    Parameters,
    Role,
    SkippedImage,
)
from nstbench.core.errors import ImageError, UsageError
from nstbench.core.text import natural_key, printable, shown_name
from nstbench.pictures.decode import OTHER_READERS, PICTURE_SUFFIXES, other_reader, read_image
from nstbench.pictures.folder_files import visible_files
from nstbench.pictures.likeness import same_picture
from nstbench.pictures.picture import read_map

LOSSLESS = (".png", ".tif", ".tiff", ".bmp")
MAP_SUFFIX = "_sem.png"
REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A picture before it is opened.

    Attributes:
        name: its name on the board.
        files: its file; several files if their names differ by the suffix only.
        maps: semantic maps by picture file.
    """

    name: str
    files: tuple[Path, ...]
    maps: Mapping[Path, Path]


class Folder(Dataset):
    """Pictures under a folder in natural order.

    A picture has the name of its file without suffix, as in ``Café``. If several folders have a
    file of that name, its path under the folder is added, as in ``monet/01``.

    Each picture is decoded once, to check that it can be read. ``X_sem.png`` in the same
    folder as ``X.jpg`` is the semantic map of that picture, and is not used as a picture.
    Of ``X.png`` and ``X.jpg`` with the same picture, the larger file is used.
    Files that cannot be used are listed with the reason; hidden files and files of the
    operating system are ignored.
    """

    info = DatasetInfo(
        title="Your own pictures",
        description="all pictures under a folder, or a single file",
        roles=(Role.CONTENT, Role.STYLE),
        licence="per image",
        citation="",
        opens_paths=True,
    )

    class Params(Parameters):
        """Where the pictures are."""

        path: Path = Field(description="a folder, read with its subfolders, or one picture")
        limit: int | None = Field(
            None, ge=1, description="use at most this number of usable pictures"
        )

    params: Params

    def load(self, role: Role) -> Collection:
        """Return the usable pictures in natural order of their relative paths.

        Raises:
            UsageError: if the path does not exist or contains no usable picture, or if two files
                have one name and show different pictures.
        """
        root = self.params.path.expanduser()
        if not root.exists():
            raise UsageError(f"{printable(root)} does not exist. Give a folder of pictures.")
        base = root if root.is_dir() else root.parent
        skipped: list[SkippedImage] = []
        files = _walk(root, skipped) if root.is_dir() else _with_map(root)
        candidates = _sort_out(files, base, skipped)
        images: list[ImageRecord] = []
        for candidate in candidates:
            if len(images) == self.params.limit:
                break
            record, problems = _examine(candidate, base)
            skipped += problems
            if record is not None:
                images.append(record)
        if not images:
            raise UsageError(_nothing_usable(root, skipped))
        return Collection(tuple(images), tuple(skipped))


def _walk(root: Path, skipped: list[SkippedImage]) -> list[Path]:
    """Return the files under a folder; add folders that cannot be read to ``skipped``."""

    def unreadable(error: OSError) -> None:
        skipped.append(SkippedImage(Path(error.filename), f"folder: {str(error.strerror).lower()}"))

    return visible_files(root, unreadable)


def _with_map(picture: Path) -> list[Path]:
    labels = picture.with_name(picture.stem + MAP_SUFFIX)
    return [picture, labels] if labels.exists() else [picture]


def _sort_out(files: list[Path], base: Path, skipped: list[SkippedImage]) -> list[_Candidate]:
    """Sort files by name into pictures, semantic maps and other files, without opening them."""
    pictures: list[Path] = []
    maps: dict[Path, Path] = {}
    for path in sorted(files, key=lambda path: natural_key(path.relative_to(base).as_posix())):
        if path.name.lower().endswith(MAP_SUFFIX):
            maps[_picture_stem(path)] = path
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            pictures.append(path)
        elif path.suffix.lower() in OTHER_READERS:
            skipped.append(SkippedImage(path, other_reader(path.suffix.lower())))
        else:
            skipped.append(SkippedImage(path, "the extension is not that of a picture"))
    stems = {path.with_suffix("") for path in pictures}
    skipped += [
        SkippedImage(path, "a semantic map without its picture")
        for stem, path in maps.items()
        if stem not in stems
    ]
    of_picture = {p: maps[p.with_suffix("")] for p in pictures if p.with_suffix("") in maps}
    places: dict[str, list[Path]] = {}
    for path in pictures:
        place = shown_name(path.relative_to(base).with_suffix("").as_posix())
        places.setdefault(place, []).append(path)
    counts = Counter(_last(place) for place in places)
    return [
        _Candidate(_last(place) if counts[_last(place)] == 1 else place, tuple(files), of_picture)
        for place, files in places.items()
    ]


def _last(place: str) -> str:
    return place.rpartition("/")[2]


def _picture_stem(semantic_map: Path) -> Path:
    return semantic_map.with_name(semantic_map.name[: -len(MAP_SUFFIX)])


def _examine(candidate: _Candidate, base: Path) -> tuple[ImageRecord | None, list[SkippedImage]]:
    """Decode a picture and its map; return the record, if usable, and the problems."""
    problems: list[SkippedImage] = []
    readable: dict[Path, np.ndarray] = {}
    for file in candidate.files:
        try:
            readable[file] = read_image(file)
        except ImageError as error:
            problems.append(SkippedImage(file, _without_path(error, file)))
            if file in candidate.maps and len(candidate.files) == 1:
                labels = candidate.maps[file]
                problems.append(SkippedImage(labels, "its picture cannot be used"))
    if not readable:
        return None, problems
    path = _one_of(readable, problems)
    semantic_map = candidate.maps.get(path)
    if semantic_map is not None:
        try:
            read_map(semantic_map, readable[path])
        except ImageError as error:
            problems.append(SkippedImage(semantic_map, _without_path(error, semantic_map)))
            semantic_map = None
    record = ImageRecord(
        name=candidate.name,
        path=path,
        source=printable(path.relative_to(base).as_posix()),
        semantic_map=semantic_map,
        collection=printable(path.absolute().parent.name),
    )
    return record, problems


def _one_of(files: Mapping[Path, np.ndarray], problems: list[SkippedImage]) -> Path:
    """Return the largest of several files of one picture; add the others to ``problems``.

    Raises:
        UsageError: if the files show different pictures.
    """
    chosen = max(files, key=lambda file: (files[file].size, file.suffix.lower() in LOSSLESS))
    for file, pixels in files.items():
        if file == chosen:
            continue
        if not same_picture(pixels, files[chosen]):
            first, second = (f for f in files if f in (file, chosen))
            raise UsageError(
                f"{printable(first)} and {printable(second)} show different pictures and have the "
                "same name without suffix, so outputs cannot tell them apart. Rename one of them."
            )
        problems.append(SkippedImage(file, f"the same picture as {printable(chosen.name)}"))
    return chosen


def _without_path(error: ImageError, path: Path) -> str:
    return str(error).removeprefix(f"{printable(path)}: ")


def _nothing_usable(root: Path, skipped: list[SkippedImage]) -> str:
    extensions = ", ".join(suffix[1:] for suffix in PICTURE_SUFFIXES)
    if not skipped:
        return f"{printable(root)} contains no pictures ({extensions}). Give another folder."
    shown = "; ".join(f"{printable(s.path.name)}: {s.reason}" for s in skipped[:REASONS_SHOWN])
    more = f"; and {len(skipped) - REASONS_SHOWN} more" if len(skipped) > REASONS_SHOWN else ""
    return (
        f"{printable(root)} contains no usable picture ({extensions}). "
        f"Left out: {shown}{more}. Repair these files or give another folder."
    )
