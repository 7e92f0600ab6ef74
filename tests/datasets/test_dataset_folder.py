"""Tests of the dataset for any folder of pictures."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import odd_images
import pytest
from PIL import Image
from pydantic import ValidationError

from nstbench.core.errors import UsageError
from nstbench.core.records import Collection, Role
from nstbench.core.text import natural_key, slugify, unique_slugs
from nstbench.pictures.picture import load_picture, write_png
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry

PIXELS = odd_images.gradient(32, 40)


def picture(path: Path, pixels: np.ndarray = PIXELS) -> Path:
    write_png(path, pixels)
    return path


def load(path: Path, **params: Any) -> Collection:
    cls = registry.load("datasets", "folder")
    found: Collection = cls(cls.Params(path=path, **params)).load(Role.CONTENT)
    return found


def reasons(found: Collection) -> dict[str, str]:
    return {skipped.path.name: skipped.reason for skipped in found.skipped}


def test_folder_opens_paths_and_refuses_wrong_parameters(tmp_path: Path) -> None:
    cls = registry.load("datasets", "folder")
    assert cls.info.opens_paths
    assert set(cls.info.roles) == set(Role)
    for wrong in ({}, {"path": tmp_path, "limit": 0}, {"path": tmp_path, "limits": 3}):
        with pytest.raises(ValidationError):
            cls.Params(**wrong)


def test_pictures_come_in_natural_order_from_all_levels(tmp_path: Path) -> None:
    names = ["b10.png", "b9.PNG", "A/x2.jpeg", "A/x11.webp", "A/deep/er/y.TIF", "z.gif", "a.BMP"]
    for name in names:
        picture(tmp_path / name)
    found = load(tmp_path)
    order = [image.path.relative_to(tmp_path).as_posix() for image in found.images]
    assert order == [
        "a.BMP",
        "A/deep/er/y.TIF",
        "A/x2.jpeg",
        "A/x11.webp",
        "b9.PNG",
        "b10.png",
        "z.gif",
    ]
    assert found.skipped == ()
    assert [image.name for image in found.images] == ["a", "y", "x2", "x11", "b9", "b10", "z"]
    assert [image.collection for image in found.images][1:3] == ["er", "A"]
    assert found.images[0].collection == tmp_path.name
    assert found.images[2].source == "A/x2.jpeg"
    assert load(tmp_path) == found


def test_limit_takes_the_first_usable_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    for name in ("b.png", "c.png", "d.png"):
        picture(tmp_path / name)
    found = load(tmp_path, limit=2)
    assert [image.name for image in found.images] == ["b", "c"]
    assert reasons(found) == {"a.png": "the file is empty"}


def test_every_file_left_out_is_listed_with_its_reason(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    png = (tmp_path / "good.png").read_bytes()
    files = {
        "cut.png": (png[:200], "damaged"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        "bomb.png": (odd_images.bomb(), "megapixels"),
        "notes.txt": (b"hello", "extension"),
        "noextension": (png, "extension"),
        "lonely_sem.png": (png, "without its picture"),
        "cut_sem.png": (png, "its picture cannot be used"),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / ".cache" / "thumbnail.png")
    for name in ("Thumbs.db", "desktop.ini", "._good.png", "__MACOSX/good.png", "@eaDir/good.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png)
    found = load(tmp_path)
    assert [image.name for image in found.images] == ["good"]
    listed = reasons(found)
    assert set(listed) == {*files, "gone.png"}
    for name, (_, reason) in files.items():
        assert reason in listed[name]
        assert "\n" not in listed[name]
        assert str(tmp_path) not in listed[name]


def test_semantic_maps_belong_to_their_pictures(tmp_path: Path) -> None:
    labels = np.zeros((16, 20, 3), np.uint8)
    picture(tmp_path / "seth.png")
    picture(tmp_path / "seth_sem.png", labels)
    picture(tmp_path / "sub" / "Mia.v2.jpg")
    picture(tmp_path / "sub" / "Mia.v2_SEM.PNG", labels)
    picture(tmp_path / "wrong.png")
    picture(tmp_path / "wrong_sem.png", odd_images.gradient(32, 32))
    picture(tmp_path / "plain.png")
    found = load(tmp_path)
    maps = {i.name: i.semantic_map.name if i.semantic_map else None for i in found.images}
    assert maps == {
        "plain": None,
        "seth": "seth_sem.png",
        "Mia.v2": "Mia.v2_SEM.PNG",
        "wrong": None,
    }
    assert list(reasons(found)) == ["wrong_sem.png"]
    assert "not the shape of its picture" in reasons(found)["wrong_sem.png"]
    seth = next(image for image in found.images if image.name == "seth")
    assert load_picture(seth, 32, "crop").semantic_map is not None


def test_single_file_with_its_map(tmp_path: Path) -> None:
    picture(tmp_path / "other.png")
    path = picture(tmp_path / "one.png")
    picture(tmp_path / "one_sem.png")
    found = load(path)
    assert [(i.name, i.path) for i in found.images] == [("one", path)]
    assert found.images[0].semantic_map == tmp_path / "one_sem.png"
    assert found.images[0].collection == tmp_path.name


def test_symbolic_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    picture(root / "sub" / "a.png")
    picture(tmp_path / "other" / "b.png")
    (root / "sub" / "up").symlink_to(root)
    (root / "again").symlink_to(root / "sub")
    (root / "outside").symlink_to(tmp_path / "other")
    (root / "round.png").symlink_to(root / "round.png")
    found = load(root)
    assert sorted(image.path.name for image in found.images) == ["a.png", "b.png"]
    assert "symbolic links" in reasons(found)["round.png"]


def test_files_without_permission_are_listed(without_rights: Path) -> None:
    root = without_rights
    picture(root / "a.png")
    picture(root / "mine.png").chmod(0)
    closed = root / "closed"
    picture(closed / "b.png")
    closed.chmod(0)
    try:
        expected = {"closed": "folder: permission denied", "mine.png": "permission denied"}
        assert reasons(load(root)) == expected
    finally:
        closed.chmod(0o700)


def test_names_are_safe_and_unique(tmp_path: Path) -> None:
    names = [
        "Vincent van Gogh — Café.png",
        "line\nbreak.png",
        "😀.png",
        "日本.png",
        "a..%2f..png",
        "x" * 200 + ".png",
        "<script>.png",
        "-rf.png",
        "cat.png",
        "Cat.png",
        "sub/cat.png",
        "sub/CAT.JPG",
        os.fsdecode(b"\xff\xfe.png"),
    ]
    for name in names:
        picture(tmp_path / name)
    found = load(tmp_path)
    assert len(found.images) == len(names)
    shown = [image.name for image in found.images]
    assert all(name.isprintable() for name in shown)
    assert len(set(shown)) == len(shown)
    by_file = {image.path.relative_to(tmp_path).as_posix(): image.name for image in found.images}
    assert by_file["Vincent van Gogh — Café.png"] == "Vincent van Gogh — Café"
    assert by_file["line\nbreak.png"] == "line\\nbreak"
    assert by_file["<script>.png"] == "<script>"
    assert (by_file["cat.png"], by_file["sub/cat.png"]) == ("cat", "sub/cat")
    assert (by_file["Cat.png"], by_file["sub/CAT.JPG"]) == ("Cat", "CAT")
    assert by_file["😀.png"] == "😀"
    assert by_file[os.fsdecode(b"\xff\xfe.png")] == "\\udcff\\udcfe"
    assert all("\n" not in image.source for image in found.images)
    # The names of the others do not depend on whether a picture can be read.
    (tmp_path / "sub/CAT.JPG").write_bytes(b"")
    assert {image.name for image in load(tmp_path).images} < set(shown)


def test_equal_stems_get_their_folder(tmp_path: Path) -> None:
    for name in ("monet/01.jpg", "cezanne/01.jpg", "monet/02.jpg", "cezanne/deep/03.png"):
        picture(tmp_path / name)
    found = [image.name for image in load(tmp_path).images]
    assert found == ["cezanne/01", "03", "monet/01", "02"]


def test_names_have_normal_form_c(tmp_path: Path) -> None:
    picture(tmp_path / unicodedata.normalize("NFD", "cézanne.png"))
    (image,) = load(tmp_path).images
    assert image.name == unicodedata.normalize("NFC", "cézanne")


def test_one_picture_in_two_files_is_used_once(tmp_path: Path) -> None:
    pixels = odd_images.gradient(64, 80)
    picture(tmp_path / "a.png", pixels)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=60)
    Image.fromarray(pixels).resize((40, 32)).save(tmp_path / "a.bmp")
    found = load(tmp_path)
    assert [(image.name, image.path.name) for image in found.images] == [("a", "a.png")]
    assert set(reasons(found).values()) == {"the same picture as a.png"}
    (tmp_path / "a.png").write_bytes(b"")
    assert [image.path.name for image in load(tmp_path).images] == ["a.jpg"]


@pytest.mark.parametrize("second", ["a.jpg", unicodedata.normalize("NFD", "ä.png")])
def test_two_pictures_of_one_name_are_refused_by_both_names(tmp_path: Path, second: str) -> None:
    first = unicodedata.normalize("NFC", second).replace(".jpg", ".png")
    picture(tmp_path / first)
    picture(tmp_path / second, 255 - PIXELS)
    with pytest.raises(UsageError, match="show different pictures") as refusal:
        load(tmp_path)
    assert first in str(refusal.value)
    assert second in str(refusal.value)


def test_formats_of_phones(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.avif", quality=95)
    Image.fromarray(PIXELS).save(tmp_path / "b.jfif", "JPEG")
    for name in ("c.HEIC", "d.jxl", "e.heif"):
        (tmp_path / name).write_bytes(b"data")
    (tmp_path / "f.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    found = load(tmp_path)
    assert [image.name for image in found.images] == ["a", "b"]
    difference = np.abs(load_picture(found.images[0], 40, "inside").pixels[0].numpy().transpose(
        1, 2, 0) * 255 - PIXELS)  # fmt: skip
    assert difference.mean() < 6
    listed = reasons(found)
    assert "HEIC" in listed["c.HEIC"]
    assert "pillow-heif" in listed["c.HEIC"]
    assert "pillow-heif" in listed["f.png"]
    assert "pillow-jxl-plugin" in listed["d.jxl"]


def test_an_existing_path_with_a_colon_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x:y", "C:\\photos", "starter:limit=2"):
        picture(tmp_path / name / "a.png")
        found = open_dataset(name, "--contents").load(Role.CONTENT)
        assert [image.name for image in found.images] == ["a"]
    given = open_dataset("folder:path=C:\\photos", "--contents").load(Role.CONTENT)
    assert len(given.images) == 1
    for missing in ("./no:thing", "D:\\photos", "\\\\server\\photos:x"):
        with pytest.raises(UsageError, match="neither a dataset nor an existing") as refusal:
            open_dataset(missing, "--styles")
        assert "folder:path=" in str(refusal.value)
        assert f"--styles {missing}" in str(refusal.value)
    with pytest.raises(UsageError, match="Write starter:parameter=value"):
        open_dataset("starter:3", "--styles")


def test_nothing_usable_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing does not exist"):
        load(tmp_path / "missing")
    with pytest.raises(UsageError, match=r"contains no pictures \(jpg, "):
        load(tmp_path)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"")
    message = r"Left out: 0\.png: the file is empty; 1.*; 2\.png: the file is empty; and 2 more"
    with pytest.raises(UsageError, match=message):
        load(tmp_path)
    with pytest.raises(UsageError, match=r"0\.png: the file is empty"):
        load(tmp_path / "0.png")


def test_natural_order_and_slugs() -> None:
    names = ["a10", "a2", "A1", "b", "a", "10", "9", "a2b", "²"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "A1", "a2", "a2b", "a10", "b", "²"]
    assert slugify("../../etc/passwd") == "etc-passwd"
    assert slugify("_Über__x_") == "uber__x"
    assert slugify("日本") == ""
    paths = [Path("a/x.png"), Path("b/x.png"), Path("y.png")]
    slugs = unique_slugs(paths)
    assert slugs[2] == "y"
    assert unique_slugs(paths[::-1]) == slugs[::-1]
    clash = [*paths, Path(f"{slugs[0]}.png")]
    assert len(set(unique_slugs(clash))) == 4


def test_shared_semantic_folder() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "semantic"
    if not folder.is_dir():
        pytest.skip("needs ../shared")
    found = load(folder)
    assert len(found.images) == 6
    assert all(image.semantic_map for image in found.images)
    assert reasons(found) == {
        "coastline_sem.png": "a semantic map without its picture",
        "landscape_sem.png": "a semantic map without its picture",
    }
