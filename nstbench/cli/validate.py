"""The command ``nstbench validate``: test metrics on pictures whose order is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstbench.cli.options import (
    CONTENTS,
    FIRST,
    METRICS,
    SIZE,
    STYLES,
    Device,
    Plugins,
    add_plugins,
    check_writable,
)

if TYPE_CHECKING:
    from nstbench.analysis.validation.validate import Validation
    from nstbench.core.cards import MetricCard
    from nstbench.core.records import ImageRecord


def validate(
    metrics: Annotated[str, METRICS] = "all",
    contents: Annotated[str, CONTENTS] = "starter",
    styles: Annotated[str, STYLES] = "starter",
    limit: Annotated[int, FIRST] = 2,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with a content, a style and numbered outputs; repeatable."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder: also compare the metrics on its outputs."),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            help="Folder with contents, styles and outputs/<method>/<content>__<style>: also test "
            "the metrics on trivial, mismatched and damaged pictures."
        ),
    ] = None,
    humans: Annotated[
        Path | None,
        typer.Option(help="Such a folder with votes.csv, or that file: also compare with people."),
    ] = None,
    damaged: Annotated[int, typer.Option(min=0, help="Published outputs to damage.")] = 20,
    size: Annotated[int, SIZE] = 256,
    seeds: Annotated[int, typer.Option(min=1, help="Series of noise per picture.")] = 3,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to write; a page of the same name is written next to it."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Test whether the metrics put pictures in an order that is known."""
    from nstbench.analysis.validation.agreement import run_agreement
    from nstbench.analysis.validation.people import validate_people
    from nstbench.analysis.validation.picture_series import make_sources
    from nstbench.analysis.validation.published import read_published, validate_published
    from nstbench.analysis.validation.validate import validate as validate_metrics
    from nstbench.cli.show.console import console
    from nstbench.cli.show.validation import print_validation
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
    # before the series of pictures, which take minutes: a wrong folder is reported at once
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
    print_validation(result, output)
    if out is not None:
        facts = {
            "Contents": _named(contents, content_images),
            "Styles": _named(styles, style_images),
            "Folders": ", ".join(map(str, folder or [])) or "none",
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
