"""Discovery of plug-ins in folders, files and entry points, and errors of broken plug-ins."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

from nstbench.core.errors import UsageError
from nstbench.plugins import registry
from nstbench.plugins.source_hash import source_hash

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


def test_error_of_a_broken_plugin_names_file_and_line(tmp_path):
    write(tmp_path / "broken.py", "import no_such_package_here")
    write(tmp_path / "two.py", METHOD.format(name="A") + METHOD.format(name="B"))
    here = registry.Registry(folder=lambda kind: tmp_path, installed=lambda kind: ())
    assert here.names("methods") == ["broken", "two"]
    with pytest.raises(registry.PluginError, match=r"no_such_package_here.*broken\.py, line 1"):
        here.load("methods", "broken")
    with pytest.raises(registry.PluginError, match="exactly one Method"):
        here.load("methods", "two")


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
    assert source_hash(plugin) != "unknown"


def test_two_registries_do_not_share_what_was_added(tmp_path):
    first, second = registry.Registry(), registry.Registry()
    first.add_file(write(tmp_path / "my_method.py", METHOD.format(name="Mine")))
    assert "my_method" in first.names("methods")
    assert "my_method" not in second.names("methods")
    first.forget_added()
    assert first.names("methods") == second.names("methods")
