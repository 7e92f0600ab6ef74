"""The commands ``nstbench check``, ``baseline`` and ``history``: has anything become worse?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstbench.cli.options import check_writable
from nstbench.core.errors import UsageError

if TYPE_CHECKING:
    from nstbench.analysis.regression.check import CheckResult

baseline_app = typer.Typer(no_args_is_help=True, help="Baselines: files that runs are checked by.")
history_app = typer.Typer(no_args_is_help=True, help="Baselines over time, and where they moved.")

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a baseline file.")]
BaselineFile = Annotated[Path, typer.Argument(metavar="FILE", help="Baseline file.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        help="Metric and how much worse it may become: 'uef:+2%'; repeatable. UEF, content and "
        "style error 2 %, latency 15 % if unset."
    ),
]


def check(
    run: Run,
    baseline: Annotated[Path, typer.Option(help="Baseline file, or another run folder.")],
    fail_on: FailOn = None,
    methods: Annotated[
        str | None, typer.Option(help="Compare only these: a,b. All of both sides if unset.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(help="File to write: .xml (JUnit), .json or .md; repeatable."),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            help="When speed is compared: required, if-known (a kind of processor without samples "
            "in the baseline is no failure) or off."
        ),
    ] = "required",
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Print GitHub annotations and add a job summary.")
    ] = False,
) -> None:
    """Compare a run with a baseline: exit 0 if fine, 1 if worse, 2 if not comparable."""
    from nstbench.analysis.regression.baseline import load_baseline
    from nstbench.analysis.regression.check import check as compare
    from nstbench.analysis.regression.tolerances import parse_speed, parse_tolerances
    from nstbench.cli.show.checks import print_check
    from nstbench.core.yaml_values import split_names
    from nstbench.report.check_files import check_suffix, write_check

    when = parse_speed(speed)
    for path in out or []:
        check_suffix(path)
        check_writable("--out", path)
    reference = load_baseline(baseline)
    tolerances = parse_tolerances(fail_on or [], reference.metrics)
    names = split_names(methods) if methods else None
    result = compare(load_baseline(run), reference, tolerances, methods=names, speed=when)
    print_check(result)
    for path in out or []:
        write_check(result, path)
        typer.echo(path)
    if annotate:
        _annotate(result, baseline)
    raise typer.Exit(result.exit_code)


def _annotate(result: CheckResult, baseline: Path) -> None:
    """Print workflow commands, and append the summary where GitHub asks for it."""
    from nstbench.report.check_files import github_annotations, markdown

    for line in github_annotations(result, baseline.as_posix() if baseline.is_file() else ""):
        typer.echo(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(markdown(result))
    except OSError as error:
        # the verdict stands, and its exit code must not be another one's
        typer.echo(f"GITHUB_STEP_SUMMARY: no summary in {summary}: {error.strerror}.", err=True)


@baseline_app.command("save")
def baseline_save(
    run: Run,
    file: BaselineFile,
    force: Force = False,
) -> None:
    """Save what a run came to as a new baseline."""
    from nstbench.analysis.regression.baseline import load_baseline, save_baseline

    if not force:
        _refuse_existing(file, f"`nstbench baseline update {run} {file} --reason ...` replaces it")
    save_baseline(load_baseline(run), file)
    typer.echo(file)


def _refuse_existing(file: Path, update: str) -> None:
    """Keep a baseline from being replaced by mistake, and its history with it."""
    if file.exists():
        raise UsageError(f"{file} exists. {update} and keeps its history; --force forgets that.")


@baseline_app.command("update")
def baseline_update(
    run: Run,
    file: BaselineFile,
    reason: Annotated[str, typer.Option(help="Why the numbers may move; kept in the file.")] = "",
    fail_on: FailOn = None,
) -> None:
    """Replace a baseline by a run, print what moved, and keep the reason in it.

    Samples of speed on other kinds of processors are kept.
    """
    from nstbench.analysis.regression.baseline import load_baseline, save_baseline
    from nstbench.analysis.regression.check import check as compare
    from nstbench.analysis.regression.check import moves
    from nstbench.analysis.regression.tolerances import Speed, parse_tolerances
    from nstbench.cli.show.checks import print_check

    before, after = load_baseline(file), load_baseline(run)
    tolerances = parse_tolerances(fail_on or [], before.metrics)
    result = compare(after, before, tolerances, speed=Speed.IF_KNOWN)
    print_check(result)
    moved = moves(result)
    if not reason.strip():
        raise UsageError(
            f"{file} is as it was: {len(moved)} rows would move. Say why with --reason '...'."
        )
    updated = after.with_update(reason.strip(), moved, before)
    save_baseline(updated, file)
    typer.echo(f"{file}: {len(moved)} rows moved. Reason: {reason.strip()}")
    if updated.kinds:
        typer.echo(f"samples of speed: {'; '.join(map(str, updated.kinds))}")


@baseline_app.command("show")
def baseline_show(file: Run) -> None:
    """Show what a baseline holds, and why it was updated."""
    from nstbench.analysis.regression.baseline import load_baseline
    from nstbench.cli.show.checks import print_baseline

    print_baseline(load_baseline(file))


@baseline_app.command("export")
def baseline_export(
    file: Run,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="JSON file of pytest-benchmark.")],
) -> None:
    """Write the latencies as a file that pytest-benchmark and its tools read."""
    from nstbench.analysis.regression.baseline import load_baseline
    from nstbench.analysis.regression.pytest_benchmark_json import as_pytest_benchmark
    from nstbench.store.store import write_json

    write_json(out, as_pytest_benchmark(load_baseline(file)))
    typer.echo(out)


@baseline_app.command("import")
def baseline_import(
    source: Annotated[Path, typer.Argument(metavar="JSON", help="Of pytest --benchmark-json.")],
    file: BaselineFile,
    force: Force = False,
) -> None:
    """Make a baseline of the samples of pytest-benchmark, one row per benchmark."""
    from nstbench.analysis.regression.baseline import save_baseline
    from nstbench.analysis.regression.pytest_benchmark_json import read_pytest_benchmark

    if not force:
        _refuse_existing(
            file,
            "Import into another file, NEW; then `nstbench baseline update NEW "
            f"{file} --reason ...` replaces it",
        )
    save_baseline(read_pytest_benchmark(source), file)
    typer.echo(file)


@history_app.command("add")
def history_add(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the history.")],
    run: Run,
    label: Annotated[str, typer.Option(help="Version it stands for; nstbench's if unset.")] = "",
) -> None:
    """Add a run or baseline to a history."""
    from nstbench.analysis.regression.baseline import load_baseline
    from nstbench.analysis.regression.history import add

    typer.echo(add(folder, load_baseline(run), label))


@history_app.command("show")
def history_show(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the history.")],
    out: Annotated[
        Path | None, typer.Option(help="Page to write; FOLDER/index.html if unset.")
    ] = None,
    fail_on: FailOn = None,
) -> None:
    """Draw quality and relative speed of each method per version, change points marked."""
    from nstbench.analysis.regression.history import load_history, trends
    from nstbench.analysis.regression.tolerances import parse_tolerances
    from nstbench.cli.show.checks import print_trends
    from nstbench.report.history_page import history_page
    from nstbench.store.store import write_bytes

    versions = load_history(folder)
    found = trends(versions, parse_tolerances(fail_on or [], versions[-1].baseline.metrics))
    print_trends(found)
    path = out or folder / "index.html"
    write_bytes(path, history_page(versions, found).encode())
    typer.echo(path)
