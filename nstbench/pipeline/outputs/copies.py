"""Copy imported pictures, contents and styles into a run folder, each content as its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from nstbench.core.cards import PictureCard
from nstbench.core.errors import ImageError
from nstbench.core.records import ImageRecord, Role
from nstbench.core.text import counted, printable
from nstbench.pictures.decode import orientation_of, read_image, turned
from nstbench.pictures.picture import fit, pixel_hash, write_png
from nstbench.pipeline.outputs import shapes
from nstbench.pipeline.outputs.patterns import Pair
from nstbench.pipeline.outputs.units import Made, Size, parts_of, store_name
from nstbench.store.keys import key_of
from nstbench.store.store import Store

Place = tuple[str, Pair]
"""Method and pair of an output."""

CUT = "cut to the content, because the surplus is constant padding"
CONTENT = "compared with the content resized to their shape"
RESIZED = "resized to the shape of the other outputs of their content"
TURNED = "turned upright, because the EXIF orientation of the content was ignored"

_KEPT = 16
_NAMED = 2
_DOUBTED = 3


class Copies:
    """Copies pictures into a run folder.

    Args:
        store: the run folder.
        fit: value of ``--fit``; see :data:`nstbench.pipeline.outputs.shapes.ASSUMED`.
        size: longer side that outputs are scaled to, or ``None`` for their own size.
        given: content -> shape of its outputs, where a run decides it; empty otherwise.
    """

    def __init__(self, store: Store, fit: str, size: int | None, given: Mapping[str, Size]) -> None:
        self.store = store
        self.fit = fit
        self.size = size
        self.given = given
        self.refused_sizes: list[int] = []
        self._read = lru_cache(_KEPT)(read_image)
        self._orientation = cache(orientation_of)

    def outputs(
        self, files: Mapping[Place, Path], contents: Mapping[str, ImageRecord]
    ) -> dict[Place, Made | str]:
        """Copy the outputs; return each copy, or the reason why an output is not used."""
        # decoding, compressing and waiting for the disk release the interpreter lock
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda p: self._output(p, files[p], contents[p[1].content]), files)
            found = dict(zip(files, made, strict=True))
        wanted = self.given or _most_common(found)
        for place, one in found.items():
            if isinstance(one, Made) and (shape := wanted[place[1].content]) != one.shape:
                found[place] = self._of_shape(place, one, contents[place[1].content], shape)
        return found

    def style(self, record: ImageRecord, size: int, shape: Size | None) -> PictureCard | str:
        """Copy a style, or return the reason why it cannot be used.

        Args:
            record: the style.
            size: longer side of the copy.
            shape: shape of most outputs, to which ``--fit stretch`` resizes the style.
        """
        try:
            pixels = self._read(record.path)
        except ImageError as error:
            return str(error)
        if self.fit == "stretch" and shape is not None:
            return self._keep(Role.STYLE, record, shapes.as_fit(pixels, shape, "stretch"))
        return self._keep(Role.STYLE, record, fit(pixels, size, "inside"))

    def content(self, record: ImageRecord, shape: Size) -> PictureCard | str:
        """Copy a content in the shape of its outputs, or return why it cannot be used."""
        try:
            pixels = self._read(record.path)
        except ImageError as error:
            return str(error)
        fit = "crop" if self.fit == "crop" else "stretch"
        return self._keep(Role.CONTENT, record, shapes.as_fit(pixels, shape, fit))

    def notes(
        self, found: Mapping[Place, Made | str], contents: Mapping[str, ImageRecord]
    ) -> list[str]:
        """Return a note on changed outputs, and one on a ``--fit`` that the edges contradict."""
        notes = changes_note(one for one in found.values() if isinstance(one, Made))
        if self.given or self.fit == "inside":
            return notes
        first = {p[1].content: one for p, one in found.items() if isinstance(one, Made)}
        for content, made in list(first.items())[:_DOUBTED]:
            pixels, original = read_image(made.file), self._read(contents[content].path)
            if note := shapes.doubt(self.fit, printable(made.file.name), pixels, original):
                return [*notes, note]
        return notes

    # -- one picture ----------------------------------------------------------------------

    def _output(self, place: Place, file: Path, content: ImageRecord) -> Made | str:
        try:
            pixels, change, own = self._settled(file, content)
        except ImageError as error:
            return str(error)
        return self._write(place, Made(file, own, "", own, change), pixels)

    def _settled(self, file: Path, content: ImageRecord) -> tuple[np.ndarray, str, Size]:
        """Read an output; return its pixels without padding, what was changed, and its own size.

        Raises:
            ImageError: if it cannot be read, or shows another part of the content.
        """
        pixels, change = self._upright(read_image(file, single=True), content)
        own = pixels.shape[0], pixels.shape[1]
        original = self._read(content.path)
        size = original.shape[0], original.shape[1]
        if self.fit == "inside" and (cut := shapes.without_padding(pixels, size)) is not None:
            return cut, change or CUT, own
        if (cut := shapes.without_frame(pixels, original)) is not None:
            pixels, change = cut, change or CUT
        if self.fit != "inside":
            return pixels, change, own
        shape = pixels.shape[0], pixels.shape[1]
        if shapes.has_proportions(shape, size):
            return pixels, change, own
        if shapes.is_whole(pixels, original):
            return pixels, change or CONTENT, own
        self.refused_sizes.append(max(own))
        if self.given:
            raise ImageError(_not_of_run(file, own, size))
        named = printable(content.path.name)
        raise ImageError(shapes.refusal(printable(file.name), pixels, named, original))

    def _upright(self, pixels: np.ndarray, content: ImageRecord) -> tuple[np.ndarray, str]:
        """Turn an output whose program ignored the EXIF orientation of the content.

        Returns:
            The pixels, and the change in words; empty if the output is upright.
        """
        orientation = self._orientation(content.path)
        if orientation == 1:
            return pixels, ""
        upright = turned(pixels, orientation)
        fit = "crop" if self.fit == "crop" else "stretch"
        if shapes.fits_better(self._read(content.path), upright, pixels, fit):
            return np.ascontiguousarray(upright), TURNED
        return pixels, ""

    def _of_shape(self, place: Place, made: Made, content: ImageRecord, shape: Size) -> Made | str:
        """Copy an output again in the shape of the others, or return why that is not possible."""
        if not shapes.is_near(made.shape, shape):
            if self.given:
                return _not_of_run(made.file, made.own, shape)
            return (
                f"{printable(made.file.name)} is {made.own[1]} x {made.own[0]} px, but most "
                f"outputs of this content are {shape[1]} x {shape[0]} px; --size scales all to one "
                "size"
            )
        try:
            pixels, change, _ = self._settled(made.file, content)
        except ImageError as error:
            return str(error)
        self._path(place, made.sha256).unlink(missing_ok=True)
        resized = Image.fromarray(pixels).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
        return self._write(place, replace(made, change=change or RESIZED), np.array(resized), True)

    def _write(self, place: Place, made: Made, pixels: np.ndarray, exact: bool = False) -> Made:
        if self.size and not exact:
            pixels = fit(pixels, self.size, "inside")
        digest = pixel_hash(pixels)
        write_png(self._path(place, digest), pixels)
        return replace(made, shape=(pixels.shape[0], pixels.shape[1]), sha256=digest)

    def _path(self, place: Place, digest: str) -> Path:
        return self.store.output_path(store_name(place[0]), key_of(parts_of(*place, digest)))

    def _keep(self, role: Role, record: ImageRecord, pixels: np.ndarray) -> PictureCard:
        digest = pixel_hash(pixels)
        file = Path("inputs") / role / f"{digest[:20]}.png"
        write_png(self.store.root / file, pixels)
        facts = (record.licence, record.author, record.source)
        return PictureCard(role, record.name, str(file), digest, *facts)


def shapes_of(found: Mapping[Place, Made | str]) -> dict[str, Size]:
    """Return content -> (height, width) of its outputs that are used."""
    return {place[1].content: one.shape for place, one in found.items() if isinstance(one, Made)}


def _most_common(found: Mapping[Place, Made | str]) -> dict[str, Size]:
    """Return content -> (height, width) of most of its outputs."""
    counts: dict[str, Counter[Size]] = {}
    for (_, pair), made in found.items():
        if isinstance(made, Made):
            counts.setdefault(pair.content, Counter())[made.shape] += 1
    return {content: counter.most_common(1)[0][0] for content, counter in counts.items()}


def changes_note(outputs: Iterable[Made]) -> list[str]:
    """Return one note on all outputs whose size differs a little from that of their content."""
    changed: dict[str, list[Made]] = {}
    for made in outputs:
        if made.change:
            changed.setdefault(made.change, []).append(made)
    if not changed:
        return []
    parts = []
    for change, made_so in changed.items():
        names = [
            f"{printable(made.file.name)} of {made.own[1]} x {made.own[0]} px" for made in made_so
        ]
        more = ", ..." if len(names) > _NAMED else ""
        parts.append(
            f"{counted(len(names), 'output')} {change} ({', '.join(names[:_NAMED])}{more})"
        )
    what = "outputs of another size or orientation than their content are used"
    return [f"{what}: {'; '.join(parts)}."]


def _not_of_run(file: Path, shape: Size, content: Size) -> str:
    return (
        f"{printable(file.name)} is {shape[1]} x {shape[0]} px, but the content of the run is "
        f"{content[1]} x {content[0]} px"
    )
