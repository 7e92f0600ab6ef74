"""Discovery of plug-ins: built-in folders, installed entry points, single files, programs.

Names are listed without importing a plug-in. A plug-in's code runs when the plug-in is
loaded, and a failure to load is an error of that plug-in only.

The functions of this module are the methods of one :class:`Registry` for the process,
``DEFAULT``, as the functions of :mod:`random` are the methods of one generator.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import nstbench
from nstbench.core.errors import NstbenchError, UsageError, did_you_mean
from nstbench.core.torchvision_shim import install as prepare_torchvision
from nstbench.plugins.programs.entry import Program

KINDS = ("methods", "metrics", "datasets", "reports")

_PROGRAM_FILE = Path(nstbench.__file__).parent / "plugins" / "programs" / "method.py"


class PluginError(NstbenchError):
    """A plug-in exists but cannot be used; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in that was discovered and not imported.

    Attributes:
        kind: one of ``KINDS``.
        name: its name in the registry.
        path: its file; ``None`` if an entry point names a module that is not installed.
        origin: where it comes from, for tables: ``"built in"``, a distribution, a file.
        entry_point: the entry point that names it, if it is installed.
        program: the program that runs it, if it is an entry of a configuration file.
    """

    kind: str
    name: str
    path: Path | None
    origin: str
    entry_point: importlib.metadata.EntryPoint | None = None
    program: Program | None = None


def folder(kind: str) -> Path:
    """Return the folder of the built-in plug-ins of one kind.

    In a wheel it is inside the package; in a checkout, installed or not, next to it.
    """
    package = Path(nstbench.__file__).parent
    installed = package / "_plugins" / kind
    return installed if installed.is_dir() else package.parent / kind


def installed(kind: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Return the entry points of one kind in the installed packages."""
    return _entry_points(kind, tuple(sys.path))


@cache
def _entry_points(
    kind: str, search_path: tuple[str, ...]
) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Read the metadata of installed packages once per search path, because reading is slow."""
    return tuple(importlib.metadata.entry_points(group=f"nstbench.{kind}"))


class Registry:
    """The plug-ins that a process can use.

    Args:
        folder: function from a kind to the folder of its built-in plug-ins.
        installed: function from a kind to the entry points of installed packages.

    Example:
        >>> registry = Registry(installed=lambda kind: ())
        >>> "ssim" in registry.names("metrics")
        True
        >>> registry.load("metrics", "ssim").info.title
        'SSIM (luma)'
    """

    def __init__(
        self,
        folder: Callable[[str], Path] = folder,
        installed: Callable[[str], Iterable[importlib.metadata.EntryPoint]] = installed,
    ) -> None:
        self.folder = folder
        self.installed = installed
        self._added: dict[tuple[str, str], Plugin] = {}

    def plugins(self, kind: str) -> dict[str, Plugin]:
        """Return name -> plug-in of one kind, sorted by name, without importing any.

        Raises:
            UsageError: if an installed plug-in has the name of a built-in one.
        """
        by_name: dict[str, Plugin] = {}
        for path in sorted(self.folder(kind).glob("*.py")):
            if not path.stem.startswith("_"):
                by_name[path.stem] = Plugin(kind, path.stem, path, "built in")
        for entry in self.installed(kind):
            if entry.name in by_name:
                raise UsageError(
                    f"The installed plug-in '{entry.name}' ({entry.value}) has the name of a "
                    f"plug-in in {by_name[entry.name].path}. Rename its entry point."
                )
            origin = entry.dist.name if entry.dist else entry.value
            by_name[entry.name] = Plugin(kind, entry.name, _module_file(entry), origin, entry)
        by_name |= {plugin.name: plugin for plugin in self._added.values() if plugin.kind == kind}
        return dict(sorted(by_name.items()))

    def names(self, kind: str) -> list[str]:
        """Return the names of all plug-ins of one kind, sorted."""
        return list(self.plugins(kind))

    def find(self, kind: str, name: str) -> Plugin:
        """Return one plug-in.

        Raises:
            UsageError: if the name is unknown; the message suggests the closest name.
        """
        by_name = self.plugins(kind)
        if name not in by_name:
            raise UsageError(
                f"There is no {kind.rstrip('s')} called '{name}'.{did_you_mean(name, by_name)} "
                f"`nstbench list {kind}` shows all of them."
            )
        return by_name[name]

    def load(self, kind: str, name: str) -> Any:
        """Import a plug-in and return its class.

        Raises:
            UsageError: if the name is unknown.
            PluginError: if its code does not run or does not define exactly one plug-in class.
        """
        plugin = self.find(kind, name)
        if plugin.program is not None:
            from nstbench.plugins.programs.method import method_class

            return method_class(plugin.program)
        prepare_torchvision()
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

    def add(self, plugin: Plugin) -> None:
        """Add a plug-in for the rest of the process, in place of one of the same name."""
        self._added[plugin.kind, plugin.name] = plugin

    def add_file(self, path: Path) -> Plugin:
        """Register one Python file as a plug-in; its class decides the kind.

        Raises:
            UsageError: if the file is missing, defines no plug-in class, or its name is taken.
        """
        path = path.resolve()
        if not path.is_file():
            raise UsageError(f"--plugin: there is no file {path}.")
        kind = _kind_of(path)
        taken = self.plugins(kind).get(path.stem)
        if taken is not None and taken.path != path:
            raise UsageError(
                f"--plugin {path}: there already is a {kind.rstrip('s')} called '{path.stem}' "
                f"({taken.origin}). Rename the file."
            )
        plugin = Plugin(kind, path.stem, path, str(path))
        self.add(plugin)
        return plugin

    def add_program(self, program: Program) -> None:
        """Register a program as a method, in place of a program of the same name.

        Raises:
            UsageError: if another plug-in has its name.
        """
        taken = self.plugins("methods").get(program.name)
        if taken is not None and taken.program is None:
            raise UsageError(
                f"methods, {program.name}: there already is a method of that name "
                f"({taken.origin}). Give the program another name."
            )
        self.add(Plugin("methods", program.name, _PROGRAM_FILE, "program", program=program))

    def added_files(self) -> tuple[Path, ...]:
        """Return the files that were added, so that worker processes can add them too."""
        return tuple(p.path for p in self._added.values() if p.path and p.program is None)

    def added_programs(self) -> tuple[Program, ...]:
        """Return the programs that were added, so that worker processes can add them too."""
        return tuple(p.program for p in self._added.values() if p.program is not None)

    def forget_added(self) -> None:
        """Forget all plug-ins that were added; built-in and installed ones stay."""
        self._added.clear()


def _module_file(entry: importlib.metadata.EntryPoint) -> Path | None:
    try:
        spec = importlib.util.find_spec(entry.module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _import_file(kind: str, path: Path) -> ModuleType:
    module_name = f"nstbench_plugins.{kind}.{path.stem}"
    imported = sys.modules.get(module_name)
    if imported is not None and imported.__file__ == str(path):
        return imported
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # pydantic looks up postponed annotations in sys.modules while the class body runs
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


def _and_lacks(kinds: Iterable[str], module: ModuleType) -> str:
    """Return the incomplete classes of a file and what each lacks; empty if there is none."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        base = _base_class(kind)
        for value in vars(module).values():
            if not (inspect.isclass(value) and issubclass(value, base)):
                continue
            if value.__module__ != module.__name__:
                continue
            lacks = [f"{name}()" for name in sorted(getattr(value, "__abstractmethods__", ()))]
            lacks += [] if hasattr(value, "info") else ["info"]
            if lacks:
                found[value.__name__] = lacks
    return "".join(f"; class {name} lacks {', '.join(lacks)}" for name, lacks in found.items())


def _only_class(kind: str, module: ModuleType) -> type:
    classes = _classes(kind, module)
    if len(classes) != 1:
        base = _base_class(kind).__name__
        raise PluginError(
            f"{module.__file__} must define exactly one {base} with an `info` attribute and "
            f"all abstract methods; it defines {len(classes)}{_and_lacks((kind,), module)}"
        )
    return classes[0]


def _kind_of(path: Path) -> str:
    """Import a file and return the kind of the plug-in that it defines."""
    prepare_torchvision()
    try:
        module = _import_file("files", path)
    except Exception as error:
        raise UsageError(
            f"--plugin {path}: cannot be imported: {type(error).__name__}: {error}"
        ) from error
    kinds = [kind for kind in KINDS if _classes(kind, module)]
    if not kinds and (lacks := _and_lacks(KINDS, module)):
        raise UsageError(f"--plugin {path}: no class is complete{lacks}.")
    if len(kinds) != 1:
        raise UsageError(
            f"--plugin {path}: the file must define exactly one class derived from Method, "
            f"Metric, Dataset or Section of nstbench.contracts."
        )
    return kinds[0]


DEFAULT = Registry()
"""The plug-ins of this process. Worker processes receive the added files and programs."""

plugins, names, find, load = DEFAULT.plugins, DEFAULT.names, DEFAULT.find, DEFAULT.load
add, add_file, add_program = DEFAULT.add, DEFAULT.add_file, DEFAULT.add_program
added_files, added_programs = DEFAULT.added_files, DEFAULT.added_programs
forget_added = DEFAULT.forget_added
