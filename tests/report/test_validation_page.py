"""The page of ``nstbench validate``: all numbers, and nothing from a network."""

from __future__ import annotations

import html.parser
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulate_boards import metric_card

from nstbench.analysis.validation.case_ratings import (
    KNOWN_COLUMNS,
    PEOPLE_COLUMNS,
    PROGRAM_COLUMNS,
    WITHIN_COLUMNS,
)
from nstbench.analysis.validation.validate import Validation
from nstbench.analysis.validation.verdicts import VERDICT_COLUMNS
from nstbench.report.validation_page import validation_page

BY_KIND = pd.DataFrame(
    [
        {"metric": "uef", "part": "", "measures": "style", "kind": "blend", "base": "",
         "sweeps": 4, "tau": 0.912, "low": 0.8, "high": 1.0, "sensitivity": 3.2,
         "seed_spread": np.nan},
        {"metric": "uef", "part": "", "measures": "style", "kind": "jpeg", "base": "style",
         "sweeps": 4, "tau": -0.4, "low": -0.5, "high": -0.1, "sensitivity": 1.0,
         "seed_spread": 0.02},
    ]
)  # fmt: skip
SUMMARY = pd.DataFrame(
    [
        {"metric": "uef", "part": "", "measures": "style", "tau": 0.256, "low": 0.1, "high": 0.5,
         "worst": "jpeg style", "worst_tau": -0.4, "sensitivity": 2.1, "seed_spread": 0.02,
         "ms": 12.34, "trusted": False},
        {"metric": "other", "part": "half", "measures": "both", "tau": 1.0, "low": np.nan,
         "high": np.nan, "worst": "blur content", "worst_tau": 1.0, "sensitivity": np.nan,
         "seed_spread": np.nan, "ms": np.nan, "trusted": None},
    ]
).astype({"trusted": "boolean"})  # fmt: skip
RESULT = Validation(pd.DataFrame(), BY_KIND, SUMMARY, {"fid": "<no> weights"})


class Reader(html.parser.HTMLParser):
    """Collects cells, and everything that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.loads: list[str] = []
        self.open = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.open = tag in ("td", "th") or (self.open and tag == "span")
        if tag == "script":
            self.loads.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page():
    return validation_page(RESULT, {"uef": metric_card()}, {"Side": "64 px", "Folder": "a<b"})


def test_every_number_is_on_the_page(page):
    reader = Reader()
    reader.feed(page)
    head, first, second = reader.rows[:3]
    cells = dict(zip(head, first, strict=True))
    assert cells["Kendall's τ"] == "0.256"
    assert cells["95 % interval"] == "0.100 to 0.500"
    assert cells["Sensitivity"] == "2.1"
    assert cells["Seed spread"] == "2.0 %"
    assert cells["ms per image"] == "12.3"
    assert (cells["Worst series"], cells["Worst τ"]) == ("jpeg style", "−0.400")
    assert cells["Reliable"] == "no"
    assert second[0] == "other, half"
    assert second[-1] == "no verdict"
    assert "not measured" in second[3]
    kinds, row = reader.rows[3:5]
    assert kinds == ["Metric", "blend", "jpeg of the style"]
    assert row == ["uef", "0.912", "−0.400"]
    assert "uef (jpeg style, τ −0.400)" in page


def test_metrics_with_the_same_order_are_named():
    rows = [("uef", "uef", 1.0), ("uef", "odd", 0.95), ("odd", "uef", 0.95), ("odd", "odd", 1.0),
            ("uef", "new", -0.5), ("new", "uef", -0.5), ("new", "new", 1.0),
            ("odd", "new", np.nan), ("new", "odd", np.nan)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["metric", "other", "within"])
    frame = frame.assign(size=256, units=8, pairs=4, spearman=0.1, kendall=0.1)
    result = replace(RESULT, agreement=frame)
    page = validation_page(result, {}, {})
    reader = Reader()
    reader.feed(page)
    assert reader.rows[-4][1:] == ["uef", "odd", "new"]
    assert reader.rows[-3] == ["uef", "1.00", "0.95", "−0.50"]
    assert reader.rows[-2][:3] == ["odd", "0.95", "1.00"]
    assert "not measured" in reader.rows[-2][3]
    assert "uef and odd (0.95)." in page
    assert "256 px" in page
    assert "ranks of methods on each of 4 pairs" in page
    assert result.to_dict()["agreement"][0]["within"] == 1.0
    # without two methods per pair, the correlation over all outputs is used
    alone = validation_page(replace(RESULT, agreement=frame.assign(within=np.nan, pairs=0)), {}, {})
    assert "uef and odd" not in alone
    assert "0.10" in alone
    assert "over all 8 outputs, as no pair was done by two methods" in alone


VERDICTS = [
    ("uef", "T1", "question", 9, 0.912, 0.84, 0.96, "yes"),
    ("uef", "T5", "question", 6, 0.467, np.nan, np.nan, "unclear"),
    ("fid", "T1", "question", 0, np.nan, np.nan, np.nan, "not asked"),
]


def test_verdicts_programs_and_groups_are_on_the_page():
    table = pd.DataFrame(VERDICTS, columns=VERDICT_COLUMNS)
    programs = pd.DataFrame(
        [("uef", "", 6, 8, 0.05, 0.2, 0.875, 0.7, 0.95), ("uef", "vgg16", 0, 0, *[np.nan] * 5)],
        columns=PROGRAM_COLUMNS,
    )
    within = pd.DataFrame(
        [("uef", "", "style", 6, 24, 0.512, 0.31, 0.7), ("uef", "", "content", 2, 24, 0.25,
         np.nan, np.nan), ("uef", "", "method", 0, 0, np.nan, np.nan, np.nan)],
        columns=WITHIN_COLUMNS,
    )  # fmt: skip
    people = pd.DataFrame(
        [("uef", "", 6, 0.467, 0.27, 0.867, 40.0, 0.725, 0.6, 0.85)], columns=PEOPLE_COLUMNS
    )
    known = pd.DataFrame(
        [("uef", "", "T1", "trivial answers beaten", 9, 0.912, 0.84, 0.96)], columns=KNOWN_COLUMNS
    )
    page = validation_page(
        replace(RESULT, by_kind=BY_KIND[:0], summary=SUMMARY[:0], verdicts=table,
                programs=programs, within=within, people=people, published=known),
        {"uef": metric_card()}, {},
    )  # fmt: skip
    assert 'id="verdict"' not in page  # no series were asked
    assert re.search(r'(?s)<tr><th scope="row">fid</th><td>not asked</td></tr>', page)
    rows = re.findall(r'(?s)<tr><th scope="row">uef</th>(.*?)</tr>', page)
    texts = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]
    assert texts[0] == "yes 0.91 (0.84 to 0.96), n = 9 unclear 0.47, n = 6"
    assert texts[1] == "0.912 0.84 to 0.96"
    assert texts[2] == "6 8 0.0500 0.200 0.88 0.70 to 0.95"
    assert texts[3] == "6 0.47 0.27 40 0.725 0.60 to 0.85"
    assert texts[4].startswith(
        "0.51 0.31 to 0.70 6 groups, 24 pictures 0.25 not enough data 2 groups, 24 pictures"
    )
    assert "uef, vgg16" not in page
    assert "6 pairs with 8 couples" in page


def test_page_is_self_contained_and_escaped(page):
    reader = Reader()
    reader.feed(page)
    assert reader.loads == []
    assert "&lt;no&gt; weights" in page
    assert "a&lt;b" in page
    assert "default-src 'none'" in page or "default-src &#39;none&#39;" in page


def test_an_empty_validation_has_a_page():
    empty = Validation(pd.DataFrame(), BY_KIND[:0], SUMMARY[:0], {})
    assert 'id="kinds"' not in validation_page(empty, {}, {})
