"""The whole job in its order: plan, generate, time, score, rank, report."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import nstbench
from nstbench.analysis.load_board import (
    load_board,
    plain_card,
    read_cards,
    read_info,
    read_timings,
    write_info,
    write_plan,
    write_scores,
    write_timings,
)
from nstbench.core.board import Board
from nstbench.core.environment import describe_environment, resolve_device
from nstbench.core.errors import WeightsError
from nstbench.core.records import OWN_SAMPLES_FROM_SECONDS, Samples, Status, Timing
from nstbench.core.yaml_values import names_or_all
from nstbench.generate.executors.choose import make_executor, pairs_per_batch, resolve_workers
from nstbench.generate.executors.executor import Executor
from nstbench.generate.method_timing import TimingRequest
from nstbench.nn.weights import cache as weights
from nstbench.pipeline.folder_checks import meet_another_plan, refuse_folder_of_pictures
from nstbench.pipeline.interrupt import Interrupt, Interrupted, finishing_first
from nstbench.pipeline.time_spent import Spent
from nstbench.plan.config import RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.planner import Plan, make_plan
from nstbench.plan.unit_keys import method_parts
from nstbench.plan.variants import (
    Variant,
    add_configured,
    metric_cards,
    metric_weights,
    resolve_methods,
)
from nstbench.plugins import registry
from nstbench.report.page import check_formats, write_report
from nstbench.score.stage import score_units, timing_scores
from nstbench.store.leases import BOARD, Claims
from nstbench.store.store import SCHEMA, Store, hash_of_keys, key_of, read_json, write_json

_TIMINGS = TypeAdapter(Timing)

# What the process that measures imports, too, and what is no part of measuring.
_NOT_MEASURING = (
    "nstbench.core.environment",
    "nstbench.generate.outcomes",
    "nstbench.plugins.programs",
    "nstbench.plugins.registry",
    "nstbench.store.store",
)


def plan_run(config: RunConfig) -> tuple[RunConfig, Store, Plan]:
    """Return the configuration with devices, workers and threads resolved, the store, the plan."""
    add_configured(config)
    check_formats(config.formats)
    config = resolve_workers(config)
    refuse_folder_of_pictures(config.folder)
    store = Store(config.folder)
    return config, store, make_plan(config, store)


def execute(
    config: RunConfig, *, command: str = "", listener: Listener | None = None, dry_run: bool = False
) -> Board | None:
    """Run everything that the configuration asks for and has no result yet.

    Args:
        config: what to run.
        command: the command line, for the report.
        listener: receives progress.
        dry_run: plan only.

    Returns:
        The board, or ``None`` for a dry run.

    Raises:
        UsageError: if the configuration cannot be carried out.
        StoreError: if the run folder cannot be written.
        Interrupted: after Ctrl-C, with the board of what was finished.
    """
    listener = listener or Listener()
    if config.train_missing and not dry_run:
        from nstbench.training.missing import train_missing

        train_missing(config, listener)
    began = time.perf_counter()
    config, store, plan = plan_run(config)
    listener.planned(plan)
    if dry_run:
        return None
    claims = Claims(store.root)
    executor = make_executor(config, store, claims)
    try:
        with finishing_first(executor.finish, listener) as interrupt:
            info = _info(config, plan, command)
            meet_another_plan(store, claims, info["plan_hash"], listener)
            write_plan(store, plan, info)
            spent = Spent(began, max(1, min(config.workers or 1, len(plan.pending))))
            with spent.on("weights"):
                _fetch_weights(config, plan, listener)
            with spent.on("generate"):
                _generate(plan, executor, listener, spent)
            # one process at a time; the others find what it measured and scored
            with claims.hold(BOARD):
                with spent.on("time"):
                    timings = _time(config, plan, store, executor, listener, interrupt)
                executor.close()
                board = _score(config, plan, store, listener, timings, spent)
    finally:
        executor.close()
        claims.close()
    if interrupt.asked:
        raise Interrupted(board)
    return board


def _score(
    config: RunConfig,
    plan: Plan,
    store: Store,
    listener: Listener,
    timings: list[Timing],
    spent: Spent,
) -> Board:
    """Score what there is, rank it and write the report."""
    with spent.on("score"):
        scores = score_units(store.root, config.device, listener)
        write_timings(store, timings)
        write_scores(store, timing_scores(scores, timings, plan.metrics))
    finished = {"finished": _now(), **spent.summary()}
    write_info(store, (read_json(store.root / "run.json") or {}) | finished)
    listener.stage("report", 1)
    with spent.on("report"):
        board = load_board(store.root)
        write_report(board, store.root / "report", config.formats)
    listener.advanced()
    board = replace(board, info={**board.info, **spent.summary()})
    write_info(store, board.info)
    return board


def rescore(
    root: Path, *, metrics: str | None, device: str, listener: Listener | None = None
) -> Board:
    """Score a run again without generating anything, and rewrite its report.

    Args:
        root: run folder.
        metrics: ``"all"`` or names separated by commas; the run's own metrics if None.
        device: device of the feature networks.
        listener: receives progress.

    Raises:
        UsageError: if the folder holds no run, or a metric or the device is unknown.
    """
    listener = listener or Listener()
    device = resolve_device(device)
    info = read_info(root)
    store = Store(root)
    if metrics is not None:
        cards = metric_cards(names_or_all(metrics))
        info = info | {"metrics": [plain_card(card) for card in cards.values()]}
        write_info(store, info)
    scores = score_units(root, device, listener)
    cards, _ = read_cards(root)
    write_scores(store, timing_scores(scores, read_timings(root), cards))
    board = load_board(root)
    write_report(board, root / "report", info["config"]["formats"])
    return board


def _info(config: RunConfig, plan: Plan, command: str) -> dict[str, Any]:
    return {
        "name": config.folder.name,
        "command": command,
        "config": config.model_dump(mode="json"),
        "suite": config.suite,
        "suite_version": config.suite_version,
        "plan_hash": hash_of_keys(unit.key for unit in plan.units),
        "environment": describe_environment(config.device, config.threads),
        "version": nstbench.__version__,
        "started": _now(),
        "finished": "",
    }


# --- weights -----------------------------------------------------------------------------


def _fetch_weights(config: RunConfig, plan: Plan, listener: Listener) -> None:
    """Fetch what methods and metrics need before the clock of any method starts."""
    needed: dict[str, Any] = {}
    for variant in resolve_methods(config):
        if variant.method is not None and variant.card.availability.ok:
            needed |= {weight.name: weight for weight in variant.method.required_weights()}
    for name, card in plan.metrics.items():
        if card.availability.ok:
            info = registry.load("metrics", name).info
            needed |= {weight.name: weight for weight in metric_weights(info)}
    listener.stage("weights", len(needed))
    for name, weight in needed.items():
        listener.began(name)
        try:
            weights.path(weight)
        except WeightsError as error:
            listener.note(str(error))
        listener.advanced()


# --- generation --------------------------------------------------------------------------


def _generate(plan: Plan, executor: Executor, listener: Listener, spent: Spent) -> None:
    seconds = plan.expected_seconds / (plan.config.workers or 1)
    listener.stage("generate", len(plan.pending), seconds)
    records = executor.run(plan.pending, listener.step, plan.costs, plan.outdated, plan.batched)
    for unit, record in records:
        listener.finished(unit, record)
        listener.advanced()
        spent.add(record)


# --- timing ------------------------------------------------------------------------------


def _time(
    config: RunConfig,
    plan: Plan,
    store: Store,
    executor: Executor,
    listener: Listener,
    interrupt: Interrupt,
) -> list[Timing]:
    """Time every available variant at every size; samples that exist are not taken again."""
    if config.timing_repeats == 0:
        return []
    requests = [
        request
        for variant in resolve_methods(config)
        for size in config.timing_sizes or (config.size,)
        if (request := _timing_request(config, plan, store, variant, size)) is not None
    ]
    listener.stage("time", len(requests))
    timings: list[Timing] = []
    missing: list[TimingRequest] = []
    for request in requests:
        known = _known_timing(store.timing_path(request.method, request.key))
        if known is None or config.resume == "never":
            missing.append(request)
        else:
            timings.append(known)
            listener.advanced()
    for request in missing:
        if interrupt.asked:
            break
        listener.began(request.variant)
        answer = executor.time(request)
        if isinstance(answer, str):
            listener.note(f"{request.variant} at {request.size} px has no timing: {answer}")
        else:
            path = store.timing_path(request.method, request.key)
            write_json(path, _TIMINGS.dump_python(answer, mode="json"))
            timings.append(answer)
        listener.advanced()
    return timings


def _known_timing(path: Path) -> Timing | None:
    """Return a timing that was taken before; ``None`` if there is none, or a damaged one."""
    try:
        return _TIMINGS.validate_python(read_json(path))
    except ValidationError:
        return None


def _timing_request(
    config: RunConfig, plan: Plan, store: Store, variant: Variant, size: int
) -> TimingRequest | None:
    """Return what to measure, or None if no unit of the variant was ever done."""
    done = [
        (unit, record)
        for unit in plan.units
        if unit.variant == variant.card.variant and unit.key not in plan.blocked
        if (record := store.record(unit.method, unit.key)) and record["status"] == Status.DONE
    ]
    if variant.method is None or not done:
        return None
    environment = describe_environment(config.device, config.threads)
    generation = _own_samples(config, [record for _, record in done], size, environment)
    parts = method_parts(variant) | {
        "size": size,
        "device_name": environment["device_name"],
        "threads": config.threads,
        "repeats": config.timing_repeats,
        "timing": {"schema": SCHEMA, "source": _timing_source()},
        "packages": environment["packages"],
    }
    pairs = pairs_per_batch(config, config.device) if variant.method.does_batches() else 1
    if pairs != 1:
        parts["pairs_per_batch"] = pairs
    unit = done[0][0]
    if "checkpoint" in unit.parts:
        parts["checkpoint"] = unit.parts["checkpoint"]
    return TimingRequest(
        key=key_of(parts),
        variant=variant.card.variant,
        method=variant.card.method,
        params=variant.given,
        content=unit.content,
        style=unit.style,
        size=size,
        repeats=config.timing_repeats,
        pairs_per_batch=pairs,
        generation=_all_samples(
            Samples((record["seconds"],), tuple(record.get("waits", ()))) for record in generation
        ),
        # units of one load share its calibration
        generation_calibration=_all_samples(
            dict.fromkeys(
                Samples(tuple(record["calibration"]), tuple(record.get("calibration_waits", ())))
                for record in generation
            )
        ),
    )


def _own_samples(
    config: RunConfig,
    records: list[dict[str, Any]],
    size: int,
    environment: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the units that can serve as timing samples of a slow method.

    Where units had the machine alone and the same shape, repeating a slow method on one
    pair would only cost time. A method whose own units are too few or fast, or ran beside
    others, is repeated on one pair instead.
    """
    same = [
        record
        for record in records
        if record["size"] == size
        and record.get("device_name") == environment["device_name"]
        and record.get("threads") == config.threads
        and record.get("alone", True)
        # a pair of a batch has no latency of its own
        and record.get("batch", 1) == 1
    ]
    if config.fit != "crop" or len(same) < config.timing_repeats:
        return []
    # less what other programs took: a busy machine does not make a method slow
    own = statistics.median(r["seconds"] - sum(r.get("waits", ())) for r in same)
    return same if own >= OWN_SAMPLES_FROM_SECONDS else []


def _all_samples(parts: Iterable[Samples]) -> Samples:
    return sum(parts, Samples())


def _timing_source() -> str:
    """Return a checksum of the code that decides what is measured, and how."""
    files = registry.module_files("nstbench.generate.runner", without=_NOT_MEASURING)
    return key_of({file.name: file.read_text() for file in files})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
