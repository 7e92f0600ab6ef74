"""The whole job in its order: plan, generate, time, score, rank, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.board import Board
from nstbench.core.environment import describe_environment, resolve_device, utc_now
from nstbench.core.errors import WeightsError
from nstbench.core.records import Timing
from nstbench.core.yaml_values import names_or_all
from nstbench.generate.executors.choose import (
    Choice,
    choose_workers,
    earlier_choice,
    is_open,
    make_executor,
    resolve_workers,
    threads_per_worker,
)
from nstbench.generate.executors.executor import Executor
from nstbench.nn.weights import cache as weights
from nstbench.pipeline.folder_checks import meet_another_plan, refuse_folder_of_pictures
from nstbench.pipeline.growing_report import GrowingReport
from nstbench.pipeline.interrupt import Interrupted, finishing_first
from nstbench.pipeline.time_spent import (
    KERNEL_SECONDS_PER_PIXEL,
    Spent,
    kernel_seconds_per_pixel,
)
from nstbench.pipeline.timing_stage import time_methods, timing_limit
from nstbench.plan.config import RunConfig
from nstbench.plan.inputs import write_inputs
from nstbench.plan.listener import Listener, NoteKeeper
from nstbench.plan.plan import Plan
from nstbench.plan.plan_file import write_plan
from nstbench.plan.planner import make_plan
from nstbench.plan.variants import (
    Variant,
    add_configured,
    metric_cards,
    metric_weights,
    resolve_methods,
)
from nstbench.plugins import registry
from nstbench.report.files import check_formats, write_report
from nstbench.score.score_rows import timing_scores
from nstbench.score.stage import score_units
from nstbench.store.atomic_files import read_json
from nstbench.store.keys import hash_of_keys
from nstbench.store.leases import BOARD, Leases
from nstbench.store.run_info import (
    plain_card,
    read_cards,
    read_info,
    read_timings,
    write_info,
    write_scores,
    write_timings,
)
from nstbench.store.store import Store
from nstbench.training.missing import train_missing

LEAST_GUESS = 20.0
"""Seconds of guessed work from which on the speed of this machine is measured."""

LEAST_FOR_CHOICE = 60.0
"""Seconds of expected work from which on the number of workers is chosen by a measurement."""


def plan_run(config: RunConfig) -> tuple[RunConfig, Store, Plan]:
    """Return the configuration with devices, workers and threads resolved, the store, the plan.

    Nothing is written.
    """
    config, variants = _resolve(config)
    store = Store.open(config.folder)
    return config, store, make_plan(config, store, variants)


def _resolve(config: RunConfig) -> tuple[RunConfig, tuple[Variant, ...]]:
    """Check a configuration; return it with workers and threads resolved, and its variants."""
    add_configured(config)
    check_formats(config.formats)
    config = resolve_workers(config)
    refuse_folder_of_pictures(config.folder)
    return config, tuple(resolve_methods(config))


def execute(
    config: RunConfig, *, command: str = "", listener: Listener | None = None, dry_run: bool = False
) -> Board | None:
    """Run a configuration; existing results are used.

    Args:
        config: configuration of the run.
        command: command line, for the report.
        listener: receives progress.
        dry_run: make the plan, and nothing else.

    Returns:
        The board, or ``None`` for a dry run.

    Raises:
        UsageError: if the configuration is wrong.
        StoreError: if the run folder cannot be written.
        Interrupted: after Ctrl-C, with the board of the finished units.
    """
    listener = NoteKeeper(listener or Listener())
    threads, free = threads_per_worker(config), is_open(config)
    config, variants = _resolve(config)
    if config.train_missing and not dry_run:
        train_missing(config, variants, listener)
    began = time.perf_counter()
    store = Store.open(config.folder)
    plan = scaled_to_machine(make_plan(config, store, variants), threads)
    choice = _choice(plan, store) if free and not dry_run else None
    if choice is not None:
        threads = choice.threads
        config = config.model_copy(update={"workers": choice.workers})
        plan = replace(plan, config=config)
    listener.planned(plan)
    if dry_run:
        return None
    leases = Leases(store.root)
    executor = make_executor(config, store, leases, threads)
    spent = Spent(began, max(1, min(config.workers or 1, len(plan.pending))))
    growing = GrowingReport(config, store, executor, leases, listener, spent)
    try:
        with finishing_first(executor.finish, listener) as interrupt:
            info = _info(config, plan, command)
            if choice is not None:
                info["workers_choice"] = asdict(choice)
            meet_another_plan(store, leases, info["plan_hash"], listener)
            write_inputs(store, plan.inputs)
            info = write_plan(store, plan, info)
            with spent.on("weights"):
                _fetch_weights(plan, listener)
            growing.begin(plan.expected_seconds / (config.workers or 1))
            with spent.on("generate"):
                _generate(plan, executor, listener, spent, growing)
            # one process at a time; other processes then use its timings and scores
            with leases.hold(BOARD):
                with spent.on("time"):
                    seconds = timing_limit(config, spent.seconds_of("generate"))
                    timings = time_methods(
                        config, plan, store, executor, listener, interrupt, seconds
                    )
                executor.close()
                board = _score(config, plan, store, info, listener, timings, spent, growing)
    finally:
        growing.close()
        executor.close()
        leases.close()
    if interrupt.asked:
        raise Interrupted(board)
    return board


def _score(
    config: RunConfig,
    plan: Plan,
    store: Store,
    info: Mapping[str, Any],
    listener: NoteKeeper,
    timings: list[Timing],
    spent: Spent,
    growing: GrowingReport,
) -> Board:
    """Score the outputs that have no score yet, rank the methods and write the report."""
    with spent.on("score"):
        scores = growing.scores(listener)
        growing.close()
        write_timings(store, timings)
        write_scores(store, timing_scores(scores, timings, plan.metrics))
    finished = {"finished": utc_now(), "notes": listener.notes, **spent.summary()}
    write_info(store, {**info, **finished})
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
    """Score the outputs of a run again, and write its report again.

    Args:
        root: run folder.
        metrics: ``"all"``, or names of metrics and presets separated by commas; by default the
            metrics of the run.
        device: device of the feature networks.
        listener: receives progress.

    Raises:
        UsageError: if the folder holds no run, or a metric or the device is unknown.
    """
    listener = NoteKeeper(listener or Listener())
    device = resolve_device(device)
    info = read_info(root)
    store = Store(root)
    if metrics is not None:
        cards = metric_cards(names_or_all(metrics))
        info = info | {"metrics": [plain_card(card) for card in cards.values()]}
        write_info(store, info)
    scores = score_units(root, device, listener)
    known = read_cards(root, info).metrics
    write_scores(store, timing_scores(scores, read_timings(root), known))
    write_info(store, info | {"notes": listener.notes})
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
        "expected_seconds": dict(plan.costs),
        "started": utc_now(),
        "finished": "",
    }


# --- estimate ----------------------------------------------------------------------------


def scaled_to_machine(plan: Plan, threads: int) -> Plan:
    """Return the plan with its guessed costs scaled by the speed of this machine.

    The guesses of methods are for the machine where :data:`KERNEL_SECONDS_PER_PIXEL` was
    measured. A plan of a few seconds is not worth a measurement, and the machines of a Ray
    cluster are not this one.

    Args:
        plan: a plan with estimates.
        threads: CPU threads of each worker.
    """
    guess = sum(plan.costs.get(u.method, 0.0) for u in plan.pending if u.method in plan.guessed)
    if guess < LEAST_GUESS or plan.config.executor == "ray":
        return plan
    factor = kernel_seconds_per_pixel(plan.config.devices[0], threads) / KERNEL_SECONDS_PER_PIXEL
    scaled = {
        name: seconds * factor if name in plan.guessed else seconds
        for name, seconds in plan.costs.items()
    }
    return replace(plan, costs=scaled)


def _choice(plan: Plan, store: Store) -> Choice | None:
    """Return the workers of an earlier run in this folder, or those of a measurement.

    A short run is not worth a measurement: None.
    """
    known = read_json(store.root / "run.json")
    earlier = earlier_choice(known if isinstance(known, dict) else {})
    if earlier is not None or plan.expected_seconds < LEAST_FOR_CHOICE:
        return earlier
    return choose_workers(plan.config.threads or 1)


# --- weights -----------------------------------------------------------------------------


def _fetch_weights(plan: Plan, listener: Listener) -> None:
    """Fetch the weights of methods and metrics, before any method is timed."""
    needed: dict[str, Any] = {}
    for variant in plan.variants:
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


def _generate(
    plan: Plan, executor: Executor, listener: Listener, spent: Spent, growing: GrowingReport
) -> None:
    seconds = plan.expected_seconds / (plan.config.workers or 1)
    listener.stage("generate", len(plan.pending), seconds)
    records = executor.run(plan.pending, listener.step, plan.costs, plan.outdated, plan.batched)
    for unit, record in records:
        listener.finished(unit, record)
        listener.advanced()
        spent.add(record)
        growing.unit_done()
