"""Lists of trainings: what they contain, and messages that name file and entry."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from nstbench.core.errors import UsageError
from nstbench.core.records import Role
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry
from nstbench.training.listed.planned import Options, plan_trainings
from nstbench.training.listed.training_list import read_list, shipped_list
from nstbench.training.order import build_order
from nstbench.training.together import train

TOY = Path(__file__).parents[1] / "support" / "toy_colour.py"
STYLES = ("nocturne", "stained_glass", "woodblock", "pointillism", "etching", "mosaic",
          "colour_field", "cubism", "abstraction", "action_painting", "fauvism", "ink_wash",
          "art_nouveau", "water_lilies")  # fmt: skip
SHIPPED = (
    "johnson_2016--mosaic",
    "ulyanov_2016--woodblock",
    "wct_2017--vgg16",
    "adain_2017--vgg16",
    "ghiasi_2017--own",
    "dumoulin_2017--starter",
)


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setenv("NSTBENCH_CHECKPOINTS", str(tmp_path / "installed"))
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    registry.add_file(TOY)


@pytest.fixture
def plan(tmp_path, picture_folders):
    """Return a function that writes a list with some entries and plans it."""
    contents, _ = picture_folders
    records = open_dataset(str(contents), "--contents").load(Role.CONTENT).images

    def make(*entries, text=None, **options):
        file = tmp_path / "mine.yaml"
        whole = {"version": 1, "trainings": list(entries)}
        file.write_text(yaml.safe_dump(whole) if text is None else text)
        given = Options(contents=str(contents), out=tmp_path / "out", device="cpu", **options)
        return plan_trainings(read_list(file), file, given, records)

    return make


class TestShippedList:
    def test_it_trains_every_checkpoint_of_the_starter_suite(self, picture_folders, tmp_path):
        contents, styles = picture_folders
        listed = read_list(shipped_list())
        short = [
            entry.model_copy(update={"styles": ("painter:styles=[fauvism],count=1,size=64",)})
            if entry.styles != ("starter",)
            else entry
            for entry in listed.trainings
        ]
        listed = listed.model_copy(update={"trainings": tuple(short)})
        options = Options(contents=str(contents), out=tmp_path / "out", paintings=str(styles))
        names = [one.name for one in plan_trainings(listed, shipped_list(), options, ())]
        assert names == [
            *(f"cyclegan_2017--{style}" for style in ("fauvism", "ink_wash", "water_lilies")),
            *(f"johnson_2016--{style}" for style in STYLES),
            *(f"ulyanov_2016--{style}" for style in STYLES),
            "wct_2017--vgg16", "adain_2017--vgg16", "ghiasi_2017--own", "dumoulin_2017--starter",
        ]  # fmt: skip

    def test_parameters_are_those_of_the_checkpoints_that_are_shipped(self, plan):
        """So the trainings begin with them, and the starter suite finds their successors."""
        entries = [
            entry.model_dump(exclude_unset=True) | {"styles": "starter"}
            for entry in read_list(shipped_list()).trainings
            if not entry.method.startswith("cyclegan")
        ]
        starts = {one.name: one.job.start for one in plan(*entries)}
        assert all(start is not None for start in starts.values())
        for name in SHIPPED:
            assert starts[name].name == name
        # a style without a checkpoint begins with that of another style
        assert starts["johnson_2016--nocturne"].card.method == "johnson_2016"


class TestPlan:
    def test_a_training_without_styles_has_none(self, plan):
        (found,) = plan({"method": "wct_2017", "name": "w", "size": 48, "batch": 2})
        assert found.job.styles == ()

    def test_one_training_per_style_with_the_name_of_the_style(self, plan):
        found = plan({"method": "toy_colour", "size": 48, "batch": 3, "share": 2.5})
        assert [one.name for one in found] == [f"toy_colour--{style}" for style in STYLES]
        assert {one.share for one in found} == {2.5}
        recipe = found[0].job.recipe
        assert (recipe.size, recipe.batch, recipe.learning_rate) == (48, 3, 0.05)
        assert [record.name for record in found[0].job.contents] == ["c0", "c1"]

    def test_only_some(self, plan):
        entry = {"method": "toy_colour", "style": ["mosaic", "cubism"]}
        assert [one.name for one in plan(entry, only=("toy_colour--cubism",))] == [
            "toy_colour--cubism"
        ]
        assert len(plan(entry, only=("toy_colour",))) == 2
        with pytest.raises(UsageError, match=r"--only toy_colour--cubist: .*toy_colour--cubism"):
            plan(entry, only=("toy_colour--cubist",))

    def test_folders_of_starts_come_before_the_shipped_one(self, plan, tmp_path, picture_folders):
        contents, styles = map(str, picture_folders)
        for folder in ("a", "b"):
            train(build_order("toy_colour", {
                "contents": contents, "styles": styles, "style": ("s0",), "steps": 2,
                "device": "cpu", "threads": 1, "out": tmp_path / folder, "name": folder,
            }))  # fmt: skip
        entry = {"method": "toy_colour", "styles": styles, "style": ["s0", "s1"]}
        found = plan(entry, start_from=(tmp_path / "b", tmp_path / "a"))
        assert [one.job.start.name for one in found] == ["toy_colour--b"] * 2
        named = plan(
            {**entry, "start": "toy_colour--a"}, start_from=(tmp_path / "b", tmp_path / "a")
        )
        assert {one.job.start.name for one in named} == {"toy_colour--a"}
        assert [one.job.start for one in plan({**entry, "start": "new"})] == [None, None]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"method": "toy_color"}, r"mine.yaml, entry 2 \(toy_color\): .*toy_colour"),
        ({"method": "toy_colour:bia=true"}, r"entry 2 \(toy_colour:bia=true\): .*bia"),
        ({"method": "content_copy"}, r"entry 2 \(content_copy\): content_copy cannot be trained"),
        (
            {"method": "toy_colour", "style": ["mosaik"]},
            r"entry 2 .*'mosaik'.*Did you mean 'mosaic'",
        ),
        ({"method": "toy_colour", "styles": "nowhere/x"}, r"entry 2 .*styles nowhere/x"),
        ({"method": "toy_colour", "styles": "paintings"}, r"entry 2 .*--paintings"),
        ({"method": "toy_colour", "start": "no--such"}, r"entry 2 .*no--such of toy_colour"),
        ({"method": "toy_colour", "sizee": 32}, r"mine.yaml: entry 2, .*'sizee'.*'size'"),
        ({"method": "toy_colour", "size": 8}, r"mine.yaml: entry 2, size: .*32.*'8'"),
        ({"method": "toy_colour", "share": 0}, r"mine.yaml: entry 2, share: "),
        ({"size": 64}, r"mine.yaml: entry 2, the setting 'method' is missing"),
        (
            {"method": "toy_colour", "style": ["cubism"]},
            r"entry 1 and .*entry 2: .*toy_colour--cubism",
        ),
    ],
)
def test_a_message_names_file_and_entry(plan, entry, message):
    with pytest.raises(UsageError, match=message):
        plan({"method": "toy_colour", "style": ["cubism"]}, entry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\ntrainings: [{method: toy_colour}]", "mine.yaml: version: "),
        ("version: 1\ntrainings: []", "mine.yaml: trainings: "),
        ("version: 1\nlicense: MIT\ntrainings: [{method: a}]", "'license'.*'licence'"),
        ("- a", "mine.yaml must hold"),
        ("version: [", "mine.yaml is not valid YAML"),
    ],
)
def test_a_file_that_is_not_a_list(plan, text, message):
    with pytest.raises(UsageError, match=message):
        plan(text=text)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"--list .*absent.yaml: there is no such file"):
        read_list(tmp_path / "absent.yaml")


def test_a_style_without_a_checkpoint_begins_with_that_of_a_similar_style(
    plan, tmp_path, picture_folders
):
    contents, styles = picture_folders
    for name, grey in (("dark", 30), ("bright", 230), ("wanted", 210)):
        Image.new("RGB", (40, 40), (grey, grey, grey)).save(styles / f"{name}.png")
    for name in ("dark", "bright"):
        train(build_order("toy_colour", {
            "contents": str(contents), "styles": str(styles), "style": (name,), "steps": 2,
            "device": "cpu", "threads": 1, "out": tmp_path / "made", "name": name,
        }))  # fmt: skip
    (one,) = plan(
        {"method": "toy_colour", "styles": str(styles), "style": "wanted"},
        start_from=(tmp_path / "made",),
    )
    assert one.job.start.name == "toy_colour--bright"
