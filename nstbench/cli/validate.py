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
    from nstbench.plan.listener import Listener


def validate(
    metrics: Annotated[str, METRICS] = "all",
    contents: Annotated[str | None, CONTENTS] = None,
    styles: Annotated[str | None, STYLES] = None,
    limit: Annotated[int | None, FIRST] = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with a content, a style and numbered outputs; repeatable."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder: compare the metrics on its outputs. The series of pictures are then "
            "scored only if one of their options is given, such as --contents."
        ),
    ] = None,
    size: Annotated[int | None, SIZE] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Series of noise per picture; 3 if unset.")
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            help="Folder with contents, styles and outputs/<method>/<content>__<style>, or a run "
            "folder: also test the metrics on trivial, mismatched and damaged pictures."
        ),
    ] = None,
    humans: Annotated[
        Path | None,
        typer.Option(help="Such a folder with votes.csv, or that file: also compare with people."),
    ] = None,
    damaged: Annotated[int, typer.Option(min=0, help="Published outputs to damage.")] = 20,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to write; a page of the same name is written next to it."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Test whether the metrics put pictures in an order that is known.

    Without --folder, --run, --published and --humans, the pictures are series made from two
    contents and two styles of the starter pictures at 256 px.
    """
    from nstbench.analysis.validation.agreement import run_agreement
    from nstbench.analysis.validation.people import validate_people
    from nstbench.analysis.validation.published import SIDE, read_published, validate_published
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
    # series are made if nothing else is asked for, or if one of their own options is given
    own_options = any(option is not None for option in (contents, styles, limit, seeds))
    others = run is not None or bool(folder) or published is not None or humans is not None
    from_datasets = own_options or not others
    contents, styles = contents or "starter", styles or "starter"
    folder_of_outputs = None if published is None else read_published(published, size)
    limit, size, seeds = limit or 2, size or SIDE, seeds or 3
    content_images: Sequence[ImageRecord] = ()
    style_images: Sequence[ImageRecord] = ()
    if from_datasets:
        content_images = open_dataset(contents, "--contents").load(Role.CONTENT).images[:limit]
        style_images = open_dataset(styles, "--styles").load(Role.STYLE).images[:limit]
    with closing(TerminalListener()) as listener:
        if from_datasets or folder:
            result = _series(
                cards, content_images, style_images, folder or [], size=size, seeds=seeds,
                device=device, listener=listener,
            )  # fmt: skip
        else:
            result = validate_metrics({}, [])
        if agreement is not None:
            result = replace(result, agreement=agreement)
        if folder_of_outputs is not None:
            known = validate_published(folder_of_outputs, cards, device, listener, damaged)
            result = replace(result, published=known.known, programs=known.programs)
        if humans is not None:
            people, within = validate_people(humans, cards, size, device, listener)
            result = replace(result, people=people, within=within)
    result = result.with_verdicts(cards)
    output = console()
    print_validation(result, output)
    if out is not None:
        facts = {
            "Contents": _named(contents, content_images) if content_images else "none",
            "Styles": _named(styles, style_images) if style_images else "none",
            "Folders": ", ".join(map(str, folder or [])) or "none",
            "Run": "none" if run is None else str(run),
            "Published outputs": f"{published}, {folder_of_outputs.side} px"
            if folder_of_outputs is not None
            else "none",
            "Votes of people": "none" if humans is None else str(humans),
            "Side": f"{size} px",
            "Noise seeds": str(seeds),
            "Device": device,
        }
        for path in _write(result, cards, facts, out):
            output.print(str(path), soft_wrap=True)


def _series(
    cards: Mapping[str, MetricCard],
    contents: Sequence[ImageRecord],
    styles: Sequence[ImageRecord],
    folders: Sequence[Path],
    *,
    size: int,
    seeds: int,
    device: str,
    listener: Listener,
) -> Validation:
    """Score the series of pictures."""
    from nstbench.analysis.validation.picture_series import make_sources
    from nstbench.analysis.validation.validate import validate as validate_metrics

    listener.stage("pictures", len(contents) * len(styles))
    sources = make_sources(contents, styles, size) if contents else []
    return validate_metrics(
        cards, sources, folders, size=size, seeds=seeds, device=device, listener=listener
    )


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
