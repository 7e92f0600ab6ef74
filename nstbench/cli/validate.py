"""The command ``nstbench validate``: which metrics order what is known, and which say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench.cli.options import Plugins, add_plugins, check_writable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nstbench.analysis.validation.validate import Validation
    from nstbench.core.cards import MetricCard
    from nstbench.core.records import ImageRecord


def validate(
    metrics: Annotated[str, typer.Option(help="all, or names: a,b")] = "all",
    contents: Annotated[str, typer.Option(help="Dataset or folder of contents.")] = "starter",
    styles: Annotated[str, typer.Option(help="Dataset or folder of styles.")] = "starter",
    limit: Annotated[int, typer.Option(min=1, help="First N contents and styles.")] = 2,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with content, style and numbered outputs; repeatable."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a run: say which metrics agree about its outputs."),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            help="Folder with contents, styles and outputs/<method>/<content>__<style>: do the "
            "metrics tell stylisations from trivial, mismatched and damaged pictures?"
        ),
    ] = None,
    humans: Annotated[
        Path | None,
        typer.Option(help="Such a folder with votes.csv, or that file: do they agree with people?"),
    ] = None,
    damaged: Annotated[
        int, typer.Option(min=0, help="Published outputs that are damaged, too.")
    ] = 20,
    size: Annotated[
        int, typer.Option(min=32, max=8192, help="Side of the pictures in pixels.")
    ] = 256,
    seeds: Annotated[int, typer.Option(min=1, help="Noise sweeps per picture.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write; a page of the same name beside it.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Ask the metrics to order pictures whose order is known, and say which to trust."""
    from nstbench.analysis.validation.agreement import run_agreement
    from nstbench.analysis.validation.people import validate_people
    from nstbench.analysis.validation.picture_series import make_sources
    from nstbench.analysis.validation.published import read_published, validate_published
    from nstbench.analysis.validation.validate import validate as validate_metrics
    from nstbench.cli.show.console import console
    from nstbench.core.environment import resolve_device
    from nstbench.core.records import Role
    from nstbench.core.yaml_values import names_or_all
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.plan.variants import metric_cards, open_dataset

    add_plugins(plugin)
    for path in (out.with_suffix(".json"), out.with_suffix(".html")) if out else ():
        check_writable("--out", path)
    device = resolve_device(device)
    cards = metric_cards(names_or_all(metrics))
    # First, because a wrong folder must not cost the minutes that the sweeps take.
    agreement = None if run is None else run_agreement(run, cards)
    if published is not None:
        read_published(published, size)
    content_images = open_dataset(contents, "--contents").load(Role.CONTENT).images[:limit]
    style_images = open_dataset(styles, "--styles").load(Role.STYLE).images[:limit]
    sources = make_sources(content_images, style_images, size)
    with closing(TerminalListener()) as listener:
        result = validate_metrics(
            cards, sources, folder or [], size=size, seeds=seeds, device=device, listener=listener
        )
        if agreement is not None:
            result = replace(result, agreement=agreement)
        if published is not None:
            known = validate_published(published, cards, size, device, listener, damaged)
            result = replace(result, published=known)
        if humans is not None:
            people = validate_people(humans, cards, size, device, listener)
            result = replace(result, people=people)
    output = console()
    _print(result, output)
    if out is not None:
        facts = {
            "Contents": _named(contents, content_images),
            "Styles": _named(styles, style_images),
            "Sweep folders": ", ".join(map(str, folder or [])) or "none",
            "Run": "none" if run is None else str(run),
            "Published outputs": "none" if published is None else str(published),
            "Votes of people": "none" if humans is None else str(humans),
            "Side": f"{size} px",
            "Noise seeds": str(seeds),
            "Device": device,
        }
        for path in _write(result, cards, facts, out):
            output.print(str(path), soft_wrap=True)


def _named(dataset: str, images: Sequence[ImageRecord]) -> str:
    return f"{dataset}: {', '.join(image.name for image in images)}"


def _write(
    result: Validation, cards: Mapping[str, MetricCard], facts: Mapping[str, str], out: Path
) -> tuple[Path, Path]:
    """Write the JSON file and the page."""
    from nstbench.report.validation_page import validation_page
    from nstbench.store.atomic_files import write_bytes, write_json

    data, page = out.with_suffix(".json"), out.with_suffix(".html")
    write_json(data, result.to_dict() | {"made_with": dict(facts)})
    write_bytes(page, validation_page(result, cards, facts).encode())
    return data, page


def _print(result: Validation, output: Console) -> None:
    """Print a row per metric and part, and which metrics say the same about a run."""
    from rich.markup import escape

    from nstbench.analysis.validation.agreement import SAME, basis, matrix, same
    from nstbench.analysis.validation.people import power

    names = ("metric", "part")
    _print_table("Do the metrics order pictures whose order is known?", result.summary, names,
                 output)  # fmt: skip
    if len(result.published):
        _print_table("Do they tell stylisations from what is worse for certain?", result.published,
                     ("metric", "part", "test", "what"), output)  # fmt: skip
    if len(result.people):
        _print_table("Do they agree with people?", result.people, names, output)
        output.print(power(result.people))
    for name, reason in result.unavailable.items():
        output.print(f"{escape(name)}: {escape(reason)}")
    for size, table in result.agreement.groupby("size", sort=True):
        square = matrix(table)
        frame = square.rename_axis(index=None, columns=None).reset_index(names="metric")
        title = f"Do the metrics prefer the same outputs? Rank correlation at {size} px"
        output.print(f"At {size} px: rank correlations {basis(table)}.")
        _print_table(title, frame, ("metric",), output)
        pairs = [f"{first} and {second} ({value:.2f})" for first, second, value in same(square)]
        output.print(f"Say the same ({SAME:g} or more): {escape(', '.join(pairs) or 'none')}.")


def _print_table(title: str, frame: pd.DataFrame, names: tuple[str, ...], output: Console) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column), justify="left" if column in names else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    output.print(table)


def _cell(value: Any) -> str:
    import numpy as np
    import pandas as pd
    from rich.markup import escape

    from nstbench.report.parts.numbers import significant

    if pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return significant(value) if isinstance(value, float) else escape(str(value))
