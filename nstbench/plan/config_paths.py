"""Paths in a configuration file begin in the folder of that file, wherever it is used from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nstbench.plugins import registry

_PICTURES = ("contents", "styles", "train_contents")


def resolve_paths(
    settings: Mapping[str, Any], folder: Path, more_plugins: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the settings of a file with all relative paths joined to its folder.

    That is folders of pictures (names of datasets stay names), ``out`` and ``plugins``; working
    folders of programs are joined where the programs are read. Values of other types are left to
    whoever validates them.

    Args:
        settings: what the file holds.
        folder: the folder of the file.
        more_plugins: plug-in files that are given elsewhere, which may define datasets, too.
    """
    found = dict(settings)
    if isinstance(found.get("out"), str):
        found["out"] = _joined(folder, found["out"])
    datasets = {*registry.names("datasets"), *(Path(file).stem for file in more_plugins)}
    plugins = found.get("plugins")
    if isinstance(plugins, list | tuple):
        found["plugins"] = [_joined(folder, p) if isinstance(p, str) else p for p in plugins]
        datasets |= {Path(p).stem for p in plugins if isinstance(p, str)}
    for name in _PICTURES:
        text = found.get(name)
        if isinstance(text, str) and text and text.partition(":")[0] not in datasets:
            found[name] = _joined(folder, text)
    return found


def _joined(folder: Path, text: str) -> str:
    return str(folder / Path(text).expanduser())
