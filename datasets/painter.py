"""Any number of paintings by the painter of nstbench."""

from __future__ import annotations

from pydantic import Field, field_validator

from nstbench.contracts import Collection, Dataset, DatasetInfo, ImageRecord, Parameters, Role
from nstbench.core.errors import did_you_mean
from nstbench.core.paths import cache_dir
from nstbench.pictures.painter.paint_files import Wanted, paint_files
from nstbench.pictures.painter.styles import STYLES


class Painter(Dataset):
    """Paintings of all styles in turn, for the training of arbitrary-style methods.

    By default the seeds begin at 1, so the pictures of the ``starter`` dataset (seed 0) are not
    among them. A picture is painted when it is first needed, in about a second, and then kept
    in ``datasets/painter`` of the cache. Many pictures are painted in as many processes as
    there are cores. Another kind of processor may paint other pixels; copy
    that folder to train on the same pictures on another machine.
    """

    info = DatasetInfo(
        title="Paintings by nstbench",
        description="any number of pictures by nstbench's own painter, over all its styles",
        roles=(Role.STYLE,),
        licence="CC0-1.0",
        citation="nstbench.pictures.painter.styles",
        version=1,
    )

    class Params(Parameters):
        """Number, styles, size and seeds of the paintings."""

        count: int = Field(28, ge=1, description="number of paintings, over all styles together")
        styles: tuple[str, ...] = Field(
            tuple(STYLES), min_length=1, description="styles of the painter"
        )
        size: int = Field(256, ge=32, description="side in pixels")
        first: int = Field(1, ge=0, description="seed of the first painting of each style")

        @field_validator("styles")
        @classmethod
        def _exists(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            for name in value:
                if name not in STYLES:
                    raise ValueError(
                        f"the painter has no style '{name}'.{did_you_mean(name, STYLES)}"
                    )
            return value

    params: Params

    def load(self, role: Role) -> Collection:
        """Return the paintings; those that are not in the cache are painted first.

        Raises:
            StoreError: if the cache folder cannot be written.
        """
        p = self.params
        folder = cache_dir() / "datasets" / "painter" / f"v{self.info.version}" / str(p.size)
        numbers = (divmod(index, len(p.styles)) for index in range(p.count))
        wanted = [(p.styles[style], p.first + turn) for turn, style in numbers]
        paths = [folder / f"{style}-{seed}.png" for style, seed in wanted]
        paint_files(
            [
                Wanted(style, p.size, seed, str(path))
                for (style, seed), path in zip(wanted, paths, strict=True)
            ]
        )
        return Collection(
            tuple(
                ImageRecord(
                    name=f"{style}-{seed}",
                    path=path,
                    licence="CC0-1.0",
                    author="nstbench painter",
                    source=f'nstbench.pictures.painter.styles.paint("{style}", {p.size}, {seed})',
                    collection=style,
                )
                for (style, seed), path in zip(wanted, paths, strict=True)
            )
        )
