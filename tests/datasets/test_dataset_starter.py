"""Tests of the starter dataset: complete, licensed, painted once, with maps that fit."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
from PIL import Image

from nstbench.core.records import Role
from nstbench.pictures.decode import read_image
from nstbench.pictures.painter.styles import LABEL_COLOURS, STYLES, paint
from nstbench.pictures.picture import load_picture, read_map
from nstbench.plugins import registry

SIZE = 64
CONTENTS = ["astronaut", "cat", "coffee", "rocket", "motorcycle", "china", "flower"]


def starter():
    cls = registry.load("datasets", "starter")
    return cls(cls.Params())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A new cache, with small paintings."""
    folder = tmp_path_factory.mktemp("cache")
    module = sys.modules[registry.load("datasets", "starter").__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSTBENCH_CACHE", str(folder))
        patch.setattr(module, "STYLE_SIZE", SIZE)
        starter().load(Role.STYLE)
        yield folder


@pytest.fixture
def contents(cache):
    return starter().load(Role.CONTENT)


@pytest.fixture
def styles(cache):
    return starter().load(Role.STYLE)


def test_order_and_names(contents, styles):
    assert [image.name for image in contents.images] == CONTENTS
    assert [image.name for image in styles.images] == list(STYLES)
    assert not contents.skipped
    assert not styles.skipped


def test_provenance(contents, styles):
    for image in (*contents.images, *styles.images):
        assert image.path.is_file()
        for fact in (image.licence, image.author, image.source, image.collection):
            assert fact.strip(), image.name
    for image in contents.images:
        assert image.sha256 == hashlib.sha256(image.path.read_bytes()).hexdigest()


def test_needs_no_download(contents):
    for image in contents.images:
        package = image.path.parts[image.path.parts.index("site-packages") + 1]
        assert package in ("skimage", "sklearn")
        assert min(read_image(image.path).shape[:2]) >= 256


def test_styles_are_the_painters_first_pictures(styles):
    for image in styles.images[2:5]:
        np.testing.assert_array_equal(read_image(image.path), paint(image.name, SIZE, 0))


def test_styles_are_painted_once(cache, styles, monkeypatch):
    def fail(*_args):
        raise AssertionError("painted again")

    monkeypatch.setattr("nstbench.pictures.painter.styles.painting", fail)
    before = {image.path: image.path.stat().st_mtime_ns for image in styles.images}
    again = starter().load(Role.STYLE)
    assert {image.path: image.path.stat().st_mtime_ns for image in again.images} == before


def test_only_what_is_missing_is_painted(cache, styles):
    lost, kept = styles.images[1].path, styles.images[0].path
    before = kept.stat().st_mtime_ns
    lost.unlink()
    starter().load(Role.STYLE)
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before


def test_cache_override_and_version(cache, styles):
    info = registry.load("datasets", "starter").info
    folder = cache / "datasets" / "starter" / f"v{info.version}"
    assert {image.path.parent for image in styles.images} == {folder}
    assert not list(folder.glob(".*")), "temporary files are left"


def test_maps_fit_and_share_their_colours(contents, styles):
    seen = {}
    for role, collection in (("content", contents), ("style", styles)):
        mapped = [image for image in collection.images if image.semantic_map]
        assert len(mapped) >= 2
        seen[role] = set()
        for image in mapped:
            with Image.open(image.path) as picture, Image.open(image.semantic_map) as labels:
                assert picture.size == labels.size
            pixels = read_map(image.semantic_map, read_image(image.path))
            colours = {tuple(c) for c in np.unique(pixels.reshape(-1, 3), axis=0).tolist()}
            assert 3 <= len(colours) <= 12
            assert colours <= set(LABEL_COLOURS.values())
            seen[role] |= colours
    assert len(seen["content"] & seen["style"]) >= 5


def test_pictures_load_with_their_maps(contents):
    picture = load_picture(contents.images[0], 64, "crop")
    assert picture.pixels.shape == picture.semantic_map.shape == (1, 3, 64, 64)


def test_another_picture_of_that_name_is_left_out(cache, tmp_path, monkeypatch):
    module = sys.modules[registry.load("datasets", "starter").__module__]
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64)).save(other)
    paths = iter([other, tmp_path / "none.png"])
    installed = module._installed
    monkeypatch.setattr(module, "_installed", lambda photo: next(paths, None) or installed(photo))
    found = starter().load(Role.CONTENT)
    assert [image.name for image in found.images] == CONTENTS[2:]
    assert "another picture" in found.skipped[0].reason
    assert "does not ship" in found.skipped[1].reason
