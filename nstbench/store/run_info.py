"""The files of a whole run: `run.json` with its cards, timings and scores."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from nstbench.core.cards import MethodCard, MetricCard, PictureCard
from nstbench.core.errors import NstbenchError, StoreError, UsageError
from nstbench.core.records import Timing
from nstbench.core.text import printable
from nstbench.store.atomic_files import RERUN, read_json, write_bytes, write_json
from nstbench.store.store import Store, check_schema

SCORE_COLUMNS = ["method", "plugin", "content", "style", "size", "seed", "metric", "part", "value"]


def write_info(store: Store, info: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    write_json(store.root / "run.json", info)


def read_info(root: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if ``run.json`` is damaged, or was written by a newer nstbench.
    """
    path = root / "run.json"
    if not path.is_file():
        raise UsageError(f"{root} is not a run folder: it has no run.json.")
    info = read_json(path)
    if not isinstance(info, dict):
        raise StoreError(f"{path} is damaged: it is not a JSON object. {RERUN}")
    check_schema(root, info)
    return info


def write_timings(store: Store, timings: Iterable[Timing]) -> None:
    """Write the timing records that belong to the run."""
    adapter = TypeAdapter(list[Timing])
    write_json(store.root / "timings.json", adapter.dump_python(list(timings), mode="json"))


def write_scores(store: Store, scores: pd.DataFrame) -> None:
    """Write the tidy scores that belong to the run."""
    buffer = io.BytesIO()
    scores.to_parquet(buffer, index=False)
    write_bytes(store.root / "scores.parquet", buffer.getvalue())


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of a run.

    Attributes:
        methods: variant label -> card, in the order of the configuration.
        metrics: metric name -> card, in table order.
        pictures: cards of all contents and styles.
    """

    methods: dict[str, MethodCard]
    metrics: dict[str, MetricCard]
    pictures: tuple[PictureCard, ...]


def read_cards(root: Path, info: Mapping[str, Any]) -> Cards:
    """Return the cards in ``run.json``.

    Args:
        root: run folder.
        info: what :func:`read_info` returned.

    Raises:
        UsageError: if another version of nstbench wrote them.
        StoreError: if they are damaged, or a picture's path leads out of the folder.
    """
    with reading(root / "run.json"):
        methods: list[MethodCard] = [read_card(MethodCard, card, root) for card in info["methods"]]
        metrics: list[MetricCard] = [read_card(MetricCard, card, root) for card in info["metrics"]]
        pictures = tuple(read_card(PictureCard, card, root) for card in info["pictures"])
        for picture in pictures:
            if not (root / picture.file).resolve().is_relative_to(root.resolve()):
                raise ValueError(f"the picture {picture.file} is outside the run folder")
    return Cards(
        methods={card.method: card for card in methods},
        metrics={card.name: card for card in metrics},
        pictures=pictures,
    )


def read_timings(root: Path) -> list[Timing]:
    """Return the timing records that belong to the run.

    Raises:
        StoreError: if the file is damaged.
    """
    path = root / "timings.json"
    if not path.exists():
        return []
    with reading(path):
        return TypeAdapter(list[Timing]).validate_python(read_json(path))


def read_scores(path: Path) -> pd.DataFrame:
    """Return the tidy scores of a run; an empty table if the file is missing.

    Raises:
        StoreError: if the file is damaged.
    """
    if not path.is_file():
        return pd.DataFrame(columns=SCORE_COLUMNS)
    with reading(path):
        scores = pd.read_parquet(path)
        return scores[SCORE_COLUMNS]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error of the block into a StoreError that names the file.

    Raises:
        StoreError: if the block raises anything but an error of nstbench.
    """
    try:
        yield
    except NstbenchError:
        raise
    # a damaged file may hold anything, so its reader may raise any exception
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise StoreError(f"{printable(path)} is damaged ({reason}). {RERUN}") from error


def plain_card(card: Any) -> Any:
    """Return a card as plain data for ``run.json``."""
    kind: Any = type(card)
    return adapter_of(kind).dump_python(card, mode="json")


@cache
def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Make an adapter once: that takes milliseconds, and a run may have thousands of cards."""
    return TypeAdapter(kind)


def read_card(kind: Any, data: Mapping[str, Any], root: Path) -> Any:
    """Return a card of ``run.json`` from plain data.

    Raises:
        UsageError: if another version of nstbench wrote it.
    """
    if kind is MetricCard:
        # JSON has no infinity: null stands for an open end
        low, high = data["range"]
        ends = (float("-inf") if low is None else low, float("inf") if high is None else high)
        data = {**data, "range": ends}
    try:
        return adapter_of(kind).validate_python(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise UsageError(
            f"{root / 'run.json'} was written by another version of nstbench ({place}: "
            f"{problem['msg']}). The command that made the run writes it anew, results are kept."
        ) from None
