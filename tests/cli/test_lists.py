"""Lists are read from the cache until something changes that they depend on."""

from __future__ import annotations

import json

import pytest

from nstbench.cli.show import lists
from nstbench.core.paths import cache_dir
from nstbench.plugins import registry

METHOD = '''
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility


class Listed(Method):
    """Returns the content."""

    info = MethodInfo({title!r}, "A", 2026, "https://example.org", "toy", Flexibility.ARBITRARY)

    def prepare(self, style):
        pass

    def stylize(self, content, *, generator, on_step):
        return content.pixels.clone()
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of methods instead of the built-in one, with an empty cache."""
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry.DEFAULT, "folder", lambda kind: tmp_path / kind)
    (tmp_path / "methods").mkdir()
    write(tmp_path / "methods", "Before")
    return tmp_path / "methods"


@pytest.fixture
def looks(monkeypatch):
    """Return a list that receives a kind whenever its plug-ins are imported."""
    counted, look = [], lists._look
    monkeypatch.setattr(lists, "_look", lambda kind: counted.append(kind) or look(kind))
    return counted


def write(folder, title):
    (folder / "listed.py").write_text(METHOD.format(title=title))


def titles(kind="methods"):
    return [entry.title for entry in lists.entries(kind)]


def test_the_second_list_imports_nothing(folder, looks):
    first = lists.entries("methods")
    assert first[0].title.startswith("Before")
    assert lists.entries("methods") == first
    assert looks == ["methods"]


def test_a_changed_file_or_environment_renews_the_list(folder, looks, monkeypatch, tmp_path):
    titles()
    (folder / "second.py").write_text("nothing here")
    assert len(titles()) == 2
    monkeypatch.setenv("NSTBENCH_OFFLINE", "1")
    titles()
    (tmp_path / "other").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    titles()
    (tmp_path / "other" / "new_package").mkdir()
    titles()
    assert looks == ["methods"] * 5


def test_new_weights_renew_the_list(folder, looks):
    titles()
    (cache_dir() / "weights").mkdir(parents=True)
    titles()
    (cache_dir() / "weights" / "vgg16.safetensors").write_bytes(b"x")
    titles()
    assert looks == ["methods"] * 3


@pytest.mark.parametrize("damage", ["", "[]", '{"fingerprint": 1}', "no JSON"])
def test_a_damaged_file_is_replaced(folder, looks, damage):
    expected = titles()
    (file,) = (cache_dir() / "lists").glob("*.json")
    data = json.loads(file.read_text())
    file.write_text(damage)
    assert titles() == expected
    file.write_text(json.dumps({**data, "entries": [{"name": "x"}]}))
    assert titles() == expected
    assert looks == ["methods"] * 3


def test_lists_with_added_files_are_not_stored(folder, looks, tmp_path):
    plugin = tmp_path / "own_method.py"
    plugin.write_text(METHOD.format(title="Own"))
    registry.add_file(plugin)
    assert any(title.startswith("Own") for title in titles())
    titles()
    assert looks == ["methods"] * 2
    assert not (cache_dir() / "lists").exists()
