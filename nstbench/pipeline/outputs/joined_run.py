"""Join an existing run with imported pictures: same pairs, one board.

The fitted pictures of the run are the contents and styles, so that all numbers are of the same
pixels. The existing run does not change; its outputs are linked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from nstbench.analysis.load_board import load_board
from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord, Role, Status, Unit
from nstbench.core.text import printable
from nstbench.plan.plan import Outcome, Plan
from nstbench.plan.plan_file import read_plan
from nstbench.store.store import Store


class JoinedRun:
    """An existing run whose methods are on the board of imported pictures.

    Args:
        root: folder of the run.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if one of its files is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.board = load_board(root)
        self._plan = read_plan(root)
        if not self._plan:
            raise UsageError(f"--beside {printable(root)}: the run has no units.")
        self._images = {
            (card.role, card.name): ImageRecord(
                card.name, root / card.file, card.licence, card.author, card.source, card.sha256
            )
            for card in self.board.pictures
        }

    @property
    def size(self) -> int:
        """Size of the run's pictures in pixels."""
        return int(self._plan[0]["size"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the run."""
        settings: Mapping[str, Any] = self.board.info.get("config", {})
        return settings

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Content and style of every pair of the run."""
        return frozenset((unit["content"], unit["style"]) for unit in self._plan)

    def images(self, role: Role) -> tuple[ImageRecord, ...]:
        """Return the run's fitted pictures of a role."""
        return tuple(image for (of, _), image in self._images.items() if of == role)

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Return content -> (height, width) of its outputs."""
        found = {}
        for image in self.images(Role.CONTENT):
            with Image.open(image.path) as picture:
                found[image.name] = picture.height, picture.width
        return found

    def join(self, plan: Plan, store: Store) -> Plan:
        """Return a plan with the run's units before those of ``plan``; link their results.

        Raises:
            UsageError: if a method of both has the same name.
        """
        theirs = {card.plugin for card in self.board.methods.values()}
        same = [label for label, card in plan.methods.items() if card.plugin in theirs]
        if same:
            raise UsageError(
                f"--name {min(same)}: {printable(self.root)} has a method of that name. Give "
                "another name."
            )
        units = [self._unit(entry) for entry in self._plan]
        blocked = {
            entry["key"]: Outcome(Status(entry["status"]), str(entry.get("message", "")))
            for entry in self._plan
            if "status" in entry
        }
        for unit in units:
            self._link(unit, store)
        for score in (self.root / "scores").rglob("*.json"):
            _link(score, store.root / score.relative_to(self.root))
        return replace(
            plan,
            units=(*units, *plan.units),
            blocked={**blocked, **plan.blocked},
            cached=plan.cached | {unit.key for unit in units if unit.key not in blocked},
            methods={**self.board.methods, **plan.methods},
        )

    def _unit(self, entry: Mapping[str, Any]) -> Unit:
        return Unit(
            key=entry["key"], method=entry["method"], plugin=entry["plugin"], params={},
            content=self._images[Role.CONTENT, entry["content"]],
            style=self._images[Role.STYLE, entry["style"]],
            size=entry["size"], fit="", seed=entry["seed"], unit_seed=0,
        )  # fmt: skip

    def _link(self, unit: Unit, store: Store) -> None:
        ours = Store(self.root)
        place = unit.plugin, unit.key
        for source, target in (
            (ours.output_path(*place), store.output_path(*place)),
            (ours.trace_path(unit.key), store.trace_path(unit.key)),
            # last: a record means that its picture is complete
            (ours.record_path(*place), store.record_path(*place)),
        ):
            _link(source, target)


def _link(source: Path, target: Path) -> None:
    """Link a file if it exists; copy it where the file system has no hard links.

    Both runs may share the file, because nstbench replaces files and never changes them.
    """
    if source.is_symlink() or not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
