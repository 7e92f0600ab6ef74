"""The command line as a user meets it: help, lists, errors and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command_line import nstbench

from nstbench.plan.config import RunConfig
from nstbench.plugins import registry


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


def test_every_setting_is_an_option():
    text = nstbench("run", "--help", COLUMNS="200").stdout
    differently_named = {"seeds": "--seed", "formats": "--format", "plugins": "--plugin"}
    by_file_only = {
        "method_params", "suite_version", "timing_sizes", "study", "programs", "worker_threads",
    }  # fmt: skip
    for name in RunConfig.model_fields.keys() - by_file_only:
        assert differently_named.get(name, "--" + name.replace("_", "-")) in text, name


def test_sweep_has_every_option_of_run_but_its_methods():
    import typer.main

    from nstbench.cli.app import app

    commands = typer.main.get_command(app).commands
    options = {
        name: {(p.name, *p.opts) for p in commands[name].params} for name in ("run", "sweep")
    }
    assert options["run"] - options["sweep"] == {("methods", "--methods")}
    assert {name for name, *_ in options["sweep"] - options["run"]} == {"method", "grid", "along"}


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets"])
def test_lists_show_every_plugin(kind):
    text = nstbench("list", kind).stdout
    for name in registry.names(kind):
        assert name in text


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets", "suites", "checkpoints"])
def test_a_list_that_was_seen_before_imports_no_torch(kind):
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


def test_show_tells_parameters_and_deviations():
    text = nstbench("show", "gatys_2015").stdout
    for word in ("Gatys", "iterations", "1508.06576", "deviation"):
        assert word in text


def test_doctor_names_what_is_unavailable_and_the_way_out():
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
