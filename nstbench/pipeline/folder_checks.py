"""Checks of a folder before a run is written to it."""

from __future__ import annotations

from pathlib import Path

from nstbench.core.errors import UsageError
from nstbench.core.text import printable
from nstbench.pictures.folder_files import picture_files
from nstbench.plan.listener import Listener
from nstbench.store.atomic_files import read_json
from nstbench.store.leases import Leases
from nstbench.store.store import Store

_NAMED = 3


def refuse_folder_of_pictures(root: Path) -> None:
    """Raise if the folder contains pictures: outputs would later be read as content pictures.

    Raises:
        UsageError: if the path is a file, or the folder contains pictures and no run.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(
            f"--out {printable(root)}: move the file that is where a folder is needed, or "
            "choose another folder."
        )
    if not root.is_dir() or (root / "run.json").exists():
        return
    found = [path.name for path in picture_files(root)]
    if found:
        names = ", ".join(map(printable, found[:_NAMED])) + (", ..." if found[_NAMED:] else "")
        raise UsageError(
            f"--out {printable(root)}: the folder contains pictures ({names}) and no run. The next "
            "run would read outputs as contents. Choose another folder."
        )


def meet_another_plan(store: Store, leases: Leases, plan_hash: str, listener: Listener) -> None:
    """Raise if another process runs another plan in this folder, or if it has imported pictures.

    A note tells that the report of an earlier run with other settings will be overwritten.

    Raises:
        UsageError: in both cases.
    """
    leases.join()
    known = read_json(store.root / "run.json")
    if not isinstance(known, dict) or known.get("plan_hash") == plan_hash:
        return
    if "outputs" in known:
        raise UsageError(
            f"--out {store.root}: the folder contains scores of imported pictures, and this run "
            "would overwrite their report. Choose another folder."
        )
    if leases.company:
        raise UsageError(
            f"Another process is running another plan in {store.root}. Choose another folder with "
            "--out, or wait until it has finished. Processes may share a folder if they run the "
            "same plan."
        )
    listener.note(
        f"{store.root} contains a run with other settings. Its report will be overwritten; shared "
        "results are used and nothing is deleted."
    )
