"""Units and cards for tests of tables."""

from __future__ import annotations

from nstbench.core.cards import MethodCard
from nstbench.core.records import Availability


def units_of(scores, status="done"):
    """Return one unit per pair with a score, all with the same status."""
    key = ["method", "plugin", "content", "style", "size", "seed"]
    rows = scores[scores["content"] != ""]
    return rows[key].drop_duplicates().assign(status=status, message="")


def method_card(variant, plugin, flexibility):
    return MethodCard(
        method=variant, plugin=plugin, title="", authors="", year=2015, paper="", code="",
        family="", flexibility=flexibility, licence="MIT", trained_on=(), deviations=(),
        params={}, defaults={}, weights=(), availability=Availability(),
    )  # fmt: skip
