"""Score imported pictures: they become a run like any other.

Each content is scaled to the shape of its outputs, and each style to the same longer side. So a
score equals that of the same picture from a method of the registry.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard, PictureCard
from nstbench.core.environment import describe_environment, resolve_device, utc_now
from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import (
    Availability,
    ImageRecord,
    Role,
    SkippedImage,
    Status,
    Unit,
    UnitRecord,
)
from nstbench.core.text import counted, printable, slugify
from nstbench.core.yaml_values import names_or_all
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import PROPORTION_TOLERANCE, fit, pixel_hash, write_png
from nstbench.pipeline.folder_checks import refuse_folder_of_pictures
from nstbench.pipeline.joined_run import Beside
from nstbench.pipeline.output_patterns import Outputs, Pair, find_outputs, has_method
from nstbench.pipeline.output_units import (
    Made,
    Size,
    missing,
    parts_of,
    problem_of,
    shapes_of,
    unit_of,
)
from nstbench.plan.config import MethodSpec, RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.plan import Outcome, Plan
from nstbench.plan.plan_file import write_plan
from nstbench.plan.variants import metric_cards, open_dataset
from nstbench.report.files import write_report
from nstbench.score.stage import score_units, timing_scores
from nstbench.store.atomic_files import read_json
from nstbench.store.keys import hash_of_keys, key_of
from nstbench.store.run_info import read_info, write_info, write_scores, write_timings
from nstbench.store.store import Store

FAMILY = "imported"


@dataclass(frozen=True, slots=True)
class Request:
    """Request to score imported pictures.

    Attributes:
        patterns: one or more patterns (:mod:`nstbench.pipeline.output_patterns`).
        names: a name for each pattern without ``{method}``, in order.
        contents: dataset or folder of the content pictures.
        styles: dataset or folder of the style pictures.
        out: run folder.
        size: longer side to scale outputs to; ``None`` for their own size.
        fit: ``"inside"`` if outputs show the whole content; ``"crop"`` if they show its
            middle, cut to their own proportions.
        pairs: ``"all"`` expects every content with every style; ``"found"`` only pairs with
            a picture.
        metrics: ``"all"`` or names separated by commas.
        device: torch device of the feature networks.
        formats: report files to write.
        beside: folder of a run to join. Its pictures are the contents and styles, its pairs
            are expected, its size is the size of the outputs; ``contents`` and ``styles`` are
            empty then.
    """

    patterns: tuple[str, ...]
    names: tuple[str, ...]
    contents: str
    styles: str
    out: Path
    size: int | None = None
    fit: Literal["crop", "inside"] = "inside"
    pairs: Literal["all", "found"] = "all"
    metrics: str = "all"
    device: str = "auto"
    formats: tuple[str, ...] = ("html", "csv", "md", "parquet")
    beside: Path | None = None


def score_outputs(
    request: Request, *, command: str = "", listener: Listener | None = None
) -> Board:
    """Score imported pictures, and write a run folder with a report.

    A pair without a picture, or with a picture that cannot be read or has the wrong shape, is
    a failed unit with the reason. Files without a pair are listed as left out.

    Raises:
        UsageError: if a pattern, name or dataset is wrong, if no file matches, or if ``out``
            contains a run of methods.
    """
    listener = listener or Listener()
    device = resolve_device(request.device)
    store = _open(request.out)
    beside = None if request.beside is None else Beside(request.beside)
    plan = _Import(request, store, device, beside).plan()
    timings = [] if beside is None else list(beside.board.timings)
    listener.planned(plan)
    info = {
        "name": request.out.name,
        "command": command,
        "config": plan.config.model_dump(mode="json"),
        "outputs": list(request.patterns),
        "plan_hash": hash_of_keys(unit.key for unit in plan.units),
        "environment": describe_environment(device),
        "version": nstbench.__version__,
        "started": utc_now(),
        "finished": "",
    }
    write_plan(store, plan, info)
    write_timings(store, timings)
    scores = score_units(store.root, device, listener)
    write_scores(store, timing_scores(scores, timings, plan.metrics))
    write_info(store, read_info(store.root) | {"finished": utc_now()})
    board = load_board(store.root)
    write_report(board, store.root / "report", request.formats)
    return board


def _open(root: Path) -> Store:
    """Return the store of a folder.

    Raises:
        UsageError: if it contains a run whose report would be overwritten.
    """
    refuse_folder_of_pictures(root)
    known = read_json(root / "run.json")
    if isinstance(known, dict) and "outputs" not in known:
        raise UsageError(
            f"--out {printable(root)}: this would overwrite the report of an existing run. "
            "Choose another folder."
        )
    return Store.open(root)


class _Import:
    """Makes the plan and the records of a run from files."""

    def __init__(
        self, request: Request, store: Store, device: str, beside: Beside | None = None
    ) -> None:
        self.request = request
        self.beside = beside
        self.size = request.size if beside is None else beside.size
        self.store = store
        self.device = device
        self.skipped: list[SkippedImage] = []

    def plan(self) -> Plan:
        """Find, read and copy the pictures; return the plan with its outcomes."""
        contents, styles = self._load(Role.CONTENT), self._load(Role.STYLE)
        methods = self._methods(contents, styles)
        files = [
            (m, pair, f) for m, outputs in methods.items() for pair, f in outputs.files.items()
        ]
        # decoding, compressing and waiting for the disk release the interpreter lock
        with ThreadPoolExecutor() as pool:
            made = list(pool.map(lambda item: self._copy(*item), files))
        pictures = {(method, pair): made[i] for i, (method, pair, _) in enumerate(files)}
        shapes = shapes_of(pictures)
        if not shapes:
            reason = next(str(p) for p in pictures.values())
            raise UsageError(f"--outputs: no picture can be read. {reason}.")
        size = self.size or round(statistics.median(max(s) for s in shapes.values()))
        if self.beside is not None:
            shapes = self.beside.shapes()
        cards: dict[tuple[str, str], PictureCard | str] = {}
        for record in styles:
            cards[Role.STYLE, record.name] = self._style(record, size)
        for record in contents:
            if record.name in shapes:
                cards[Role.CONTENT, record.name] = self._content(record, shapes[record.name])
        units, blocked = self._units(methods, pictures, shapes, cards, contents, styles, size)
        found = tuple(card for card in cards.values() if isinstance(card, PictureCard))
        plan = Plan(
            config=self._config(methods, size),
            units=tuple(units),
            blocked=blocked,
            cached=frozenset(u.key for u in units if u.key not in blocked),
            methods={name: _card(name, self.request) for name in methods},
            metrics=metric_cards(names_or_all(self.request.metrics)),
            pictures=found,
            skipped=tuple(self.skipped),
        )
        return plan if self.beside is None else self.beside.join(plan, self.store)

    # -- finding --------------------------------------------------------------------------

    def _load(self, role: Role) -> tuple[ImageRecord, ...]:
        if self.beside is not None:
            return self.beside.images(role)
        option = f"--{role}s"
        text = self.request.contents if role is Role.CONTENT else self.request.styles
        dataset = open_dataset(text, option)
        if role not in dataset.info.roles:
            raise UsageError(f"{option} {text}: this dataset has no {role} pictures.")
        collection = dataset.load(role)
        self.skipped += collection.skipped
        images: tuple[ImageRecord, ...] = collection.images
        return images

    def _methods(
        self, contents: Sequence[ImageRecord], styles: Sequence[ImageRecord]
    ) -> dict[str, Outputs]:
        request = self.request
        unnamed = [p for p in request.patterns if not has_method(p)]
        if len(unnamed) != len(request.names):
            given, wanted = counted(len(request.names), "name"), counted(len(unnamed), "pattern")
            raise UsageError(
                f"--name: {given} for {wanted} without {{method}}. Give one --name after each."
            )
        names = iter(request.names)
        found: dict[str, Outputs] = {}
        for pattern in request.patterns:
            name = "" if has_method(pattern) else next(names)
            methods, unmatched = find_outputs(pattern, name, contents, styles)
            for method, outputs in methods.items():
                if slugify(method) in map(slugify, found) or not slugify(method):
                    raise UsageError(
                        f"--name {method}: two methods are called so, or nothing of the name "
                        "can stand in a file name. Give another name."
                    )
                found[method] = outputs
            self.skipped += [SkippedImage(path, reason) for path, reason in unmatched]
        return found

    # -- pictures -------------------------------------------------------------------------

    def _copy(self, method: str, pair: Pair, file: Path) -> Made | str:
        """Copy an output into the run folder, or return the reason why it cannot be read."""
        try:
            pixels = read_image(file)
        except ImageError as error:
            return str(error)
        if self.size:
            pixels = fit(pixels, self.size, "inside")
        digest = pixel_hash(pixels)
        path = self.store.output_path(slugify(method), key_of(parts_of(method, pair, digest)))
        write_png(path, pixels)
        return Made(file, (pixels.shape[0], pixels.shape[1]), digest)

    def _style(self, record: ImageRecord, size: int) -> PictureCard | str:
        try:
            return self._keep(Role.STYLE, record, fit(read_image(record.path), size, "inside"))
        except ImageError as error:
            return str(error)

    def _content(self, record: ImageRecord, shape: Size) -> PictureCard | str:
        """Scale a content to the shape of its outputs, or return the reason why it does not fit."""
        try:
            pixels = read_image(record.path)
        except ImageError as error:
            return str(error)
        height, width = pixels.shape[:2]
        stretch = (shape[1] / shape[0]) / (width / height)
        # a difference of one pixel is rounding, also in a small picture
        allowed = max(PROPORTION_TOLERANCE, 1 / min(shape))
        left = top = 0.0
        if self.request.fit == "crop":
            left, top = (
                max(0.0, width * (1 - stretch) / 2),
                max(0.0, height * (1 - 1 / stretch) / 2),
            )
        elif abs(stretch - 1) > allowed:
            return (
                f"outputs of {shape[1]} x {shape[0]} px do not have the proportions of the "
                f"content '{record.name}' ({width} x {height}); if the program cuts out the "
                "middle of the content, say --fit crop"
            )
        scaled = Image.fromarray(pixels).resize(
            (shape[1], shape[0]),
            Image.Resampling.LANCZOS,
            box=(left, top, width - left, height - top),
        )
        return self._keep(Role.CONTENT, record, np.array(scaled))

    def _keep(self, role: Role, record: ImageRecord, pixels: np.ndarray) -> PictureCard:
        digest = pixel_hash(pixels)
        file = Path("inputs") / role / f"{digest[:20]}.png"
        write_png(self.store.root / file, pixels)
        facts = (record.licence, record.author, record.source)
        return PictureCard(role, record.name, str(file), digest, *facts)

    # -- units ----------------------------------------------------------------------------

    def _units(
        self,
        methods: Mapping[str, Outputs],
        pictures: Mapping[tuple[str, Pair], Made | str],
        shapes: Mapping[str, Size],
        cards: Mapping[tuple[str, str], PictureCard | str],
        contents: Sequence[ImageRecord],
        styles: Sequence[ImageRecord],
        size: int,
    ) -> tuple[list[Unit], dict[str, Outcome]]:
        expected: Collection[Pair] = {(c.name, s.name) for c in contents for s in styles}
        if self.beside is not None:
            expected = self.beside.pairs
        if self.request.pairs == "found":
            found = {pair for outputs in methods.values() for pair in outputs.files}
            expected = {pair for pair in expected if pair in found}
        units: list[Unit] = []
        blocked: dict[str, Outcome] = {}
        for method, outputs in methods.items():
            for style in styles:
                for content in contents:
                    pair = content.name, style.name
                    if pair not in expected:
                        continue
                    inputs = [cards.get((Role.CONTENT, pair[0])), cards.get((Role.STYLE, pair[1]))]
                    made = pictures.get((method, pair), missing(outputs, content, style))
                    problem = problem_of(made, inputs, shapes.get(pair[0]), self.beside is not None)
                    unit = unit_of(method, content, style, size, made)
                    units.append(unit)
                    if problem:
                        blocked[unit.key] = Outcome(Status.FAILED, problem)
                    elif isinstance(made, Made):
                        self._record(unit, made)
        return units, blocked

    def _record(self, unit: Unit, made: Made) -> None:
        path = self.store.output_path(unit.plugin, unit.key)
        record = UnitRecord.of(
            unit,
            Status.DONE,
            source=str(made.file),
            output=str(path.relative_to(self.store.root)),
            output_sha256=made.sha256,
        )
        self.store.write_record(record)

    def _config(self, methods: Iterable[str], size: int) -> RunConfig:
        request = self.request
        known = {} if self.beside is None else self.beside.settings
        settings: dict[str, Any] = {
            "methods": tuple(MethodSpec(name=name) for name in methods),
            "metrics": request.metrics,
            "contents": request.contents or known["contents"],
            "styles": request.styles or known["styles"],
            # A picture of 20 px can be scored, though not asked for in a run.
            "size": max(32, size), "fit": request.fit, "device": self.device,
            "timing_repeats": 0, "out": request.out, "formats": request.formats,
        }  # fmt: skip
        return RunConfig(**settings)


def _card(name: str, request: Request) -> MethodCard:
    return MethodCard(
        method=name, plugin=slugify(name), title=name, authors="", year=0, paper="", code="",
        family=FAMILY, flexibility="", licence="", trained_on=(),
        deviations=(f"Scored from files: {', '.join(request.patterns)}",),
        params={}, defaults={}, weights=(), availability=Availability(),
    )  # fmt: skip
