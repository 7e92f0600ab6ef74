"""The scripts refuse curves of other settings, and leave out timings without samples."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import typer
from pydantic import TypeAdapter

from nstbench.core.errors import UsageError
from nstbench.core.records import Timing
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import pixel_hash
from nstbench.store.atomic_files import write_json

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_curves_of_other_settings_are_refused(tmp_path: Path) -> None:
    keep = script("normalisation_study").keep_settings
    settings = {"style": "mosaic", "steps": 100, "width": 0.5}
    keep(tmp_path / "new", settings)
    assert json.loads((tmp_path / "new" / "settings.json").read_text()) == settings
    keep(tmp_path / "new", {**settings, "steps": 50})  # the first settings have no curve yet
    (tmp_path / "new" / "curves.csv").write_text("norm,seed\n")
    keep(tmp_path / "new", {**settings, "steps": 50})
    with pytest.raises(UsageError, match=r"steps 50 / 100\)"):
        keep(tmp_path / "new", settings)
    (tmp_path / "new" / "settings.json").unlink()
    with pytest.raises(UsageError, match="steps unknown / 100"):
        keep(tmp_path / "new", settings)


def test_timings_without_samples_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def timing(name: str, latency: tuple[float, ...], calibration: tuple[float, ...]) -> Timing:
        return Timing(
            method=name, plugin=name, size=64, device="cpu", latency=latency, first_call=0.0,
            load=0.0, prepare=(), peak_memory=None, parameters=None, calibration=calibration,
            environment={},
        )  # fmt: skip

    timings = [
        timing("slow", (8.0, 8.0), (2.0,)),
        timing("failed", (), ()),
        timing("foreign", (4.0,), ()),
        timing("slowest", (16.0,), (2.0,)),
    ]
    data = TypeAdapter(list[Timing]).dump_python(timings, mode="json")
    write_json(tmp_path / "timings.json", data)
    ratios = script("latency_ratios")
    ratios.main(tmp_path, "slow")
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0].strip("| `"), row[3], row[4].strip("| ")) for row in rows] == [
        ("slowest", "1.00", "8.00"), ("slow", "2.00", "4.00"), ("foreign", "4.00", "–"),
    ]  # fmt: skip
    with pytest.raises(typer.BadParameter, match="failed with samples"):
        ratios.main(tmp_path, "failed")


def test_starter_pictures_are_made_with_their_pins(tmp_path: Path, capsys, monkeypatch) -> None:
    module = script("starter_pictures")
    monkeypatch.setattr(module, "STYLES", {name: module.STYLES[name] for name in ("etching",)})
    assert module.main(["--folder", str(tmp_path), "--size", "64"]) == 0
    made = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    shipped = json.loads((module.FOLDER / "manifest.json").read_text(encoding="utf-8"))
    # the photographs and their maps do not depend on the size or on the processor
    assert made["contents"] == shipped["contents"]
    (style,) = made["styles"]
    known = next(entry for entry in shipped["styles"] if entry["name"] == "etching")
    assert {name: style[name] for name in ("file", "licence", "author", "collection")} == {
        name: known[name] for name in ("file", "licence", "author", "collection")
    }
    for entry in (style, style["map"]):
        pixels = read_image(tmp_path / entry["file"])
        assert pixels.shape == (64, 64, 3)
        assert pixel_hash(pixels) == entry["pixels"] != known["pixels"]
    assert len(list(tmp_path.glob("*.webp"))) == 2 + 4
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert module.main(["--folder", str(tmp_path), "--size", "64"]) == 1
    assert "1,000 may ship" in capsys.readouterr().err
