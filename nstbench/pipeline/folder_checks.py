"""What a folder must not be if a run is to be written into it."""

from __future__ import annotations

from pathlib import Path

from nstbench.core.errors import UsageError
from nstbench.core.text import printable
from nstbench.plan.listener import Listener
from nstbench.store.atomic_files import read_json
from nstbench.store.leases import Claims
from nstbench.store.store import Store

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


def meet_another_plan(store: Store, claims: Claims, plan_hash: str, listener: Listener) -> None:
    """Refuse to write the plan of this run over that of one that goes on, or of other pictures.

    Raises:
        UsageError: if that would be so.
    """
    claims.join()
    known = read_json(store.root / "run.json")
    if not isinstance(known, dict) or known.get("plan_hash") == plan_hash:
        return
    if "outputs" in known:
        raise UsageError(
            f"--out {store.root}: holds scores of pictures made elsewhere, whose board this run "
            "would bury. Choose another folder."
        )
    if claims.company:
        raise UsageError(
            f"Another process is running something else in {store.root}. Choose another folder "
            "with --out, or wait until it has finished; processes may share a folder if they "
            "run the same plan."
        )
    listener.note(
        f"{store.root} held a run of other methods, pictures or settings: its board makes room for "
        "this one's. Results that both need are used again, and none is deleted."
    )
