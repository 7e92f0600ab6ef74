"""Checksums of source code change with every file that a result depends on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

import pytest

import nstbench
from nstbench.pipeline import timing_stage
from nstbench.plugins.registry import KINDS, Plugin, Registry, names
from nstbench.plugins.source_hash import (
    INTERFACES,
    hash_of_files,
    module_files,
    source_files,
    source_hash,
)

PACKAGE = Path(nstbench.__file__).parent
FEATURES = "nstbench.score.feature_bank"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_source_hash_of_a_package_covers_all_its_modules(tmp_path, monkeypatch):
    package = tmp_path / "installed_package"
    write(package / "__init__.py", "")
    write(package / "method.py", "from .network import x\n")
    network = write(package / "network.py", "x = 1\n")
    write(package / "templates" / "none.py", "{{ not Python }}\n")
    entry = importlib.metadata.EntryPoint(
        "mine", "installed_package.method:Mine", "nstbench.methods"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    here = Registry(installed=lambda kind: (entry,) if kind == "methods" else ())
    plugin = here.find("methods", "mine")
    before = source_hash(plugin)
    assert source_hash(plugin) == before
    network.write_text("x = 2\n")
    assert source_hash(plugin) != before


@pytest.fixture
def package(tmp_path):
    """A copy of the nstbench package, in which files can be edited and renamed."""
    return shutil.copytree(
        PACKAGE, tmp_path / "nstbench", ignore=shutil.ignore_patterns("_plugins", "__pycache__")
    )


def copy_of(package: Path, without: tuple[str, ...] = ()) -> list[str]:
    files = module_files(FEATURES, without, package)
    assert all(file.is_relative_to(package) for file in files)
    return [file.relative_to(package).as_posix() for file in files]


def test_module_files_follow_imports_at_run_time(package):
    files = copy_of(package)
    assert files[0] == "score/feature_bank.py"
    assert "nn/backbones/vgg.py" in files
    assert not {file for file in files if file.startswith(("cli/", "report/", "pipeline/"))}
    unused = write(package / "nn" / "unused.py", "")
    file = package / "score" / "feature_bank.py"
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nstbench.nn.unused\n"
    copy = write(package / "score" / "copy.py", file.read_text() + guarded)
    assert unused not in module_files("nstbench.score.copy", (), package)
    write(copy, file.read_text() + "\nimport nstbench.nn.unused\n")
    renamed = write(package / "score" / "copy_2.py", copy.read_text())
    assert unused in module_files("nstbench.score.copy_2", (), package)
    assert renamed in module_files("nstbench.score.copy_2", (), package)


def test_module_files_leave_out_a_package(package):
    assert not [file for file in copy_of(package, ("nstbench.nn",)) if file.startswith("nn/")]


def test_a_module_that_does_not_exist_is_refused(package):
    (package / "score" / "feature_bank.py").rename(package / "score" / "features.py")
    with pytest.raises(ModuleNotFoundError, match=FEATURES):
        module_files(FEATURES, (), package)
    with pytest.raises(ModuleNotFoundError, match=r"nstbench\.networks"):
        module_files("nstbench.score.scorer", ("nstbench.networks",), package)


def test_renaming_a_module_that_features_import_changes_the_checksum(package):
    before = hash_of_files(module_files(FEATURES))
    assert hash_of_files(module_files(FEATURES, (), package)) == before
    (package / "nn" / "backbones" / "vgg.py").rename(package / "nn" / "backbones" / "vgg16.py")
    renamed = shutil.move(package, package.with_name("renamed"))
    assert hash_of_files(module_files(FEATURES, (), renamed)) != before


def test_an_edit_of_a_module_that_features_import_changes_the_checksum(package):
    before = hash_of_files(module_files(FEATURES))
    vgg = package / "nn" / "backbones" / "vgg.py"
    vgg.write_text(vgg.read_text() + "\n# edited\n")
    assert hash_of_files(module_files(FEATURES, (), package)) != before


def test_files_of_equal_names_all_count(tmp_path):
    first = write(tmp_path / "a" / "files.py", "1")
    second = write(tmp_path / "b" / "files.py", "2")
    before = hash_of_files([first, second])
    first.write_text("3")
    assert hash_of_files([first, second]) != before


def test_every_module_that_is_named_by_a_string_exists():
    for name in (*INTERFACES, *timing_stage._NOT_MEASURING, "nstbench.generate.worker"):
        assert importlib.util.find_spec(name), name


def test_every_builtin_plugin_has_a_checksum_of_its_own():
    here = Registry(installed=lambda kind: ())
    plugins = [here.find(kind, name) for kind in KINDS for name in here.names(kind)]
    assert len({source_hash(plugin) for plugin in plugins}) == len(plugins)
    for plugin in plugins:
        assert source_files(plugin)[0] == plugin.path


def test_a_plugin_without_a_file_has_no_checksum():
    assert names("methods")
    assert source_hash(Plugin("methods", "x", None, "nowhere")) == "unknown"
