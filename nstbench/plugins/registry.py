"""Discovery of plug-ins: built-in folders, installed entry points, single files.

Names are found without importing anything. A plug-in's code runs only when it is
loaded, and one that fails to load is reported as unavailable instead of stopping
the program.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import nstbench
from nstbench.core.errors import NstbenchError, UsageError, did_you_mean
from nstbench.plugins.programs.entry import Program

KINDS = ("methods", "metrics", "datasets", "reports")

# These hold interfaces and no arithmetic, so a change in them changes no result. (What a
# checkpoint holds is in the key by its checksum.)
_INTERFACES = {
    "nstbench",
    "nstbench.contracts",
    "nstbench.core.records",
    "nstbench.core.errors",
    "nstbench.training.trainable",
    "nstbench.training.checkpoints",
}

_PROGRAM_FILE = Path(nstbench.__file__).parent / "plugins" / "programs" / "method.py"

_files: dict[tuple[str, str], Path] = {}
_programs: dict[str, Program] = {}


class PluginError(NstbenchError):
    """A plug-in exists but cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """Where a plug-in comes from: a file, an installed entry point or a program."""

    kind: str
    name: str
    path: Path | None
    origin: str
    entry_point: importlib.metadata.EntryPoint | None = None
    program: Program | None = None


def folder(kind: str) -> Path:
    """Return the folder of the built-in plug-ins of one kind.

    In a wheel it lies inside the package; in a checkout, installed or not, beside it.
    """
    package = Path(nstbench.__file__).parent
    installed = package / "_plugins" / kind
    return installed if installed.is_dir() else package.parent / kind


def plugins(kind: str) -> dict[str, Plugin]:
    """Return name -> plug-in of one kind, sorted by name, importing none of them."""
    found: dict[str, Plugin] = {}
    for path in sorted(folder(kind).glob("*.py")):
        if not path.stem.startswith("_"):
            found[path.stem] = Plugin(kind, path.stem, path, "built in")
    for entry in _entry_points(kind, tuple(sys.path)):
        if entry.name in found:
            raise UsageError(
                f"The installed plug-in '{entry.name}' ({entry.value}) has the name of a "
                f"plug-in in {found[entry.name].path}. Rename its entry point."
            )
        origin = entry.dist.name if entry.dist else entry.value
        found[entry.name] = Plugin(kind, entry.name, _module_file(entry), origin, entry)
    for (file_kind, name), path in _files.items():
        if file_kind == kind:
            found[name] = Plugin(kind, name, path, str(path))
    if kind == "methods":
        for name, program in _programs.items():
            found[name] = Plugin(kind, name, _PROGRAM_FILE, "program", program=program)
    return dict(sorted(found.items()))


@cache
def _entry_points(
    kind: str, search_path: tuple[str, ...]
) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Read the metadata of installed packages once per search path; it takes a while."""
    return tuple(importlib.metadata.entry_points(group=f"nstbench.{kind}"))


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of one kind, sorted."""
    return list(plugins(kind))


def find(kind: str, name: str) -> Plugin:
    """Return one plug-in.

    Raises:
        UsageError: if there is none of that name; it suggests the closest one.
    """
    known = plugins(kind)
    if name not in known:
        raise UsageError(
            f"There is no {kind.rstrip('s')} called '{name}'.{did_you_mean(name, known)} "
            f"`nstbench list {kind}` shows all of them."
        )
    return known[name]


def load(kind: str, name: str) -> Any:
    """Import a plug-in and return its class.

    Raises:
        UsageError: if the name is unknown.
        PluginError: if its code does not run or does not define exactly one plug-in class.
    """
    plugin = find(kind, name)
    if plugin.program is not None:
        from nstbench.plugins.programs.method import method_class

        return method_class(plugin.program)
    try:
        if plugin.entry_point is not None:
            loaded = plugin.entry_point.load()
            return _only_class(kind, loaded) if inspect.ismodule(loaded) else loaded
        assert plugin.path is not None
        return _only_class(kind, _import_file(kind, plugin.path))
    except PluginError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"{kind.rstrip('s')} '{name}' cannot be imported: {type(error).__name__}: {error} "
            f"({Path(last.filename).name}, line {last.lineno})"
        ) from error


def add_file(path: Path) -> Plugin:
    """Register one Python file as a plug-in; its class decides the kind.

    Raises:
        UsageError: if the file is missing, defines no plug-in class, or its name is taken.
    """
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"--plugin: there is no file {path}.")
    kind = _kind_of(path)
    taken = plugins(kind).get(path.stem)
    if taken is not None and taken.path != path:
        raise UsageError(
            f"--plugin {path}: there already is a {kind.rstrip('s')} called '{path.stem}' "
            f"({taken.origin}). Rename the file."
        )
    _files[kind, path.stem] = path
    return find(kind, path.stem)


def add_program(program: Program) -> None:
    """Register a program as a method, in place of one of that name.

    Raises:
        UsageError: if a plug-in has its name.
    """
    taken = plugins("methods").get(program.name)
    if taken is not None and taken.program is None:
        raise UsageError(
            f"methods, {program.name}: there already is a method of that name ({taken.origin}). "
            "Give the program another name."
        )
    _programs[program.name] = program


def added_programs() -> tuple[Program, ...]:
    """Return the programs registered with :func:`add_program`, for workers to do the same."""
    return tuple(_programs.values())


def added_files() -> tuple[Path, ...]:
    """Return the files registered with :func:`add_file`, for workers to do the same."""
    return tuple(_files.values())


def source_hash(kind: str, name: str, beside: Iterable[Path] = ()) -> str:
    """Return a checksum of a plug-in's source and of all nstbench code that it imports.

    The source is a file, the modules of an installed package, or what a program is made of.

    It is part of the key of everything the plug-in makes, so that an edit of a
    method, or of a loss function that it shares with others, makes exactly the
    results stale that may have changed.

    Args:
        kind: one of ``KINDS``.
        name: the plug-in's name.
        beside: files of code that works for the plug-in without being imported by it.
    """
    plugin = find(kind, name)
    if plugin.path is None:
        return "unknown"
    digest = hashlib.sha256()
    for source in dict.fromkeys((*source_files(kind, name), *beside)):
        digest.update(source.read_bytes())
    if plugin.program is not None:
        digest.update(plugin.program.fingerprint().encode())
    return digest.hexdigest()


def source_files(kind: str, name: str) -> tuple[Path, ...]:
    """Return the files of a plug-in and of all nstbench code that it imports."""
    plugin = find(kind, name)
    own = () if plugin.path is None else _own_files(plugin)
    return tuple(dict.fromkeys(file for path in own for file in _source_closure(path)))


def module_files(module: str, without: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Return the file of an nstbench module and those of all nstbench code that it imports.

    Args:
        module: its full name.
        without: modules, or packages with all that is in them, that are left out.
    """
    file = _core_file(module)
    return () if file is None else _source_closure(file, without)


def _own_files(plugin: Plugin) -> tuple[Path, ...]:
    """Return the code that belongs to a plug-in: one file, or an installed package's modules."""
    assert plugin.path is not None
    entry = plugin.entry_point
    depth = 0
    if entry is not None:
        depth = entry.module.count(".") + (plugin.path.name == "__init__.py")
    if depth == 0:
        return (plugin.path,)
    return tuple(sorted(plugin.path.parents[depth - 1].rglob("*.py")))


@cache
def _source_closure(path: Path, without: tuple[str, ...] = ()) -> tuple[Path, ...]:
    seen: dict[Path, None] = {path: None}
    queue = [path]
    while queue:
        for module in _nstbench_imports(queue.pop()):
            left_out = any(f"{module}.".startswith(f"{name}.") for name in without)
            file = None if left_out else _core_file(module)
            if file is not None and file not in seen:
                seen[file] = None
                queue.append(file)
    return (path, *sorted(p for p in seen if p != path))


def _nstbench_imports(path: Path) -> Iterator[str]:
    """Yield the nstbench modules that a file imports at run time."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # a template beside the modules of a package, for example
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


def _core_file(module: str) -> Path | None:
    if module in _INTERFACES:
        return None
    base = Path(nstbench.__file__).parent.joinpath(*module.split(".")[1:])
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


def _module_file(entry: importlib.metadata.EntryPoint) -> Path | None:
    try:
        spec = importlib.util.find_spec(entry.module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _import_file(kind: str, path: Path) -> ModuleType:
    module_name = f"nstbench_plugins.{kind}.{path.stem}"
    known = sys.modules.get(module_name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # pydantic resolves postponed annotations through sys.modules while the class is built
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _base_class(kind: str) -> type:
    from nstbench import contracts

    return {
        "methods": contracts.Method,
        "metrics": contracts.Metric,
        "datasets": contracts.Dataset,
        "reports": contracts.Section,
    }[kind]


def _classes(kind: str, module: ModuleType) -> list[type]:
    base = _base_class(kind)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
        and hasattr(value, "info")
    ]


def _only_class(kind: str, module: ModuleType) -> type:
    found = _classes(kind, module)
    if len(found) != 1:
        base = _base_class(kind).__name__
        raise PluginError(
            f"{module.__file__} must define exactly one {base} with an `info` attribute and "
            f"all abstract methods; it defines {len(found)}"
        )
    return found[0]


def _kind_of(path: Path) -> str:
    """Find out which kind of plug-in a file defines by importing it."""
    try:
        module = _import_file("files", path)
    except Exception as error:
        raise UsageError(
            f"--plugin {path}: cannot be imported: {type(error).__name__}: {error}"
        ) from error
    kinds = [kind for kind in KINDS if _classes(kind, module)]
    if len(kinds) != 1:
        raise UsageError(
            f"--plugin {path}: the file must define exactly one class derived from Method, "
            f"Metric, Dataset or Section of nstbench.contracts."
        )
    return kinds[0]
