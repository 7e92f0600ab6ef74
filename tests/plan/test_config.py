"""The configuration: parsing, merging, and what it refuses."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nstbench.core.errors import UsageError
from nstbench.plan.config import RunConfig, option_of, parse_methods, parse_named
from nstbench.plan.config_file import build_config, suites


def test_parse_methods_all():
    assert parse_methods("all") == "all"


def test_parse_methods_keeps_parameters_with_their_method():
    first, second, third = parse_methods("a:x=1,y=noise,b:sizes=[128,256],rate=1e-3,c")
    assert (first.name, first.params) == ("a", {"x": 1, "y": "noise"})
    assert (second.name, second.params) == ("b", {"sizes": [128, 256], "rate": 1e-3})
    assert (third.name, third.params) == ("c", {})


def test_variant_label_names_only_what_was_given():
    (spec,) = parse_methods("gatys_2015:optimizer=adam,iterations=5")
    assert spec.board_label == "gatys_2015:optimizer=adam,iterations=5"
    assert parse_methods("gatys_2015")[0].board_label == "gatys_2015"


@pytest.mark.parametrize("text", ["", "x=1", "a:x", "a:=3"])
def test_malformed_methods_are_refused(text):
    with pytest.raises(UsageError, match="methods"):
        build_config({"methods": text})


def test_parse_named_dataset():
    assert parse_named("coco_wikiart:count=20") == ("coco_wikiart", {"count": 20})
    assert parse_named("pictures/mine") == ("pictures/mine", {})


def test_suite_file_and_options_win_in_this_order(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("size: 100\nseeds: [1, 2]\n")
    config = build_config({"size": 64}, file=file)
    assert config.size == 64
    assert config.seeds == (1, 2)
    assert config.suite == "starter"
    assert config.contents == "starter"


def test_own_pictures_are_not_rotated_like_the_suite(tmp_path):
    assert build_config({}).contents_per_style is not None
    assert build_config({"contents": str(tmp_path)}).contents_per_style is None
    assert build_config({"contents": str(tmp_path)}).folder == Path("runs/custom")
    assert (
        build_config({"contents": str(tmp_path), "contents_per_style": 1}).contents_per_style == 1
    )


def test_unknown_suite_gets_a_suggestion():
    with pytest.raises(UsageError, match="Did you mean 'starter'"):
        build_config({}, suite="startr")


def test_unknown_setting_gets_a_suggestion(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("contens: x\n")
    with pytest.raises(UsageError, match=r"(?s)'contens'.*Did you mean 'contents'.*own.yaml"):
        build_config({}, file=file)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2]", "name: value"), ("a: [", "not valid YAML"), ("\x00", "not valid YAML")],
)
def test_bad_files_are_named(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.yaml.*{message}"):
        build_config({}, file=file)


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 3), ("device", "gpu"), ("resume", "sometimes"), ("limit", 0), ("seeds", ())],
)
def test_wrong_values_name_the_option(option, value):
    with pytest.raises(UsageError, match=f"{option_of(option)}: "):
        build_config({option: value})


@pytest.mark.parametrize("name", suites())
def test_every_suite_is_valid_and_described(name):
    config = build_config({}, suite=name)
    assert config.suite_version >= 1
    assert suites()[name].read_text().startswith("# ")


def test_every_setting_is_described():
    undocumented = {"suite_version", "suite"}
    for name, field in RunConfig.model_fields.items():
        assert field.description or name in undocumented, name


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * 2**30), ("500 MB", 500 * 10**6), ("2e9", 2 * 10**9), (123, 123)]
)
def test_memory_limits_are_sizes(text, size):
    assert build_config({"memory_limit": text}).memory_limit == size


@pytest.mark.parametrize("text", ["much", "4 GiB/s", "-1", "1.2.3GB"])
def test_text_that_is_not_a_size_is_refused(text):
    with pytest.raises(UsageError, match=r"--memory-limit: .*is not a size; write 4GiB"):
        build_config({"memory_limit": text})


def test_devices_are_named_one_by_one():
    assert build_config({"devices": "cuda:0, cuda:1"}).devices == ("cuda:0", "cuda:1")
    with pytest.raises(UsageError, match="--devices: must be auto, cpu, cuda or cuda:N"):
        build_config({"devices": "cuda:0,gpu"})


def test_paths_of_a_file_begin_in_its_folder_and_those_of_options_in_the_working_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs"
    folder.mkdir()
    file = folder / "bench.yaml"
    file.write_text(
        "contents: ../photos\nstyles: paintings\nout: runs/x\nplugins: [mine.py, /abs/other.py]\n"
        "train_contents: ~/pictures\n"
        "methods:\n  - {name: p, command: 'p {content} {output}', cwd: here}\n"
    )
    config = build_config({"device": "cpu"}, file=Path("configs/bench.yaml"))
    assert Path(config.contents).resolve() == tmp_path / "photos"
    assert Path(config.styles).resolve() == folder / "paintings"
    assert config.out is not None
    assert config.out.resolve() == folder / "runs" / "x"
    assert [p.resolve() for p in config.plugins] == [folder / "mine.py", Path("/abs/other.py")]
    assert Path(config.train_contents) == Path.home() / "pictures"
    assert config.programs[0].cwd == folder / "here"
    given = build_config({"styles": "mine", "out": Path("out")}, file=file)
    assert (given.styles, given.out) == ("mine", Path("out"))


def test_names_of_datasets_in_a_file_stay_names(tmp_path):
    (tmp_path / "starter").mkdir()
    file = tmp_path / "bench.yaml"
    file.write_text("contents: starter\nstyles: 'painter:count=3'\ntrain_contents: own:a=1\n")
    config = build_config({"plugins": (Path("own.py"),)}, file=file)
    assert (config.contents, config.styles) == ("starter", "painter:count=3")
    assert config.train_contents == "own:a=1"


def test_the_page_of_settings_lists_every_one_as_it_is():
    path = Path(__file__).parents[2] / "docs" / "settings.py"
    spec = importlib.util.spec_from_file_location("settings_page", path)
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.written() == page.table(), "python docs/settings.py --write"
    for name in RunConfig.model_fields:
        assert f"| `{name}` |" in page.written()
