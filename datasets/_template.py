"""A minimal dataset. Copy this file to ``datasets/<name>.py``; the stem becomes its name.

Files that begin with an underscore are ignored, so this one is never used. No other file
needs to change: ``nstbench list datasets`` shows the copy, ``nstbench datasets
preview <name>`` draws it, and ``nstbench run --contents <name>:count=3`` uses it.
"""

from __future__ import annotations

from pydantic import Field

from nstbench.contracts import Collection, Dataset, DatasetInfo, ImageRecord, Parameters, Role
from nstbench.core.paths import cache_dir
from nstbench.pictures.picture import write_png


class Template(Dataset):
    """One sentence on the pictures, and on the reason to compare methods on them."""

    info = DatasetInfo(
        title="One line for tables",
        description="what the pictures show",
        # the roles of the pictures; a dataset of paintings has only Role.STYLE
        roles=(Role.CONTENT, Role.STYLE),
        # an SPDX identifier, or "per image" if each record says it
        licence="CC0-1.0",
        # where the pictures come from: a paper, an archive, an address
        citation="https://example.org/pictures",
        # increase it when any picture changes
        version=1,
        # importable packages beyond nstbench's own; without them the dataset is unavailable
        requires=(),
    )

    class Params(Parameters):
        """Parameters for ``name:parameter=value``; every field needs a description."""

        count: int = Field(4, ge=1, le=16, description="number of pictures")

    params: Params

    # Override `availability` if the pictures can be unavailable (no network, no licence). It
    # returns the reason and the remedy, and must not fetch anything.

    def load(self, role: Role) -> Collection:
        """Return the pictures in a fixed order.

        Every record needs a short unique name of [a-z0-9_-] and a file; licence, author
        and source are shown in the report. List pictures that cannot be used in
        ``Collection.skipped``, each with a reason of one line.
        """
        import numpy as np  # large imports belong here, because listing datasets must be fast

        images = []
        for i in range(self.params.count):
            path = cache_dir() / "template" / f"ramp-{i}.png"
            if not path.is_file():
                ramp = np.linspace(0, 255 * (i + 1) / self.params.count, 256).astype(np.uint8)
                write_png(path, np.tile(ramp[None, :, None], (256, 1, 3)))
            images.append(
                ImageRecord(
                    name=f"ramp-{i}",
                    path=path,
                    licence=self.info.licence,
                    author="the author",
                    source=self.info.citation,
                    collection="ramps",
                )
            )
        return Collection(tuple(images))
