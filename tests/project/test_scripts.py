"""The scripts refuse curves of other settings, and leave out timings without samples."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import typer
from pydantic import TypeAdapter
from scipy.stats import t

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


def leak_rows(method: str, totals: list[list[float]]) -> list[tuple[object, ...]]:
    """Rows of pairs with T per round, half of it content error."""
    return [
        (method, "photo", f"s{pair}", 64, n, total / 2, total / 2, total)
        for pair, values in enumerate(totals)
        for n, total in enumerate(values, start=1)
    ]


def test_the_rise_of_the_error_has_an_interval_over_styles() -> None:
    leak = script("content_leak")
    totals = np.random.default_rng(0).uniform(0.5, 2, (4, 3))
    table = pd.DataFrame(leak_rows("m", totals.tolist()), columns=leak.COLUMNS)
    lines = leak.report(table, ["m"])[2:]
    numbers = [[float(n) for n in re.findall(r"[-+]?\d+\.\d+", line)] for line in lines]
    for n in range(3):
        mean = totals[:, n].mean()
        np.testing.assert_allclose(numbers[n][:3], [mean / 2, mean / 2, mean], atol=6e-4)
        rise = totals[:, n] - totals[:, 0]
        # Student's interval of four styles
        reach = t.ppf(0.975, 3) * rise.std(ddof=1) / 2
        expected = [rise.mean(), rise.mean() - reach, rise.mean() + reach] if n else []
        np.testing.assert_allclose(numbers[n][3:], expected, atol=6e-4)
    alone = pd.DataFrame(leak_rows("m", totals[:1].tolist()), columns=leak.COLUMNS)
    assert "[" not in leak.report(alone, ["m"])[-1]


def test_finished_pairs_of_the_leak_are_kept(
    tmp_path: Path, network_weights: None, capsys: pytest.CaptureFixture[str]
) -> None:
    leak, out = script("content_leak"), tmp_path / "leak.csv"
    options = {"contents": "starter", "styles": "starter", "number": 2, "size": 64, "out": out}
    leak.main(["reinhard_2001"], pairs=1, **options)
    first = pd.read_csv(out)
    assert first["round"].tolist() == [1, 2]
    assert (first["content_error"] + first["style_error"]).tolist() == pytest.approx(
        first["total_error"].tolist()
    )
    # a marked row shows that the pair is not computed again
    first.assign(total_error=[1.0, 9.0]).to_csv(out, index=False)
    leak.main(["reinhard_2001"], pairs=2, **options)
    second = pd.read_csv(out)
    assert second["total_error"].tolist()[:2] == [1.0, 9.0]
    assert second["style"].nunique() == 2
    assert len(second) == 4
    assert "| `reinhard_2001` | 2 | 2 |" in capsys.readouterr().out
    # a third round continues from the picture of the second, with the result of one call
    leak.main(["reinhard_2001"], pairs=1, **{**options, "number": 3})
    straight = tmp_path / "straight.csv"
    leak.main(["reinhard_2001"], pairs=1, **{**options, "number": 3, "out": straight})
    third, whole = (pd.read_csv(path).query("round == 3") for path in (out, straight))
    assert third["total_error"].tolist() == pytest.approx(whole["total_error"].tolist(), rel=1e-9)
    assert pd.read_csv(out)["total_error"].tolist()[:2] == [1.0, 9.0]
    out.write_text("a,b\n")
    with pytest.raises(UsageError, match="was not written by this script"):
        leak.main(["reinhard_2001"], pairs=1, **options)
