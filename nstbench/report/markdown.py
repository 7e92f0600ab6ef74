"""Tables in GitHub-flavoured Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import pandas as pd

_ALIGNMENT = {"l": "left", "r": "right", "c": "center"}


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], alignment: str) -> str:
    r"""Return a Markdown table; every cell is escaped.

    Args:
        heads: texts of the column heads.
        rows: cells, one sequence per row.
        alignment: one letter per column: ``l``, ``r`` or ``c``.

    Example:
        >>> print(table(["Method", "UEF"], [["a|b", "0.5"]], "lr"))
        | Method   |   UEF |
        |:---------|------:|
        | a\|b     |   0.5 |
    """
    frame = pd.DataFrame(
        [[escape(str(cell)) for cell in row] for row in rows], columns=[escape(h) for h in heads]
    )
    text: str = frame.to_markdown(
        index=False, disable_numparse=True, colalign=[_ALIGNMENT[a] for a in alignment]
    )
    return text


def escape(text: str) -> str:
    r"""Return text on one line that Markdown shows literally, also inside a table.

    Example:
        >>> escape("a|b <i> _x_ gatys_2015")
        'a\\|b &lt;i&gt; \\_x\\_ gatys_2015'
    """
    text = html.escape(" ".join(text.split()), quote=False)
    # a bracket needs no escape unless it could end the text of a link, as in [a](b)
    text = re.sub(r"[\\`*|~#$]|\](?=[(\[:])", r"\\\g<0>", text)
    # Markdown treats an underscore inside a word as plain text
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
