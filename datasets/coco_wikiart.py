"""COCO photographs and WikiArt paintings, the usual pairing in papers, as a fixed list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from nstbench.contracts import (
    Availability,
    Collection,
    Dataset,
    DatasetInfo,
    ImageRecord,
    Parameters,
    Role,
    SkippedImage,
)
from nstbench.core.errors import UsageError
from nstbench.core.text import printable
from nstbench.pictures import hub
from nstbench.pictures.hub import HubRow, HubSource

COUNT = 50


class CocoWikiArt(Dataset):
    """Rows of two hub repositories. A JSON file lists them by commit, file and row.

    The JSON file states how the rows were drawn. It is never edited; a better list becomes a
    new version. Fetching all 50 + 50 pictures transfers about 3 GB once (one file of COCO,
    five of WikiArt), because the files can only be read from their beginning.
    """

    info = DatasetInfo(
        title="COCO val2017 + WikiArt",
        description="photographs from COCO val2017 and paintings from WikiArt, index-drawn "
        "and uncurated; the first 20 are the suite 'standard', all 50 the suite 'full'",
        roles=(Role.CONTENT, Role.STYLE),
        licence="per image: COCO photographs under their Flickr licences, WikiArt for "
        "non-commercial research",
        citation="Lin et al. 2014 (arXiv:1405.0312); Tan et al. 2019 (IEEE TIP 28)",
        requires=("datasets",),
    )

    class Params(Parameters):
        """The number of pictures."""

        count: int = Field(20, ge=1, le=COUNT, description="number of pictures of each role")

    params: Params
    index: ClassVar[Path] = Path(__file__).with_name("coco_wikiart_v1.json")

    def availability(self) -> Availability:
        """Return whether the pictures of both roles can be read here, or why not."""
        for role in self.info.roles:
            for source, rows in self._sources(role):
                state = hub.availability(source, rows)
                if not state.ok:
                    return state
        return Availability()

    def load(self, role: Role) -> Collection:
        """Return the first ``count`` pictures of a role in the order of the list.

        Raises:
            UsageError: if they are not in the cache and cannot be fetched.
        """
        rows_of = {
            (source.file, row.index): row
            for source, rows in self._sources(role)
            for row in hub.export(source, rows, all_needed=True)
        }
        images: list[ImageRecord] = []
        skipped: list[SkippedImage] = []
        files = self._list(role)["files"]
        for file, index in self._list(role)["rows"][: self.params.count]:
            row = rows_of[files[str(file)], index]
            if row.path is None:
                skipped.append(SkippedImage(Path(f"{files[str(file)]}:{index}"), row.reason))
            else:
                images.append(_record(role, file, row))
        if not images:
            raise UsageError(f"coco_wikiart: no usable {role} picture. {skipped[0].reason}")
        return Collection(tuple(images), tuple(skipped))

    def _list(self, role: Role) -> Any:
        return json.loads(self.index.read_bytes())[role.value]

    def _sources(self, role: Role) -> Iterator[tuple[HubSource, list[int]]]:
        """Yield every data file with the numbers of the rows that are needed from it."""
        listed = self._list(role)
        wanted = listed["rows"][: self.params.count]
        for number, file in listed["files"].items():
            rows = [index for file_number, index in wanted if str(file_number) == number]
            if rows:
                source = HubSource(
                    repo=listed["repo"],
                    revision=listed["revision"],
                    column=listed["column"],
                    file=file,
                )
                yield source, rows


def _record(role: Role, file: int, row: HubRow) -> ImageRecord:
    assert row.path is not None
    if role is Role.CONTENT:
        number = row.labels.get("image_id", "")
        # COCO uses this number as file name.
        name = f"coco-{int(number):012d}" if number.isdecimal() else f"coco-row-{row.index:04d}"
        return ImageRecord(
            name,
            row.path,
            licence="per image (Flickr)",
            source=row.source,
            sha256=row.sha256,
        )
    artist = printable(row.labels.get("artist", ""))
    return ImageRecord(
        f"wikiart-{file:02d}-{row.index:04d}",
        row.path,
        licence="non-commercial research (WikiArt)",
        author=artist,
        source=row.source,
        sha256=row.sha256,
        collection=artist,
    )
