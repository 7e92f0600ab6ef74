"""What a folder must not be if a run is to be written into it."""

from __future__ import annotations

from pathlib import Path

from nstbench.errors import UsageError
from nstbench.names import printable

_PICTURES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
)  # fmt: skip
_NAMED = 3


def refuse_folder_of_pictures(root: Path) -> None:
    """Refuse a folder of somebody's pictures, among which outputs would lie as further contents.

    Raises:
        UsageError: if the folder has pictures in it and no run.
    """
    if not root.is_dir() or (root / "run.json").exists():
        return
    found = sorted(p.name for p in root.iterdir() if p.suffix.lower() in _PICTURES)
    if found:
        names = ", ".join(map(printable, found[:_NAMED])) + (", ..." if found[_NAMED:] else "")
        raise UsageError(
            f"--out {printable(root)}: the folder holds pictures ({names}) and no run. Results "
            "would lie among them and be taken for contents the next time. Choose another folder."
        )
