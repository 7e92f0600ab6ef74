"""The files of a whole run: `run.json` with its cards, timings and scores."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from nstbench.core.errors import NstbenchError, StoreError, UsageError
from nstbench.core.records import MetricCard, PictureCard, Timing
from nstbench.core.text import printable
from nstbench.store.atomic_files import MEND, read_json, write_bytes, write_json
from nstbench.store.store import Store

SCORE_COLUMNS = ["method", "plugin", "content", "style", "size", "seed", "metric", "part", "value"]


def write_info(store: Store, info: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    write_json(store.root / "run.json", info)


def read_info(root: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if the run was written by a newer nstbench.
    """
    Store(root)
    info = read_json(root / "run.json")
    if not isinstance(info, dict):
        raise UsageError(f"{root} holds no run (there is no readable run.json in it).")
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


def read_cards(root: Path) -> tuple[dict[str, MetricCard], tuple[PictureCard, ...]]:
    """Return the cards of the metrics and pictures of a run.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if they are damaged, or a picture lies outside the folder.
    """
    info = read_info(root)
    with reading(root / "run.json"):
        metrics: list[MetricCard] = [read_card(MetricCard, card, root) for card in info["metrics"]]
        pictures = tuple(read_card(PictureCard, card, root) for card in info["pictures"])
        for picture in pictures:
            if not (root / picture.file).resolve().is_relative_to(root.resolve()):
                raise ValueError(f"the picture {picture.file} lies outside the run folder")
    return {card.name: card for card in metrics}, pictures


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
    if not path.is_file():
        return pd.DataFrame(columns=SCORE_COLUMNS)
    with reading(path):
        scores = pd.read_parquet(path)
        return scores[SCORE_COLUMNS]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file does to its reader into an error that names the file.

    Raises:
        StoreError: if the block raises anything but an error of nstbench.
    """
    try:
        yield
    except NstbenchError:
        raise
    # what is in the file may be anything, and so may what it causes
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise StoreError(f"{printable(path)} is damaged ({reason}). {MEND}") from error


def plain_card(card: Any) -> Any:
    """Return a card as plain data for ``run.json``."""
    kind: Any = type(card)
    return adapter_of(kind).dump_python(card, mode="json")


@cache
def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Making one takes milliseconds, and a run may have thousands of pictures."""
    return TypeAdapter(kind)


def read_card(kind: Any, data: Mapping[str, Any], root: Path) -> Any:
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
