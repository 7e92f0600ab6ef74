"""The command line: help, options, lists, errors and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Literal

import pytest
import typer
import typer.main
from command_line import nstbench
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from nstbench.cli.app import app
from nstbench.cli.options import add_command, model_options
from nstbench.plan.config import RunConfig, option_of
from nstbench.plugins import registry

HEAVY = ("torch", "pandas", "numpy", "matplotlib", "scipy")


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("import nstbench", ()),
        ("from nstbench.cli import app; app.main()", ("nstbench.plan.config",)),
    ],
    ids=["import", "help"],
)
def test_import_and_help_load_no_heavy_package(code, more):
    script = (
        "import sys; sys.argv[1:] = ['--help']\n"
        f"try:\n    {code}\nexcept SystemExit:\n    pass\n"
        f"loaded = set({(*HEAVY, *more)!r}) & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def seconds_of(*arguments: str) -> float:
    """Return the least processor time in seconds of five calls of Python."""
    used = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = os.times()
        used.append(sum(after[2:4]) - sum(before[2:4]))
    return min(used)


def test_help_imports_what_it_shows_and_no_more():
    code = (
        "import sys; from nstbench.cli.app import main; sys.argv = ['nstbench', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = set(found.stderr.split())
    assert "nstbench.cli.run" in modules
    heavy = {
        "torch", "pandas", "numpy", "matplotlib", "pydantic", "markdown_it", "pygments",
        "nstbench.plan.config", "nstbench.core.records", "nstbench.plan.listener",
    }  # fmt: skip
    assert not modules & heavy


def test_help_names_every_command():
    import typer.main

    from nstbench.cli.app import app

    text = nstbench("--help", COLUMNS="200").stdout
    rows = {line.strip("│ ").split("  ")[0]: line for line in text.splitlines()}
    for name, command in typer.main.get_command(app).commands.items():
        assert (command.short_help or command.help).partition("\n")[0] in rows[name]
    assert {"--version", "--help"} <= rows.keys()
    assert "nstbench [OPTIONS] COMMAND [ARGS]..." in text


@pytest.mark.alone
def test_help_is_quick():
    """What it computes, over importing what such a command line is made of, in turns.

    Both scale with the processor and with what else it does, so that the ratio may have a
    limit. It is 1.5 to 1.8; Typer's own page, with all that it imports, takes 2.1 to 2.4.
    """

    def seconds(*arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    resource = pytest.importorskip("resource")
    turns = [
        (seconds("-m", "nstbench", "--help"), seconds("-c", "import typer, rich, pydantic"))
        for _ in range(9)
    ]
    # the least of each: other programs only ever add
    command, imports = map(min, zip(*turns, strict=True))
    assert command / imports < 1.9, (command, imports)


def options_of(command: str) -> dict[str, str]:
    """Return option -> help text of a command."""
    commands = typer.main.get_command(app).commands
    context = typer.Context(commands[command])
    return {
        parameter.opts[-1]: getattr(parameter, "help", "")
        for parameter in commands[command].get_params(context)
    }


def test_every_setting_that_text_can_express_is_an_option():
    options = options_of("run")
    not_text = {"method_params", "suite_version", "study", "programs"}
    for name, field in RunConfig.model_fields.items():
        option = option_of(name)
        assert (option in options) == (name not in not_text), name
        if option in options:
            assert options[option].lower() == f"{field.description}.".lower()
    others = options.keys() - set(map(option_of, RunConfig.model_fields))
    assert others == {"--config", "--profile", "--dry-run", "--help"}


def test_options_have_the_types_of_their_settings(tmp_path):
    class Model(BaseModel):
        text: str = Field("", description="a text")
        flag: bool = Field(False, description="a flag")
        count: int | None = Field(None, description="a count")
        numbers: tuple[int, ...] = Field((), description="n", json_schema_extra={"option": "--n"})
        names: tuple[str, ...] = Field((), description="names")
        each: tuple[str, ...] = Field((), description="e", json_schema_extra={"repeatable": True})
        size: int | None = Field(None, description="a size", json_schema_extra={"text": True})
        word: Literal["a", "b"] = Field("a", description="a word")
        count_or_word: int | Literal["auto"] = Field("auto", description="either")
        table: dict[str, int] = Field(default_factory=dict, description="not an option")
        hidden: int = Field(0, description="not an option", json_schema_extra={"option": False})

    received = []

    def command(settings: Mapping[str, Any], *, own: bool = False) -> None:
        received.append((settings, own))

    program = typer.Typer(add_completion=False)
    add_command(program, command, lambda: model_options(Model))
    program.command()(lambda: None)
    run = CliRunner()
    given = "--text x --flag --count 3 --n 1 --n 2 --names a,b --each a --each b --size 2kB --own"
    result = run.invoke(program, ["command", *given.split(), "--word", "c"])
    assert result.exit_code == 0, result.output
    ((settings, own),) = received
    assert own
    assert settings == {
        "text": "x", "flag": True, "count": 3, "numbers": [1, 2], "names": "a,b",
        "each": ["a", "b"], "size": "2kB", "word": "c",
    }  # fmt: skip
    assert run.invoke(program, ["command"]).exit_code == 0
    assert received[-1] == ({}, False), "options that are not given leave the defaults"
    text = run.invoke(program, ["command", "--help"], env={"COLUMNS": "100"}).output
    assert "[a|b]" in text
    for name in ("--table", "--hidden"):
        assert name not in text


def test_sweep_has_every_option_of_run_but_its_methods():
    run, sweep = options_of("run"), options_of("sweep")
    assert run.keys() - sweep.keys() == {"--methods"}
    assert sweep.keys() - run.keys() == {"method", "--grid", "--along"}


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets"])
def test_lists_show_every_plugin(kind):
    text = nstbench("list", kind).stdout
    for name in registry.names(kind):
        assert name in text


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets", "suites", "checkpoints"])
def test_a_stored_list_imports_no_torch(kind):
    code = (
        "import sys; from nstbench.cli.app import app\n"
        "app(['list', sys.argv[1]], standalone_mode=False)"
        "\nprint('torch' in sys.modules)"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, kind], check=True, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert answers[1].stdout.splitlines()[-1] == "False"
    assert answers[0].stdout.splitlines()[:-1] == answers[1].stdout.splitlines()[:-1]


def test_list_suites():
    text = nstbench("list", "suites").stdout
    for name in ("starter", "standard", "full", "studies/layers"):
        assert name in text


def test_list_shows_a_broken_plugin_with_its_reason(tmp_path):
    package = tmp_path / "broken_plugin-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[nstbench.methods]\nbroken_one = no_module_here:X\n")
    text = nstbench("list", "methods", PYTHONPATH=str(tmp_path)).stdout
    assert "broken_one" in text
    assert "no_module_here" in text


def test_show_prints_parameters_and_deviations():
    text = nstbench("show", "gatys_2015").stdout
    for word in ("Gatys", "iterations", "1508.06576", "deviation"):
        assert word in text


def test_doctor_prints_packages_and_weights():
    text = nstbench("doctor").stdout
    for word in ("torch", "vgg16", "cache"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--methods", "gatys_2016", "--dry-run"], "Did you mean 'gatys_2015'"),
        (["run", "--methods", "gatys_2015:iteration=3", "--dry-run"], "Did you mean 'iterations'"),
        (["run", "--suite", "startr"], "Did you mean 'starter'"),
        (["run", "--contents", "no/such/folder"], "no/such/folder"),
        (["run", "--size", "3"], "--size"),
        (["run", "-c", "missing.yaml"], "missing.yaml"),
        (["sweep", "gatys_2016", "--grid", "alpha_beta=1,2"], "Did you mean 'gatys_2015'"),
        (["sweep", "gatys_2015", "--grid", "alpha_bet=1,2"], "Did you mean 'alpha_beta'"),
        (["sweep", "gatys_2015", "--grid", "optimizer=adam,bfgs"], "(got 'bfgs')"),
        (["sweep", "gatys_2015", "--grid", "alpha_beta=1..9"], "--grid: 1..9 needs"),
        (["sweep", "gatys_2015", "--grid", "iterations=1..999:999"], "take fewer"),
        (["sweep", "gatys_2015:alpha", "--grid", "alpha_beta=1,2"], "METHOD gatys_2015:alpha"),
        (["run", "--suite", "studies/layer"], "Did you mean 'studies/layers'"),
        (["show", "gatys"], "Did you mean 'gatys_2015'"),
        (["report", "no/such/run"], "no/such/run"),
        (["score", "no/such/run"], "no/such/run"),
        (["explain", "abc", "--run", "no/such/run"], "no record"),
        (["weights", "fetch", "alexnt"], "Did you mean 'alexnet'"),
        (["run", "--device", "cuda:7", "--dry-run"], "--device cuda:7"),
        (["run", "--plugin", "missing.py", "--dry-run"], "missing.py"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_end_with_code_2_and_no_traceback(arguments, message, tmp_path):
    result = nstbench(*arguments, check=False, cwd=tmp_path, COLUMNS="1000")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_dry_run_prints_the_plan(picture_folders, tmp_path):
    contents, styles = picture_folders
    result = nstbench(
        "run", "--methods", "content_copy,noise", "--contents", str(contents),
        "--styles", str(styles), "--dry-run", cwd=tmp_path, COLUMNS="200",
    )  # fmt: skip
    for word in ("content_copy", "noise", "8 units, 8 to run", "MiB"):
        assert word in result.stderr


def test_explain_prints_the_parts_of_a_key(picture_folders, tmp_path):
    contents, styles = picture_folders
    nstbench(
        "run", "--methods", "content_copy", "--contents", str(contents), "--styles", str(styles),
        "--size", "64", "--metrics", "ssim", "--timing-repeats", "0", "--format", "csv",
        "--limit", "1", cwd=tmp_path,
    )  # fmt: skip
    run = tmp_path / "runs" / "custom"
    (record,) = (run / "outputs").rglob("*.json")
    text = nstbench("explain", record.stem[:10], "--run", str(run)).stdout
    for word in ("content_copy", "source", "weights", "seed", "done"):
        assert word in text


def test_validate_asks_the_metrics_and_writes_json(picture_folders, tmp_path):
    contents, styles = picture_folders
    result = nstbench(
        "validate", "--metrics", "ssim,latency", "--contents", str(contents), "--styles",
        str(styles), "--limit", "1", "--size", "64", "--seeds", "2", "--out", "v.json",
        cwd=tmp_path,
    )  # fmt: skip
    assert "ssim" in result.stdout
    (row,) = json.loads((tmp_path / "v.json").read_text())["summary"]
    assert row["metric"] == "ssim"
    assert row["tau"] > 0.8
    assert "SSIM (luma)" in (tmp_path / "v.html").read_text()
