"""Discovery of plug-ins: folders, files, entry points, and what breaks."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

from nstbench.core.errors import UsageError
from nstbench.plugins import registry

METHOD = """
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility

class {name}(Method):
    info = MethodInfo("Mine", "me", 2026, "", "baseline", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style

    def stylize(self, content, *, generator, on_step):
        return content.pixels.clone()
"""


def write(path, text):
    path.write_text(text)
    return path


def test_names_import_nothing():
    code = (
        "import sys; from nstbench.plugins import registry; n = registry.names('methods');"
        "assert 'content_copy' in n; assert not any(m.startswith('_') for m in n);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="Did you mean 'content_copy'"):
        registry.load("methods", "content_cpy")


def test_plugin_file_is_registered_under_its_stem(tmp_path):
    plugin = registry.add_file(write(tmp_path / "my_method.py", METHOD.format(name="Mine")))
    assert (plugin.kind, plugin.name) == ("methods", "my_method")
    assert registry.load("methods", "my_method").info.title == "Mine"
    assert registry.added_files() == (tmp_path / "my_method.py",)


def test_plugin_file_must_not_take_a_name(tmp_path):
    path = write(tmp_path / "content_copy.py", METHOD.format(name="Mine"))
    with pytest.raises(UsageError, match="already is a method called 'content_copy'"):
        registry.add_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package_here", "no_such_package_here"),
        ("x = 1", "exactly one class"),
        ("def broken(:", "cannot be imported"),
    ],
)
def test_bad_plugin_files_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        registry.add_file(write(tmp_path / "bad.py", text))


def test_missing_plugin_file(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        registry.add_file(tmp_path / "none.py")


def test_broken_builtin_is_an_error_with_its_place(tmp_path, monkeypatch):
    write(tmp_path / "broken.py", "import no_such_package_here")
    write(tmp_path / "two.py", METHOD.format(name="A") + METHOD.format(name="B"))
    monkeypatch.setattr(registry, "folder", lambda kind: tmp_path)
    assert registry.names("methods") == ["broken", "two"]
    with pytest.raises(registry.PluginError, match=r"no_such_package_here.*broken\.py, line 1"):
        registry.load("methods", "broken")
    with pytest.raises(registry.PluginError, match="exactly one Method"):
        registry.load("methods", "two")


def test_entry_points_are_found(tmp_path, monkeypatch):
    write(tmp_path / "installed_plugin.py", METHOD.format(name="Mine"))
    info = tmp_path / "installed_plugin-1.0.dist-info"
    info.mkdir()
    write(info / "METADATA", "Metadata-Version: 2.1\nName: installed-plugin\nVersion: 1.0\n")
    entries = "[nstbench.methods]\nfrom_afar = installed_plugin:Mine\n"
    write(info / "entry_points.txt", entries)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugin = registry.find("methods", "from_afar")
    assert plugin.origin == "installed-plugin"
    assert registry.load("methods", "from_afar").info.title == "Mine"
    assert registry.source_hash("methods", "from_afar") != "unknown"


def test_source_hash_of_a_package_covers_all_its_modules(tmp_path, monkeypatch):
    package = tmp_path / "installed_package"
    (package / "templates").mkdir(parents=True)
    write(package / "__init__.py", "")
    write(package / "method.py", "from .network import x\n" + METHOD.format(name="Mine"))
    write(package / "network.py", "x = 1\n")
    write(package / "templates" / "none.py", "{{ no Python }}\n")
    entry = importlib.metadata.EntryPoint(
        "mine", "installed_package.method:Mine", "nstbench.methods"
    )
    monkeypatch.setattr(
        registry, "_entry_points", lambda kind, path: (entry,) if kind == "methods" else ()
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = registry.source_hash("methods", "mine")
    assert registry.source_hash("methods", "mine") == before
    write(package / "network.py", "x = 2\n")
    assert registry.source_hash("methods", "mine") != before


def test_source_hash_follows_the_code_a_plugin_uses(tmp_path, monkeypatch):
    used = tmp_path / "nstbench" / "nn" / "used.py"
    unused = tmp_path / "nstbench" / "nn" / "unused.py"
    used.parent.mkdir(parents=True)
    write(used, "import nstbench.nn.deeper\n")
    write(used.with_name("deeper.py"), "x = 1\n")
    write(unused, "x = 1\n")
    write(tmp_path / "nstbench" / "__init__.py", "")
    folder = tmp_path / "methods"
    folder.mkdir()
    write(
        folder / "m.py",
        "from typing import TYPE_CHECKING\nfrom nstbench.nn import used\n"
        "if TYPE_CHECKING:\n    from nstbench.nn import unused\n",
    )
    monkeypatch.setattr(registry, "folder", lambda kind: folder)
    monkeypatch.setattr(registry.nstbench, "__file__", str(tmp_path / "nstbench/__init__.py"))

    def fresh_hash():
        registry._source_closure.cache_clear()
        return registry.source_hash("methods", "m")

    before = fresh_hash()
    write(unused, "x = 2\n")
    assert fresh_hash() == before
    write(used.with_name("deeper.py"), "x = 2\n")
    assert fresh_hash() != before
    registry._source_closure.cache_clear()
