"""Checksums of the source code that a result depends on.

They are part of the keys of outputs, scores and timings. An edit of a method, or of a loss
function that several methods share, changes exactly the keys of the results that it may change.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import nstbench
from nstbench.plugins.registry import Plugin

# These modules define interfaces and no arithmetic, so a change in them changes no result. (The
# content of a checkpoint is in the key by the checkpoint's checksum.)
INTERFACES = frozenset(
    {
        "nstbench",
        "nstbench.contracts",
        "nstbench.core.records",
        "nstbench.core.errors",
        "nstbench.training.trainable",
        "nstbench.training.checkpoints",
    }
)

_PACKAGE = Path(nstbench.__file__).parent


def source_hash(plugin: Plugin, more: Iterable[Path] = ()) -> str:
    """Return a SHA-256 checksum of a plug-in's source and of all nstbench code that it imports.

    The source is a file, or the modules of an installed package. For a program it includes
    the program's own fingerprint.

    Args:
        plugin: the plug-in, as :func:`nstbench.plugins.registry.find` returns it.
        more: files of code that works for the plug-in without being imported by it.

    Returns:
        64 hexadecimal digits, or ``"unknown"`` if the plug-in has no source file.
    """
    if plugin.path is None:
        return "unknown"
    digest = _digest((*source_files(plugin), *more))
    if plugin.program is not None:
        digest.update(plugin.program.fingerprint().encode())
    return digest.hexdigest()


def hash_of_files(files: Iterable[Path]) -> str:
    """Return a SHA-256 checksum of the content of files, in their order; repeats count once."""
    return _digest(files).hexdigest()


def _digest(files: Iterable[Path]) -> hashlib._Hash:
    digest = hashlib.sha256()
    for file in dict.fromkeys(files):
        digest.update(file.read_bytes())
    return digest


def source_files(plugin: Plugin) -> tuple[Path, ...]:
    """Return the files of a plug-in and of all nstbench code that it imports."""
    files = () if plugin.path is None else _plugin_files(plugin)
    return tuple(dict.fromkeys(file for path in files for file in _source_closure(path)))


def module_files(
    module: str, without: tuple[str, ...] = (), package: Path = _PACKAGE
) -> tuple[Path, ...]:
    """Return the file of an nstbench module and those of all nstbench code that it imports.

    Args:
        module: its full name.
        without: modules, or packages with all their modules, that are left out.
        package: folder of the nstbench package.

    Raises:
        ModuleNotFoundError: if there is no module of one of these names. A key that is made
            from the files of a misspelt or renamed module would not change with its code.
    """
    files = {name: _module_file(name, package) for name in (module, *without)}
    for name, file in files.items():
        if file is None:
            raise ModuleNotFoundError(f"source_hash: there is no module {name}", name=name)
    path = files[module]
    assert path is not None
    return _source_closure(path, without, package)


def _plugin_files(plugin: Plugin) -> tuple[Path, ...]:
    """Return the code of a plug-in alone: one file, or the modules of an installed package."""
    assert plugin.path is not None
    entry = plugin.entry_point
    depth = 0
    if entry is not None:
        depth = entry.module.count(".") + (plugin.path.name == "__init__.py")
    if depth == 0:
        return (plugin.path,)
    return tuple(sorted(plugin.path.parents[depth - 1].rglob("*.py")))


@cache
def _source_closure(
    path: Path, without: tuple[str, ...] = (), package: Path = _PACKAGE
) -> tuple[Path, ...]:
    """Return a file and the nstbench files that it imports, directly or not: itself first."""
    seen: dict[Path, None] = {path: None}
    queue = [path]
    while queue:
        for module in _nstbench_imports(queue.pop()):
            left_out = any(f"{module}.".startswith(f"{name}.") for name in without)
            if left_out or module in INTERFACES:
                continue
            file = _module_file(module, package)
            if file is not None and file not in seen:
                seen[file] = None
                queue.append(file)
    return (path, *sorted(p for p in seen if p != path))


def _nstbench_imports(path: Path) -> Iterator[str]:
    """Yield the nstbench modules that a file may import at run time.

    For ``from nstbench.x import y`` these are ``nstbench.x`` and ``nstbench.x.y``, which need
    not be a module.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # for example a template in the folder of a package
    guarded = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        else:
            continue
        yield from (c for c in candidates if c.split(".")[0] == "nstbench")


def _module_file(module: str, package: Path) -> Path | None:
    """Return the file of an nstbench module, or None if there is none."""
    base = package.joinpath(*module.split(".")[1:])
    files = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in files if file.is_file()), None)
