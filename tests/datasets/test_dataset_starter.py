"""The starter dataset: complete, licensed, the pinned pixels, with maps that fit."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from nstbench.core.records import Role
from nstbench.pictures.decode import read_image
from nstbench.pictures.painter.styles import LABEL_COLOURS, STYLES
from nstbench.pictures.picture import load_picture, pixel_hash, read_map
from nstbench.plugins import registry

CONTENTS = ["astronaut", "cat", "coffee", "rocket", "motorcycle", "china", "flower"]
# of the checksums of all pixels: files and manifest changed together are found here
ALL_PIXELS = "3844910284fe6c1a51ebe839406bf60d36dd758ccadef9d495d01d02a350d912"


def module():
    return sys.modules[registry.load("datasets", "starter").__module__]


def manifest():
    return json.loads((module().FOLDER / "manifest.json").read_text(encoding="utf-8"))


def starter():
    cls = registry.load("datasets", "starter")
    return cls(cls.Params())


@pytest.fixture
def contents():
    return starter().load(Role.CONTENT)


@pytest.fixture
def styles():
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
        assert {"skimage", "sklearn"} & set(image.path.parts)
        assert min(read_image(image.path).shape[:2]) >= 256


def test_every_picture_and_map_has_the_pinned_pixels(contents, styles):
    pins = {entry["name"]: entry for role in manifest().values() for entry in role}
    digest, maps = hashlib.sha256(), 0
    for image in (*contents.images, *styles.images):
        pin = pins[image.name]
        found = pixel_hash(read_image(image.path))
        assert found == pin["pixels"], image.name
        digest.update(found.encode())
        assert (image.semantic_map is None) == (pin["map"] is None)
        if image.semantic_map is not None:
            found = pixel_hash(read_image(image.semantic_map))
            assert found == pin["map"]["pixels"], image.semantic_map.name
            digest.update(found.encode())
            maps += 1
    assert (len(pins), maps) == (7 + 14, 4 + 10)
    assert digest.hexdigest() == ALL_PIXELS


def test_the_shipped_files_are_small_and_free():
    files = list(module().FOLDER.glob("*.webp"))
    assert len(files) == 14 + 14
    assert sum(file.stat().st_size for file in files) < 6 << 20
    entries = [entry for role in manifest().values() for entry in role]
    shipped = [entry for entry in entries if "package" not in entry]
    shipped += [entry["map"] for entry in entries if entry["map"]]
    assert {file.name for file in files} == {entry["file"] for entry in shipped}
    assert {entry["licence"] for entry in shipped} == {"CC0-1.0"}


def test_nothing_is_painted_and_the_cache_stays_empty(tmp_path, monkeypatch):
    def fail(*_args):
        raise AssertionError("painted")

    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("nstbench.pictures.painter.styles.painting", fail)
    monkeypatch.setattr("nstbench.pictures.painter.tools.regions.photograph_map", fail)
    assert [len(starter().load(role).images) for role in (Role.CONTENT, Role.STYLE)] == [7, 14]
    assert not list(tmp_path.iterdir())


def test_a_file_is_decoded_once_per_process(monkeypatch):
    read = []
    module()._checksums.cache_clear()
    monkeypatch.setattr(module(), "read_image", lambda path: read.append(path) or read_image(path))
    starter().load(Role.STYLE)
    starter().load(Role.STYLE)
    assert len(read) == len(set(read)) == 14 + 10


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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the shipped files, to damage."""
    for file in module().FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(module(), "FOLDER", tmp_path)
    return tmp_path


def test_another_picture_of_that_name_is_left_out(tmp_path, monkeypatch):
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64)).save(other)
    paths = iter([other, tmp_path / "none.png"])
    installed = module()._path
    monkeypatch.setattr(module(), "_path", lambda entry: next(paths, None) or installed(entry))
    found = starter().load(Role.CONTENT)
    assert [image.name for image in found.images] == CONTENTS[2:]
    assert "another picture" in found.skipped[0].reason
    assert "does not ship" in found.skipped[1].reason


def test_changed_and_absent_files_of_nstbench_are_left_out(folder):
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64)).save(encoded, "WEBP", lossless=True)
    (folder / "nocturne.webp").write_bytes(encoded.getvalue())
    (folder / "woodblock.webp").unlink()
    (folder / "mosaic_sem.webp").write_bytes(encoded.getvalue())
    found = starter().load(Role.STYLE)
    lost = {skip.path.stem: skip.reason for skip in found.skipped}
    assert lost.keys() == {"nocturne", "woodblock", "mosaic"}
    assert len(found.images) == 14 - 3
    assert "the file was changed; install nstbench again" in lost["nocturne"]
    assert "the file is absent; install nstbench again" in lost["woodblock"]
    assert lost["mosaic"].startswith("its semantic map mosaic_sem.webp: the file was changed")


@pytest.mark.parametrize(
    ("name", "role", "library"),
    [("china", Role.CONTENT, "libjpeg"), ("cat", Role.CONTENT, "zlib"),
     ("mosaic", Role.STYLE, "libwebp")],
)  # fmt: skip
@pytest.mark.parametrize("fails", [False, True])
def test_a_decoder_that_gives_other_pixels_is_named(monkeypatch, name, role, library, fails):
    def decode(path: Path) -> np.ndarray:
        pixels = read_image(path)
        if path == module()._path(entry):
            if fails:
                read_image(path.parent)
            # one grey level in one place, as another inverse cosine transform makes it
            pixels[7, 9, 1] ^= 1
        return pixels

    entry = next(e for role in manifest().values() for e in role if e["name"] == name)
    module()._checksums.cache_clear()
    monkeypatch.setattr(module(), "read_image", decode)
    (skip,) = starter().load(role).skipped
    module()._checksums.cache_clear()
    assert skip.path == module()._path(entry)
    assert f"Pillow {PIL.__version__} with {library}" in skip.reason
    assert ("cannot decode" if fails else "other pixels") in skip.reason
    assert entry.get("package", "nstbench") in skip.reason
