"""Score imported pictures: they become a run like any other.

Each content is scaled to the shape of its outputs, and each style to the same longer side. So a
score equals that of the same picture from a method of the registry. Sizes that differ a little are
used, with a note (:mod:`nstbench.pipeline.outputs.shapes`).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard, PictureCard
from nstbench.core.environment import describe_environment, resolve_device, utc_now
from nstbench.core.errors import UsageError
from nstbench.core.records import (
    Availability,
    ImageRecord,
    Role,
    SkippedImage,
    Status,
    Unit,
    UnitRecord,
)
from nstbench.core.text import counted, printable, shown_name
from nstbench.core.yaml_values import names_or_all
from nstbench.pictures.picture import Fit
from nstbench.pipeline.folder_checks import refuse_folder_of_pictures
from nstbench.pipeline.outputs.copies import Copies, shapes_of
from nstbench.pipeline.outputs.joined_run import JoinedRun
from nstbench.pipeline.outputs.patterns import (
    Outputs,
    Pair,
    find_outputs,
    folder_name,
    has_method,
    pairs_by_name,
)
from nstbench.pipeline.outputs.units import (
    Made,
    found_line,
    missing,
    problem_of,
    store_name,
    unit_of,
)
from nstbench.plan.config import MethodSpec, RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.plan import Outcome, Plan
from nstbench.plan.plan_file import write_plan
from nstbench.plan.variants import metric_cards, open_dataset
from nstbench.report.files import write_report
from nstbench.score.score_rows import timing_scores
from nstbench.score.stage import score_units
from nstbench.store.atomic_files import read_json
from nstbench.store.keys import hash_of_keys
from nstbench.store.run_info import read_info, write_info, write_scores, write_timings
from nstbench.store.store import Store

FAMILY = "imported"


@dataclass(frozen=True, slots=True)
class Request:
    """Request to score imported pictures.

    Attributes:
        patterns: one or more patterns (:mod:`nstbench.pipeline.outputs.patterns`).
        names: a name for each pattern without ``{method}``, in order; a single pattern may do
            without, and has the name of its folder then.
        contents: dataset or folder of the content pictures.
        styles: dataset or folder of the style pictures.
        out: run folder.
        size: longer side to scale outputs to; ``None`` for their own size.
        fit: what an output shows: ``"inside"`` the whole content; ``"crop"`` its middle, cut to
            the proportions of the output; ``"stretch"`` the whole content, resized to the shape of
            the output.
        pairs: ``"all"`` expects every content with every style; ``"found"`` only pairs with
            a picture.
        metrics: ``"all"``, or names of metrics and presets separated by commas.
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
    fit: Fit = "inside"
    pairs: Literal["all", "found"] = "all"
    metrics: str = "all"
    device: str = "auto"
    formats: tuple[str, ...] = ("html", "csv", "md", "parquet")
    beside: Path | None = None


def score_outputs(
    request: Request, *, command: str = "", listener: Listener | None = None
) -> Board:
    """Score imported pictures, and write a run folder with a report.

    A pair without a picture, or with a picture that cannot be read or has other proportions, is
    a failed unit with the reason. Files without a pair are listed as left out.

    Raises:
        UsageError: if a pattern, name or dataset is wrong, if no file matches, or if ``out``
            contains a run of methods.
    """
    listener = listener or Listener()
    device = resolve_device(request.device)
    store = _open(request.out)
    beside = None if request.beside is None else JoinedRun(request.beside)
    importer = _Import(request, store, device, beside)
    plan = importer.plan()
    timings = [] if beside is None else list(beside.board.timings)
    listener.found(plan, importer.lines)
    for note in importer.notes:
        listener.note(note)
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
    """Makes the plan and the records of a run from files.

    Attributes:
        notes: notes for the user.
        lines: number of pictures of each method, in words.
    """

    def __init__(
        self, request: Request, store: Store, device: str, beside: JoinedRun | None = None
    ) -> None:
        self.request = request
        self.beside = beside
        self.size = request.size if beside is None else beside.size
        self.store = store
        self.device = device
        self.skipped: list[SkippedImage] = []
        self.notes: list[str] = []
        self.lines: list[str] = []

    def plan(self) -> Plan:
        """Find, read and copy the pictures; return the plan with its outcomes."""
        contents, styles = self._load(Role.CONTENT), self._load(Role.STYLE)
        methods = self._methods(contents, styles)
        files = {
            (method, pair): file
            for method, outputs in methods.items()
            for pair, file in outputs.files.items()
        }
        given = {} if self.beside is None else self.beside.shapes()
        copies = Copies(self.store, self.request.fit, self.size, given)
        by_name = {record.name: record for record in contents}
        pictures = copies.outputs(files, by_name)
        self.notes += copies.notes(pictures, by_name)
        shapes = given or shapes_of(pictures)
        sides = [max(shape) for shape in shapes.values()] or copies.refused_sizes
        if not sides:
            reason = next(str(p) for p in pictures.values())
            raise UsageError(f"--outputs: no picture can be read. {reason}.")
        size = self.size or round(statistics.median(sides))
        shape = Counter(shapes.values()).most_common(1)[0][0] if shapes else None
        cards: dict[tuple[str, str], PictureCard | str] = {}
        for record in styles:
            cards[Role.STYLE, record.name] = copies.style(record, size, shape)
        for record in contents:
            if record.name in shapes:
                cards[Role.CONTENT, record.name] = copies.content(record, shapes[record.name])
        units, blocked = self._units(methods, pictures, cards, contents, styles, size)
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
        names = iter(self._names())
        found: dict[str, Outputs] = {}
        for pattern in request.patterns:
            name = "" if has_method(pattern) else next(names)
            methods, unmatched = find_outputs(pattern, name, contents, styles)
            for method, outputs in methods.items():
                if store_name(method) in map(store_name, found):
                    raise UsageError(
                        f"--name {method}: another method is called so, or has the same folder "
                        f"'{store_name(method)}' in the run. Give another name."
                    )
                found[method] = outputs
            self.skipped += [SkippedImage(path, reason) for path, reason in unmatched]
        return found

    def _names(self) -> tuple[str, ...]:
        """Return a name for each pattern without ``{method}``; one is derived from its folder."""
        request = self.request
        unnamed = [p for p in request.patterns if not has_method(p)]
        if len(unnamed) == 1 and not request.names:
            name = folder_name(unnamed[0])
            self.notes.append(
                f"the method is called {name} after the folder of --outputs; --name gives it "
                "another name."
            )
            return (name,)
        if len(unnamed) != len(request.names):
            given, wanted = counted(len(request.names), "name"), counted(len(unnamed), "pattern")
            raise UsageError(
                f"--name: {given} for {wanted} without {{method}}. Give one --name after each."
            )
        return tuple(map(shown_name, request.names))

    # -- units ----------------------------------------------------------------------------

    def _units(
        self,
        methods: Mapping[str, Outputs],
        pictures: Mapping[tuple[str, Pair], Made | str],
        cards: Mapping[tuple[str, str], PictureCard | str],
        contents: Sequence[ImageRecord],
        styles: Sequence[ImageRecord],
        size: int,
    ) -> tuple[list[Unit], dict[str, Outcome]]:
        expected = self._expected(methods, contents, styles)
        units: list[Unit] = []
        blocked: dict[str, Outcome] = {}
        for method, outputs in methods.items():
            found = absent = refused = 0
            for seed, style, content in product(sorted(outputs.seeds), styles, contents):
                pair = Pair(content.name, style.name, seed)
                if (content.name, style.name) not in expected:
                    continue
                inputs = [cards.get((Role.CONTENT, pair.content)), cards[Role.STYLE, pair.style]]
                is_there = (method, pair) in pictures
                made = pictures[method, pair] if is_there else missing(outputs, pair)
                unit = unit_of(method, content, style, seed, size, made)
                units.append(unit)
                if problem := problem_of(made, inputs):
                    blocked[unit.key] = Outcome(Status.FAILED, problem)
                elif isinstance(made, Made):
                    self._record(unit, made)
                found += is_there
                absent += not is_there
                refused += is_there and bool(problem)
            self.lines.append(found_line(method, found, absent, refused))
        return units, blocked

    def _expected(
        self,
        methods: Mapping[str, Outputs],
        contents: Sequence[ImageRecord],
        styles: Sequence[ImageRecord],
    ) -> Collection[tuple[str, str]]:
        """Return the content and style of each pair that is on the board."""
        expected = {(c.name, s.name) for c in contents for s in styles}
        if all(pairs_by_name(pattern, contents, styles) for pattern in self.request.patterns):
            expected = {(c.name, c.name) for c in contents}
        if self.beside is not None:
            expected = set(self.beside.pairs)
        if self.request.pairs == "found":
            expected &= {pair[:2] for outputs in methods.values() for pair in outputs.files}
        return expected

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
        method=name, plugin=store_name(name), title=name, authors="", year=0, paper="", code="",
        family=FAMILY, flexibility="", licence="", trained_on=(),
        deviations=(f"Scored from files: {', '.join(request.patterns)}",),
        params={}, defaults={}, weights=(), availability=Availability(),
    )  # fmt: skip
