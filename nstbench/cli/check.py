"""The commands ``nstbench check``, ``baseline`` and ``history``: comparison with earlier runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstbench.cli.options import check_writable
from nstbench.core.errors import UsageError

if TYPE_CHECKING:
    from nstbench.analysis.regression.check import CheckResult

baseline_app = typer.Typer(
    no_args_is_help=True, help="Baselines: files that runs are compared with."
)
history_app = typer.Typer(
    no_args_is_help=True, help="Baselines over time, with their change points."
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a baseline file.")]
BaselineFile = Annotated[Path, typer.Argument(metavar="FILE", help="Baseline file.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        help="Metric and its tolerance: 'uef:+2%'; repeatable. If unset: 2 % for UEF, content and "
        "style error, 15 % for latency."
    ),
]


def check(
    run: Run,
    baseline: Annotated[Path, typer.Option(help="Baseline file, or another run folder.")],
    fail_on: FailOn = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods to compare: a,b; those of both sides if unset.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(help="File to write: .xml (JUnit), .json or .md; repeatable."),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            help="When speed is compared: required, if-known (a kind of processor without samples "
            "in the baseline does not fail) or off."
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
    """Print workflow commands, and append the summary to GITHUB_STEP_SUMMARY if it is set."""
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
        # the exit code is that of the check, with or without the summary
        typer.echo(f"GITHUB_STEP_SUMMARY: no summary in {summary}: {error.strerror}.", err=True)


@baseline_app.command("save")
def baseline_save(
    run: Run,
    file: BaselineFile,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Save the results of a run as a new baseline."""
    from nstbench.analysis.regression.baseline import load_baseline, save_baseline

    # the file also holds the history of the baseline, which must not be deleted by mistake
    if file.exists() and not force:
        raise UsageError(
            f"{file} exists. `nstbench baseline update {run} {file} --reason ...` replaces it and "
            "keeps its history; --force deletes the history."
        )
    save_baseline(load_baseline(run), file)
    typer.echo(file)


@baseline_app.command("update")
def baseline_update(
    run: Run,
    file: BaselineFile,
    reason: Annotated[str, typer.Option(help="Reason for the change; saved in the file.")] = "",
    fail_on: FailOn = None,
) -> None:
    """Replace a baseline by a run, print the rows that moved, and save the reason.

    Speed samples of other kinds of processors are kept.
    """
    from nstbench.analysis.regression.baseline import load_baseline, save_baseline
    from nstbench.analysis.regression.check import check as compare
    from nstbench.analysis.regression.tolerances import Speed, parse_tolerances
    from nstbench.cli.show.checks import print_check
    from nstbench.report.parts.check_text import moves

    before, after = load_baseline(file), load_baseline(run)
    tolerances = parse_tolerances(fail_on or [], before.metrics)
    result = compare(after, before, tolerances, speed=Speed.IF_KNOWN)
    print_check(result)
    moved = moves(result)
    if not reason.strip():
        raise UsageError(
            f"{file} was not changed: {len(moved)} rows would move. Give a reason: --reason '...'."
        )
    updated = after.with_update(reason.strip(), moved, before)
    save_baseline(updated, file)
    typer.echo(f"{file}: {len(moved)} rows moved. Reason: {reason.strip()}")
    if updated.kinds:
        typer.echo(f"samples of speed: {'; '.join(map(str, updated.kinds))}")


@baseline_app.command("show")
def baseline_show(file: Run) -> None:
    """Show the rows of a baseline and the reasons of its updates."""
    from nstbench.analysis.regression.baseline import load_baseline
    from nstbench.cli.show.checks import print_baseline

    print_baseline(load_baseline(file))


@history_app.command("add")
def history_add(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the history.")],
    run: Run,
    label: Annotated[
        str, typer.Option(help="Version of the methods; the version of nstbench if unset.")
    ] = "",
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
    """Draw quality and relative speed of each method per version, with change points."""
    from nstbench.analysis.regression.history import load_history, trends
    from nstbench.analysis.regression.tolerances import parse_tolerances
    from nstbench.cli.show.checks import print_trends
    from nstbench.report.history_page import history_page
    from nstbench.store.atomic_files import write_bytes

    versions = load_history(folder)
    per_method = trends(versions, parse_tolerances(fail_on or [], versions[-1].baseline.metrics))
    print_trends(per_method)
    path = out or folder / "index.html"
    write_bytes(path, history_page(versions, per_method).encode())
    typer.echo(path)
