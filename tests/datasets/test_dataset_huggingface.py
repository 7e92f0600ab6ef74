"""Tests of datasets from the Hugging Face hub, including COCO with WikiArt."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_hub
import numpy as np
import odd_images
import pytest
from PIL import Image
from pydantic import ValidationError

import nstbench
from nstbench.core.errors import UsageError
from nstbench.core.records import Collection, Role
from nstbench.pictures import hub
from nstbench.pictures.contact_sheet import contact_sheet
from nstbench.pictures.decode import read_image
from nstbench.pictures.hub import HubSource
from nstbench.pictures.picture import load_picture, write_png
from nstbench.plugins import registry

ROOT = Path(nstbench.__file__).parents[1]
HAS_PACKAGE = not hub.package_missing()
needs_package = pytest.mark.skipif(
    not HAS_PACKAGE,
    reason="Hugging Face datasets is not installed: pip install 'nstbench[hub]'",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NSTBENCH_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Write a folder in the hub's layout: splits, and a table of metadata."""
    root = tmp_path / "Some Pictures"
    lines = []
    for i in range(5):
        write_png(root / "train" / f"{i}.png", odd_images.gradient(32, 40 + i))
        lines.append(json.dumps({"file_name": f"{i}.png", "title": f"Título {i % 4}/x", "year": i}))
    Image.fromarray(odd_images.gradient()).save(root / "train" / "5.webp", lossless=True)
    (root / "train" / "6.png").write_bytes(b"no picture")
    lines += [json.dumps({"file_name": n, "title": "last", "year": 9}) for n in ("5.webp", "6.png")]
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines))
    write_png(root / "test" / "only.png", odd_images.gradient())
    (root / "test" / "metadata.jsonl").write_text(
        '{"file_name": "only.png", "title": "", "year": 0}'
    )
    return root


def dataset(name: str, **params: Any) -> Any:
    cls = registry.load("datasets", name)
    return cls(cls.Params(**params))


def load(**params: Any) -> Collection:
    found: Collection = dataset("huggingface", **params).load(Role.CONTENT)
    return found


def write_parquet(path: Path, rows: range) -> None:
    """Write a data file with the columns of both repositories of coco_wikiart."""
    library = importlib.import_module("datasets")
    library.disable_progress_bars()
    pictures = []
    for row in rows:
        picture = path.parent / f"{row}.png"
        write_png(picture, odd_images.gradient(32, 40 + row))
        pictures.append(picture)
    features = library.Features(
        {
            "image": library.Image(),
            "artist": library.ClassLabel(names=["claude-monet", "berthe-morisot"]),
            "image_id": library.Value("int64"),
            "map": library.Image(),
        }
    )
    cells = [{"bytes": p.read_bytes(), "path": None} for p in pictures]
    columns = {
        "image": cells,
        "artist": [row % 2 for row in rows],
        "image_id": [1000 + row for row in rows],
        "map": [cell if row % 2 else None for row, cell in zip(rows, cells, strict=True)],
    }
    library.Dataset.from_dict(columns, features=features).to_parquet(str(path))
    for picture in pictures:
        picture.unlink()


# --- the package -------------------------------------------------------------------------


@needs_package
def test_plugin_folder_does_not_hide_the_package() -> None:
    """The working directory contains the plug-in folder ``datasets``."""
    assert (ROOT / "datasets").is_dir()
    code = "import datasets; print(datasets.load_dataset.__module__)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().startswith("datasets.")


def test_plugin_folder_is_not_taken_for_the_package() -> None:
    """Without site-packages, Python finds the folder as a namespace package."""
    code = (
        "import importlib.util, sys; from nstbench.pictures import hub;"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p];"
        "print(importlib.util.find_spec('datasets') is not None, hub.package_missing())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", "True"]


def test_unavailable_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert hub.package_missing()
    for source in (dataset("huggingface", repo="a/b"), dataset("coco_wikiart")):
        state = source.availability()
        assert not state.ok
        assert state.reason == "the package 'datasets' is not installed"
        assert state.remedy == "pip install 'nstbench[hub]'"
        with pytest.raises(UsageError, match=r"nstbench\[hub\]"):
            source.load(Role.STYLE)


@needs_package
def test_unavailable_offline_or_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", free)
        assert dataset("coco_wikiart").availability().ok
        monkeypatch.setenv("NSTBENCH_OFFLINE", "1")
        for source in (dataset("huggingface", repo="a/b"), dataset("coco_wikiart")):
            state = source.availability()
            assert not state.ok
            assert "NSTBENCH_OFFLINE" in state.reason
            with pytest.raises(UsageError, match="NSTBENCH_OFFLINE"):
                source.load(Role.STYLE)
    monkeypatch.delenv("NSTBENCH_OFFLINE")
    hub._hub_answers.cache_clear()
    state = dataset("coco_wikiart").availability()
    assert not state.ok
    assert "cannot be reached" in state.reason
    assert state.remedy
    hub._hub_answers.cache_clear()


# --- a local folder in the hub's layout ---------------------------------------------------


@needs_package
def test_rows_of_an_image_folder(image_folder: Path, own_cache: Path) -> None:
    assert dataset("huggingface", repo=str(image_folder)).availability().ok
    found = load(repo=str(image_folder), name_column="title", collection_column="year")
    assert [i.name for i in found.images] == [
        "titulo-0-x-0",
        "titulo-1-x",
        "titulo-2-x",
        "titulo-3-x",
        "titulo-0-x-4",
        "last",
    ]
    assert [i.collection for i in found.images] == ["0", "1", "2", "3", "4", "9"]
    assert [(str(s.path), s.reason) for s in found.skipped] == [
        ("row-6", "not a JPEG, PNG, WebP, BMP, TIFF or GIF picture")
    ]
    for i, image in enumerate(found.images):
        assert image.path.is_relative_to(own_cache)
        assert image.sha256 == hashlib.sha256(image.path.read_bytes()).hexdigest()
        assert image.source.endswith(f"row {i}")
    # PNG files are not changed; other formats become PNG.
    assert found.images[3].path.read_bytes() == (image_folder / "train/3.png").read_bytes()
    assert found.images[5].path.suffix == ".png"
    np.testing.assert_array_equal(read_image(found.images[5].path), odd_images.gradient())
    assert load_picture(found.images[0], 32, "crop").pixels.shape == (1, 3, 32, 32)
    assert not list(own_cache.rglob("*.part"))


@needs_package
def test_indices_limit_and_split(image_folder: Path) -> None:
    repo = str(image_folder)
    assert [i.name for i in load(repo=repo, indices=[4, 0]).images] == [
        "some-pictures-00004",
        "some-pictures-00000",
    ]
    assert len(load(repo=repo, limit=3).images) == 3
    assert [i.path.name for i in load(repo=repo, split="test").images] == ["0000000.png"]
    assert read_image(load(repo=repo, split="test").images[0].path).shape == (48, 64, 3)
    with pytest.raises(UsageError, match="has no row 7"):
        load(repo=repo, indices=[0, 7])
    with pytest.raises(UsageError, match=r"no usable picture.*row-6: not a JPEG"):
        load(repo=repo, indices=[6])


@needs_package
def test_exported_rows_are_used_again_only_while_intact(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(repo=str(image_folder), limit=2)
    fetched: list[list[int]] = []
    fetch = hub._fetch

    def spy(source: HubSource, missing: list[int]) -> None:
        fetched.append(missing)
        fetch(source, missing)

    monkeypatch.setattr(hub, "_fetch", spy)
    assert load(repo=str(image_folder), limit=2) == first
    assert fetched == []
    first.images[1].path.write_bytes(b"damaged")
    assert load(repo=str(image_folder), limit=2) == first
    assert fetched == [[1]]
    # A folder with changed files is another dataset.
    write_png(image_folder / "train" / "0.png", odd_images.gradient(64, 64))
    changed = load(repo=str(image_folder), limit=1)
    assert read_image(changed.images[0].path).shape == (64, 64, 3)


@needs_package
def write_rows(path: Path, places: list[str]) -> None:
    """Write a parquet file whose rows name picture files instead of containing pictures."""
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True)
    cells = [{"bytes": None, "path": place} for place in places]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(cells, kind)})
    info = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})
    parquet.write_table(table.replace_schema_metadata({"huggingface": info}), path)


@needs_package
def test_rows_that_name_files_outside_are_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.fromarray(odd_images.gradient()).save(secret)
    repo = tmp_path / "repo"
    inside = repo / "data" / "inside.png"
    places = [
        str(inside), str(secret), f"file://{secret}", str(repo / ".." / "secret.png"),
        "http://127.0.0.1:9/x.png", "hf://datasets/someone/else/x.png",
        f"simplecache::{secret}", f"zip://a.png::{tmp_path / 'secret.zip'}",
    ]  # fmt: skip
    write_rows(repo / "data" / "train-00000-of-00001.parquet", places)
    Image.fromarray(odd_images.gradient()).save(inside)
    (repo / "data" / "link.png").symlink_to(secret)
    found = load(repo=str(repo))
    assert len(found.images) == 1
    assert len(found.skipped) == len(places) - 1
    assert {skip.reason for skip in found.skipped} == {"the row names a file outside the dataset"}


@needs_package
def test_scripts_of_a_dataset_folder_never_run(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    write_parquet(repo / "data" / "train-00000-of-00001.parquet", range(2))
    mark = tmp_path / "ran"
    (repo / "repo.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit\n")
    with contextlib.suppress(UsageError):
        load(repo=str(repo))
    assert not mark.exists()


def test_missing_columns_and_rows_are_named(image_folder: Path) -> None:
    repo = str(image_folder)
    for params, reason in (
        ({"split": "val"}, "split val.*Bad split: val"),
        ({"column": "picture"}, r"no column 'picture'. It has: image, title, year"),
        ({"name_column": "nam"}, r"name_column: no text in column 'nam'. Columns: title, year"),
        ({"config": "large"}, "large"),
        ({"column": "title"}, "no usable picture.*has no picture"),
    ):
        with pytest.raises(UsageError, match=reason) as refusal:
            load(repo=repo, limit=1, **params)
        assert "\n" not in str(refusal.value)


def test_parameters_are_checked() -> None:
    params = registry.load("datasets", "huggingface").Params
    for wrong in ({}, {"repo": "a/b", "limit": 0}, {"repo": "a/b", "indices": [-1]}):
        with pytest.raises(ValidationError):
            params(**wrong)
    for count in (0, 51):
        with pytest.raises(ValidationError):
            registry.load("datasets", "coco_wikiart").Params(count=count)


@needs_package
def test_map_column(tmp_path: Path) -> None:
    write_parquet(tmp_path / "repo" / "data" / "train-00000-of-00001.parquet", range(4))
    found = load(repo=str(tmp_path / "repo"), map_column="map")
    assert [i.semantic_map is not None for i in found.images] == [False, True, False, True]
    picture = load_picture(found.images[3], 32, "crop")
    assert picture.semantic_map is not None
    assert picture.semantic_map.shape == (1, 3, 32, 32)


# --- over the hub's protocol ---------------------------------------------------------------


def run_python(code: str, endpoint: str, tmp_path: Path, **environment: str) -> str:
    """Run code in a process whose hub is ``endpoint``; return its output."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@needs_package
@pytest.mark.slow
def test_a_commit_is_served_from_the_cache_without_a_network(tmp_path: Path) -> None:
    for i in range(2):
        path = tmp_path / "repo" / "data" / f"train-{i:05d}-of-00002.parquet"
        write_parquet(path, range(3 * i, 3 * i + 3))
    code = f"""
from nstbench.plugins import registry
cls = registry.load("datasets", "huggingface")
for revision in (None, "{fake_hub.COMMIT}"):
    opened = cls(cls.Params(repo="owner/pictures", revision=revision, indices=[4, 1]))
    print(opened.availability().ok)
    if opened.availability().ok:
        found = opened.load("style").images
        print(*(f"{{i.name}} {{i.sha256}} {{i.source}}" for i in found), sep=";")
"""
    with fake_hub.serve(tmp_path / "repo") as (endpoint, requests):
        online = run_python(code, endpoint, tmp_path).splitlines()
    assert online[0] == online[2] == "True"
    assert online[1] == online[3]
    assert online[1].startswith("pictures-00004 ")
    assert f"owner/pictures@{fake_hub.COMMIT[:12]} (split train), row 1" in online[1]
    downloads = [r for r in requests if r.startswith("GET /datasets/owner/pictures/resolve")]
    assert downloads
    # A commit is in the cache. The commit of 'main' is not known without the network.
    offline = run_python(code, endpoint, tmp_path, NSTBENCH_OFFLINE="1").splitlines()
    assert offline == ["False", "True", online[3]]


@needs_package
@pytest.mark.slow
def test_coco_wikiart_reads_the_listed_files_and_rows(tmp_path: Path) -> None:
    files = {n: f"data/train-{n:05d}-of-00009.parquet" for n in (2, 5, 7)}
    for n, file in files.items():
        write_parquet(tmp_path / "repo" / file, range(10 * n, 10 * n + 8))
    common = {"repo": "owner/pictures", "revision": fake_hub.COMMIT, "column": "image"}
    index = {
        "content": {**common, "files": {"2": files[2]}, "rows": [[2, 3], [2, 0]]},
        "style": {**common, "files": {"5": files[5], "7": files[7]}, "rows": [[7, 1], [5, 6]]},
    }
    (tmp_path / "index.json").write_text(json.dumps(index))
    code = f"""
from pathlib import Path
from nstbench.plugins import registry
cls = registry.load("datasets", "coco_wikiart")
cls.index = Path({str(tmp_path / "index.json")!r})
for count in (2, 1):
    opened = cls(cls.Params(count=count))
    assert opened.availability().ok
    for role in ("content", "style"):
        for i in opened.load(cls.info.roles[role == "style"]).images:
            print(i.name, i.author, i.collection, i.path)
"""
    with fake_hub.serve(tmp_path / "repo") as (endpoint, requests):
        lines = [line.split(" ") for line in run_python(code, endpoint, tmp_path).splitlines()]
    names = ["coco-000000001023", "coco-000000001020", "wikiart-07-0001", "wikiart-05-0006"]
    assert [line[0] for line in lines] == [*names, names[0], names[2]]
    assert lines[0][1:3] == ["", ""]
    assert lines[2][1:3] == ["berthe-morisot", "berthe-morisot"]
    # `write_parquet` gives every picture another width, which identifies its row.
    widths = [read_image(Path(line[3])).shape[1] for line in lines[:4]]
    assert widths == [40 + 23, 40 + 20, 40 + 71, 40 + 56]
    with_offline = run_python(code, endpoint, tmp_path, NSTBENCH_OFFLINE="1")
    assert [line.split(" ") for line in with_offline.splitlines()] == lines
    fetched = {r.split(" ")[1].rpartition("/")[2] for r in requests if ".parquet" in r}
    assert fetched == {Path(file).name for file in files.values()}


# --- the fixed lists -----------------------------------------------------------------------


def test_index_lists_follow_their_stated_rule() -> None:
    cls = registry.load("datasets", "coco_wikiart")
    lists = json.loads(cls.index.read_bytes())
    assert lists["version"] == 1
    for role, take in (("content", 50), ("style", 10)):
        listed = lists[role]
        assert len(listed["revision"]) == 40
        ranked = []
        for number in listed["files"]:
            digests = {
                hashlib.sha256(
                    f"nstbench coco_wikiart v1 {role} {number} {row}".encode()
                ).hexdigest(): row
                for row in range(listed["candidates"])
            }
            ranked.append([[int(number), digests[d]] for d in sorted(digests)[:take]])
        assert listed["rows"] == [entry for turn in zip(*ranked, strict=True) for entry in turn]
        assert len({tuple(entry) for entry in listed["rows"]}) == 50
    # The suite 'standard' has four paintings from every file.
    first = [number for number, _ in lists["style"]["rows"][:20]]
    assert {first.count(number) for number in first} == {4}


def test_index_lists_never_change() -> None:
    """Published results name this version, so a better list needs a new version."""
    index = registry.load("datasets", "coco_wikiart").index
    lists = json.loads(index.read_bytes())
    pinned = {role: [lists[role][k] for k in ("repo", "revision", "files", "rows")]
              for role in ("content", "style")}  # fmt: skip
    digest = hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()
    assert digest == "555277627f930594bb49870ff6e2e96d0c4f6dc777ffdc17c784b35f3885de70"


# --- the template and the contact sheet ----------------------------------------------------


def test_template_runs_as_a_copy_and_is_not_discovered(tmp_path: Path) -> None:
    assert not [name for name in registry.names("datasets") if name.startswith("_")]
    copy = tmp_path / "my_pictures.py"
    copy.write_bytes((registry.folder("datasets") / "_template.py").read_bytes())
    assert registry.add_file(copy).kind == "datasets"
    cls = registry.load("datasets", "my_pictures")
    found = cls(cls.Params(count=3)).load(Role.STYLE)
    assert [image.name for image in found.images] == ["ramp-0", "ramp-1", "ramp-2"]
    assert load_picture(found.images[0], 64, "crop").pixels.shape == (1, 3, 64, 64)


def test_contact_sheet(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    for i, colour in enumerate(colours):
        write_png(folder / f"{i}.png", np.full((32, 64, 3), colour, np.uint8))
    write_png(folder / f"{'long' * 20}.png", np.full((64, 32, 3), 90, np.uint8))
    records = dataset("folder", path=folder).load(Role.CONTENT).images
    sheet = contact_sheet(records, thumb=96)
    assert sheet.dtype == np.uint8
    height, width = sheet.shape[:2]
    cells = [(sheet[: height // 2] if i < 3 else sheet[height // 2 :]) for i in range(6)]
    for i, colour in enumerate(colours):
        third = cells[i][:, i % 3 * width // 3 : (i % 3 + 1) * width // 3]
        painted = (third == colour).all(axis=-1)
        assert painted.sum() == 96 * 48
        dark = (third.max(axis=-1) < 128).sum()
        assert dark > 5, "no label"
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
