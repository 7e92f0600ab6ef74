"""Any folder of pictures, or a single picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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
from nstbench.core.text import natural_key, printable, unique_slugs
from nstbench.pictures.decode import PICTURE_SUFFIXES, read_image
from nstbench.pictures.picture import read_map

MAP_SUFFIX = "_sem.png"
REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A picture file before it is opened."""

    path: Path
    relative: Path
    slug: str
    semantic_map: Path | None


class Folder(Dataset):
    """Pictures under a folder in natural order.

    Each picture is decoded once, to check that it can be read. ``X_sem.png`` in the same
    folder as ``X.jpg`` is the semantic map of that picture, and is not used as a picture.
    Files that cannot be used are listed with the reason; files and folders whose names begin
    with a dot are ignored.
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
            UsageError: if the path does not exist or contains no usable picture.
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
            record, problems = _examine(candidate)
            skipped += problems
            if record is not None:
                images.append(record)
        if not images:
            raise UsageError(_nothing_usable(root, skipped))
        return Collection(tuple(images), tuple(skipped))


def _walk(root: Path, skipped: list[SkippedImage]) -> list[Path]:
    """Return the files under a folder whose names do not begin with a dot.

    Links to folders are followed, but every folder is read once. Folders that cannot be read
    are added to ``skipped``.
    """

    def unreadable(error: OSError) -> None:
        skipped.append(SkippedImage(Path(error.filename), f"folder: {str(error.strerror).lower()}"))

    visible: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=unreadable):
        status = Path(folder).stat()
        # A link to a parent folder would repeat for ever, so every folder is entered once.
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted((s for s in subfolders if not s.startswith(".")), key=natural_key)
        visible += [Path(folder, name) for name in files if not name.startswith(".")]
    return visible


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
        else:
            skipped.append(SkippedImage(path, "the extension is not that of a picture"))
    stems = {path.with_suffix("") for path in pictures}
    skipped += [
        SkippedImage(path, "a semantic map without its picture")
        for stem, path in maps.items()
        if stem not in stems
    ]
    relative = [path.relative_to(base) for path in pictures]
    return [
        _Candidate(path, rel, slug, maps.get(path.with_suffix("")))
        for path, rel, slug in zip(pictures, relative, unique_slugs(relative), strict=True)
    ]


def _picture_stem(semantic_map: Path) -> Path:
    return semantic_map.with_name(semantic_map.name[: -len(MAP_SUFFIX)])


def _examine(candidate: _Candidate) -> tuple[ImageRecord | None, list[SkippedImage]]:
    """Decode a picture and its map; return the record, if usable, and the problems."""
    path, labels = candidate.path, candidate.semantic_map
    try:
        pixels = read_image(path)
    except ImageError as error:
        problems = [SkippedImage(path, _without_path(error, path))]
        if labels is not None:
            problems.append(SkippedImage(labels, "its picture cannot be used"))
        return None, problems
    problems = []
    if labels is not None:
        try:
            read_map(labels, pixels)
        except ImageError as error:
            problems.append(SkippedImage(labels, _without_path(error, labels)))
            labels = None
    record = ImageRecord(
        name=candidate.slug,
        path=path,
        source=printable(candidate.relative.as_posix()),
        semantic_map=labels,
        collection=printable(path.absolute().parent.name),
    )
    return record, problems


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
