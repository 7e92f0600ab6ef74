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
from nstbench.pictures.picture import read_image, read_map

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif")
MAP_SUFFIX = "_sem.png"
REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A picture file that has not been opened yet."""

    path: Path
    relative: Path
    slug: str
    semantic_map: Path | None


class Folder(Dataset):
    """Pictures under a folder in natural order, each opened once to see that it can be read.

    ``X_sem.png`` beside ``X.jpg`` is that picture's semantic map and never a picture
    itself. Files that are left out are listed with the reason; names beginning with a
    dot are passed over in silence.
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
            None, ge=1, description="use only the first so many usable pictures"
        )

    params: Params

    def load(self, role: Role) -> Collection:
        """Return the usable pictures in natural order of their relative paths.

        Raises:
            UsageError: if the path does not exist or holds no usable picture.
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
    """Return the visible files under a folder, entering every real folder once."""

    def closed(error: OSError) -> None:
        skipped.append(SkippedImage(Path(error.filename), f"folder: {str(error.strerror).lower()}"))

    found: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=closed):
        status = Path(folder).stat()
        # links may lead back up: a folder seen before is not entered again
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted((s for s in subfolders if not s.startswith(".")), key=natural_key)
        found += [Path(folder, name) for name in files if not name.startswith(".")]
    return found


def _with_map(picture: Path) -> list[Path]:
    labels = picture.with_name(picture.stem + MAP_SUFFIX)
    return [picture, labels] if labels.exists() else [picture]


def _sort_out(files: list[Path], base: Path, skipped: list[SkippedImage]) -> list[_Candidate]:
    """Tell pictures from semantic maps and from other files, without opening any."""
    pictures: list[Path] = []
    maps: dict[Path, Path] = {}
    for path in sorted(files, key=lambda path: natural_key(path.relative_to(base).as_posix())):
        if path.name.lower().endswith(MAP_SUFFIX):
            maps[_picture_stem(path)] = path
        elif path.suffix[1:].lower() in EXTENSIONS:
            pictures.append(path)
        else:
            skipped.append(SkippedImage(path, "not a picture file by its extension"))
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
    """Decode a picture and its map; return what is usable and what is wrong."""
    path, labels = candidate.path, candidate.semantic_map
    try:
        pixels = read_image(path)
    except ImageError as error:
        problems = [SkippedImage(path, _without_path(error, path))]
        if labels is not None:
            problems.append(SkippedImage(labels, "the semantic map of a picture left out"))
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
    extensions = ", ".join(EXTENSIONS)
    if not skipped:
        return f"{printable(root)} holds no pictures ({extensions}). Give another folder."
    shown = "; ".join(f"{printable(s.path.name)}: {s.reason}" for s in skipped[:REASONS_SHOWN])
    more = f"; and {len(skipped) - REASONS_SHOWN} more" if len(skipped) > REASONS_SHOWN else ""
    return (
        f"{printable(root)} holds no usable picture ({extensions}). "
        f"Left out: {shown}{more}. Mend these files or give another folder."
    )
