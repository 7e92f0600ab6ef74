"""Any image dataset on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from nstbench.core.text import printable, slugify, unique_slugs
from nstbench.pictures import hub
from nstbench.pictures.hub import HubRow, HubSource


class HuggingFace(Dataset):
    """Rows of a hub dataset, or of a local folder in the hub's layout.

    Rows are exported once to picture files in the cache, keyed by repository, commit and row.
    A full commit as ``revision`` makes a run repeatable. It also allows a run to start without
    a network after its rows are in the cache.
    """

    info = DatasetInfo(
        title="Hugging Face hub",
        description="the first rows, or chosen rows, of any image dataset on the hub",
        roles=(Role.CONTENT, Role.STYLE),
        licence="per dataset, see its card on the hub",
        citation="https://huggingface.co/docs/datasets",
        requires=("datasets",),
    )

    class Params(Parameters):
        """The dataset, its columns, and the rows."""

        repo: str = Field(description="owner/name on the hub, or a local folder in its layout")
        revision: str | None = Field(None, description="commit, branch or tag; default: main")
        split: str = Field("train", description="split of the dataset")
        column: str = Field("image", description="column with the pictures")
        name_column: str | None = Field(None, description="column with the names of the pictures")
        collection_column: str | None = Field(
            None, description="column with the painter or class a picture belongs to"
        )
        map_column: str | None = Field(None, description="column with semantic maps")
        config: str | None = Field(None, description="configuration, if there are several")
        limit: int = Field(20, ge=1, description="number of first rows, if no indices are given")
        indices: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
            None, min_length=1, description="row numbers, counted from 0"
        )

    params: Params

    def availability(self) -> Availability:
        """Return whether the rows can be read here, or why not."""
        return hub.availability(self._source(), self._indices())

    def load(self, role: Role) -> Collection:
        """Return the pictures in the order of their rows (or of ``indices``).

        Raises:
            UsageError: if the dataset cannot be read, a column or row does not exist, or no
                row has a usable picture.
        """
        source = self._source()
        rows = hub.export(source, self._indices(), all_needed=self.params.indices is not None)
        self._check_label_columns(rows)
        used = [row for row in rows if row.path is not None]
        skipped = [SkippedImage(Path(f"row-{r.index}"), r.reason) for r in rows if not r.path]
        if not used:
            shown = "; ".join(f"{s.path.name}: {s.reason}" for s in skipped[:3]) or "It has no rows"
            raise UsageError(f"{source.repo} has no usable picture. {shown}.")
        records = [
            self._record(row, name) for row, name in zip(used, self._names(used), strict=True)
        ]
        return Collection(tuple(records), tuple(skipped))

    def _source(self) -> HubSource:
        params = self.params
        return HubSource(
            repo=params.repo,
            revision=params.revision,
            split=params.split,
            column=params.column,
            config=params.config,
            map_column=params.map_column,
        )

    def _indices(self) -> tuple[int, ...]:
        return self.params.indices or tuple(range(self.params.limit))

    def _check_label_columns(self, rows: list[HubRow]) -> None:
        for option in ("name_column", "collection_column"):
            column = getattr(self.params, option)
            if column is not None and rows and all(column not in row.labels for row in rows):
                columns = ", ".join(sorted(rows[0].labels)) or "none"
                raise UsageError(f"{option}: no text in column '{column}'. Columns: {columns}.")

    def _names(self, rows: list[HubRow]) -> list[str]:
        column = self.params.name_column
        if column is None:
            stem = slugify(Path(self.params.repo).name) or "row"
            return [f"{stem}-{row.index:05d}" for row in rows]
        # Slashes and dots in a name do not mean folders and suffixes.
        texts = [slugify(row.labels.get(column, "")) or "row" for row in rows]
        repeated = {text for text in texts if texts.count(text) > 1}
        named = [
            Path(f"{text}-{row.index}" if text in repeated else text)
            for text, row in zip(texts, rows, strict=True)
        ]
        return unique_slugs(named)

    def _record(self, row: HubRow, name: str) -> ImageRecord:
        assert row.path is not None
        return ImageRecord(
            name=name,
            path=row.path,
            source=row.source,
            sha256=row.sha256,
            semantic_map=row.semantic_map,
            collection=printable(row.labels.get(self.params.collection_column or "", "")),
        )
