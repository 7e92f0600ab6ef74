"""Small pieces of a run for tests of tables: units and cards."""

from __future__ import annotations

from nstbench.core.cards import MethodCard
from nstbench.core.records import Availability


def units_of(scores, status="done"):
    """One finished unit per pair that has a score."""
    key = ["method", "plugin", "content", "style", "size", "seed"]
    rows = scores[scores["content"] != ""]
    return rows[key].drop_duplicates().assign(status=status, message="")


def method_card(variant, plugin, flexibility):
    return MethodCard(
        variant=variant, method=plugin, title="", authors="", year=2015, paper="", code="",
        family="", flexibility=flexibility, licence="MIT", trained_on=(), deviations=(),
        params={}, defaults={}, weights=(), availability=Availability(),
    )  # fmt: skip
