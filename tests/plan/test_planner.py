"""From a configuration to units: pairs, keys, what is cached and what is blocked."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nstbench.core.errors import StoreError, UsageError
from nstbench.core.records import ImageRecord, Status, UnitRecord
from nstbench.pictures import picture
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import pixel_hash, write_png
from nstbench.plan import inputs, unit_keys
from nstbench.plan.config_file import build_config
from nstbench.plan.inputs import write_inputs
from nstbench.plan.plan_file import write_plan
from nstbench.plan.planner import make_plan, pair_up
from nstbench.plan.variants import resolve_methods
from nstbench.plugins import registry
from nstbench.store.atomic_files import read_json
from nstbench.store.keys import key_of, key_without_code, seed_of
from nstbench.store.store import Store

BASELINES = "content_copy,pixel_blend"
PICTURE = {"output": "a file", "output_sha256": "its checksum"}


@pytest.fixture
def plan_of(picture_folders, tmp_path):
    contents, styles = picture_folders

    def make(**options):
        settings = {
            "methods": BASELINES, "contents": str(contents), "styles": str(styles),
            "size": 64, "metrics": (), "out": tmp_path / "run", **options,
        }  # fmt: skip
        config = build_config(settings)
        for file in config.plugins:
            registry.add_file(file)
        return make_plan(config, Store(config.folder), resolve_methods(config))

    return make


def images(count):
    return [ImageRecord(str(index), Path(str(index))) for index in range(count)]


@pytest.mark.parametrize(("contents", "styles", "each"), [(7, 8, 2), (7, 10, 3), (3, 5, 2)])
def test_rotation_is_balanced(contents, styles, each):
    pairs = pair_up(images(contents), images(styles), each)
    assert len(set(pairs)) == styles * each
    assert set(Counter(style for _, style in pairs).values()) == {each}
    uses = Counter(content for content, _ in pairs)
    assert len(uses) == contents
    assert max(uses.values()) - min(uses.values()) <= 1


def test_all_pairs_without_rotation():
    assert len(pair_up(images(3), images(4), None)) == 12
    assert len(pair_up(images(3), images(4), 9)) == 12


def test_units_are_ordered_by_method_then_style(plan_of):
    plan = plan_of()
    assert len(plan.units) == 2 * 2 * 2
    order = [(unit.method, unit.style.name) for unit in plan.units]
    assert order == sorted(order, key=lambda entry: (BASELINES.index(entry[0]), entry[1]))
    assert plan.pending == plan.units


def test_keys_depend_on_inputs_only(plan_of):
    keys = {unit.key for unit in plan_of().units}
    assert len(keys) == 8
    assert keys == {unit.key for unit in plan_of().units}
    assert keys == {unit.key for unit in plan_of(methods="pixel_blend,content_copy").units}
    assert not keys & {unit.key for unit in plan_of(size=48).units}
    assert not keys & {unit.key for unit in plan_of(seeds=(1,)).units}


def test_keys_are_those_of_the_parts(plan_of):
    for unit in plan_of(seeds=(0, 1)).units:
        assert unit.key == key_of(dict(unit.parts))
        assert unit.unit_seed == seed_of(key_without_code(dict(unit.parts)))
        assert unit.parts["content"] == unit.content.sha256
        assert {"seed", "size", "source", "style_map"} <= unit.parts.keys()


def test_a_unit_of_a_large_plan_is_small(plan_of):
    """A million units must fit into a GiB: what they share must be there once."""
    plan_of()
    tracemalloc.start()
    plan = plan_of(seeds=tuple(range(1000)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.units) == 8000
    assert size / len(plan.units) < 700


def test_costs_are_measured_where_units_are_done(plan_of):
    plan = plan_of()
    store, method = Store(plan.config.folder), registry.load("methods", "content_copy")
    guess = method(method.Params()).expected_seconds(64)
    assert plan.costs["content_copy"] == guess
    assert plan.expected_seconds == pytest.approx(4 * guess + 4 * plan.costs["pixel_blend"])
    for unit, seconds in zip(plan.units[:2], (3.0, 5.0), strict=True):
        write_png(store.output_path(unit.plugin, unit.key), np.zeros((64, 64, 3), np.uint8))
        store.write_record(UnitRecord.of(unit, Status.DONE, seconds=seconds, **PICTURE))
    assert plan_of().costs["content_copy"] == 4.0
    assert plan_of().expected_seconds == pytest.approx(8 + 4 * plan.costs["pixel_blend"])


def test_a_plan_file_lists_every_unit(plan_of):
    plan = plan_of()
    store = Store(plan.config.folder)
    write_plan(store, plan, {})
    listed = read_json(store.root / "plan.json")["units"]
    assert [entry["key"] for entry in listed] == [unit.key for unit in plan.units]
    write_plan(store, replace(plan, units=()), {})
    assert read_json(store.root / "plan.json")["units"] == []


def test_parameters_enter_the_key(plan_of):
    field = next(iter(registry.load("methods", "pixel_blend").Params.model_fields))
    units = plan_of(methods=f"pixel_blend,pixel_blend:{field}=0.25").units
    assert len({unit.key for unit in units}) == 8


def test_files_in_parameters_enter_the_key_by_content(plan_of, tmp_path):
    plugin = tmp_path / "with_file.py"
    plugin.write_text(
        "from pathlib import Path\nfrom nstbench.contracts import *\n"
        "from nstbench.contracts import Parameters, Flexibility\n"
        "class M(Method):\n"
        "    info = MethodInfo('M', 'me', 2026, 'x', 'y', Flexibility.ARBITRARY)\n"
        "    class Params(Parameters):\n        mask: Path = Path('none')\n"
        "    def prepare(self, style): pass\n"
        "    def stylize(self, content, *, generator, on_step): return content.pixels\n"
    )
    mask = tmp_path / "mask.png"
    methods = f"with_file:mask={mask}"
    mask.write_bytes(b"one")
    first = plan_of(methods=methods, plugins=(plugin,)).units[0].key
    mask.write_bytes(b"two")
    assert plan_of(methods=methods, plugins=(plugin,)).units[0].key != first


def test_same_pixels_twice_are_one_picture(plan_of, picture_folders):
    contents, _ = picture_folders
    (contents / "again.png").write_bytes((contents / "c0.png").read_bytes())
    plan = plan_of()
    assert len(plan.units) == 8
    assert any("same pixels" in skip.reason for skip in plan.skipped)


def test_unreadable_pictures_are_left_out_with_their_reason(plan_of, picture_folders):
    contents, _ = picture_folders
    (contents / "broken.png").write_bytes((contents / "c0.png").read_bytes()[:100])
    plan = plan_of()
    assert len(plan.units) == 8
    (skip,) = plan.skipped
    assert skip.path.name == "broken.png"
    assert skip.reason


def test_finished_units_are_cached_and_failures_wait_for_retry(plan_of):
    store = Store(plan_of().config.folder)
    done, failed, *_ = plan_of().units
    write_png(store.output_path(done.plugin, done.key), np.zeros((64, 64, 3), np.uint8))
    store.write_record(UnitRecord.of(done, Status.DONE, finished="2026", **PICTURE))
    store.write_record(UnitRecord.of(failed, Status.FAILED, finished="2026"))
    assert plan_of().cached == {done.key, failed.key}
    assert plan_of(retry="failed").cached == {done.key}
    assert plan_of(retry="failed").outdated == {failed.key: "2026"}
    assert plan_of(resume="never").cached == set()
    assert plan_of(resume="never").outdated.keys() == {done.key, failed.key}


def test_resume_always_accepts_results_of_other_code(plan_of, monkeypatch):
    plan = plan_of()
    store = Store(plan.config.folder)
    for unit in plan.units:
        write_png(store.output_path(unit.plugin, unit.key), np.zeros((64, 64, 3), np.uint8))
        store.write_record(UnitRecord.of(unit, Status.DONE, finished="2026", **PICTURE))
    monkeypatch.setattr(unit_keys, "source_hash", lambda plugin: "edited since")
    assert not plan_of().cached
    trusted = plan_of(resume="always")
    assert trusted.cached == {unit.key for unit in plan.units}
    assert {unit.unit_seed for unit in trusted.units} == {unit.unit_seed for unit in plan.units}


def test_broken_plugin_is_a_row(plan_of, monkeypatch, tmp_path):
    load = registry.load

    def broken(kind, name):
        if name == "pixel_blend":
            raise registry.PluginError(
                "method 'pixel_blend' cannot be imported: no torch_geometric"
            )
        return load(kind, name)

    monkeypatch.setattr(registry, "load", broken)
    plan = plan_of()
    outcomes = {plan.blocked[unit.key] for unit in plan.units if unit.method == "pixel_blend"}
    ((status, message),) = {(o.status, o.message) for o in outcomes}
    assert status == Status.UNAVAILABLE
    assert "torch_geometric" in message
    assert len(plan.pending) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": "content_cpy"}, "Did you mean 'content_copy'"),
        ({"methods": "content_copy:alpha=1"}, "no parameter 'alpha'"),
        ({"methods": "content_copy,content_copy"}, "named twice"),
        ({"metrics": ("uff",)}, "no metric called 'uff'"),
        ({"contents": "no/such/folder"}, "neither a dataset nor an existing folder"),
        ({"contents": "startr"}, "Did you mean 'starter'"),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(plan_of, options, message):
    with pytest.raises(UsageError, match=message):
        plan_of(**options)


def test_all_means_every_registered_method():
    variants = resolve_methods(build_config({"methods": "all"}))
    assert list(dict.fromkeys(v.card.plugin for v in variants)) == registry.names("methods")


def test_all_brings_the_further_settings_of_a_method(monkeypatch):
    copy = registry.load("methods", "pixel_blend")
    monkeypatch.setattr(copy, "further_settings", ({"amount": 0.25},))
    for text in ("all", "all,pixel_blend:amount=0.75"):
        labels = [v.card.method for v in resolve_methods(build_config({"methods": text}))]
        place = labels.index("pixel_blend")
        assert labels[place : place + 2] == ["pixel_blend", "pixel_blend:amount=0.25"]
        assert len(labels) == len(set(labels))
    assert labels[-1] == "pixel_blend:amount=0.75"


def test_planning_writes_nothing(plan_of):
    plan = plan_of()
    assert not plan.config.folder.exists()
    write_inputs(Store(plan.config.folder), plan.inputs)
    for card in plan.pictures:
        assert pixel_hash(read_image(plan.config.folder / card.file)) == card.sha256


def test_pictures_that_the_plan_does_not_keep_are_fitted_again(plan_of, monkeypatch):
    monkeypatch.setattr(inputs, "KEPT_BYTES", 64 * 64 * 3)
    plan = plan_of()
    assert [entry.pixels is None for entry in plan.inputs] == [False, True, False, True]
    write_inputs(Store(plan.config.folder), plan.inputs)
    for card in plan.pictures:
        assert pixel_hash(read_image(plan.config.folder / card.file)) == card.sha256


def test_a_picture_that_changed_after_planning_is_refused(plan_of, picture_folders, monkeypatch):
    monkeypatch.setattr(inputs, "KEPT_BYTES", 0)
    plan = plan_of()
    contents, _ = picture_folders
    (contents / "c0.png").write_bytes((contents / "c1.png").read_bytes())
    with pytest.raises(StoreError, match=r"c0\.png changed while the run was planned"):
        write_inputs(Store(plan.config.folder), plan.inputs)


def test_a_picture_is_decoded_and_hashed_once(plan_of, monkeypatch):
    calls = Counter()

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(picture, "read_image", counted("decoded", picture.read_image))
    monkeypatch.setattr(inputs, "pixel_hash", counted("hashed", inputs.pixel_hash))
    plan = plan_of()
    write_inputs(Store(plan.config.folder), plan.inputs)
    assert calls == {"decoded": 4, "hashed": 4}
