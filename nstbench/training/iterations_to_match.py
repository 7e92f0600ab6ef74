"""Count the iterations of an image optimisation that reach the loss of another method.

Johnson et al. (arXiv 1603.08155, section 4.1 and figure 5) compare the loss of the picture of
their network with the loss during explicit optimisation. Here one image-optimisation method is
the reference for all others: its loss of the picture of another method is compared with its
losses while it optimises the same pair. A network that was trained on another loss did not
minimise the loss of the reference, so its count is a lower bound of the count under its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from nstbench.contracts import Method, Picture
from nstbench.core.environment import resolve_device
from nstbench.core.errors import UsageError
from nstbench.core.isolation import isolated
from nstbench.core.records import ImageRecord, Role, Step
from nstbench.nn.optimise.image_optimisation import ImageOptimisation
from nstbench.pictures.picture import load_picture
from nstbench.plan.config import MethodSpec, parse_methods
from nstbench.plan.listener import Listener
from nstbench.plan.planner import pair_up
from nstbench.plan.variants import make_variant, open_dataset


@dataclass(frozen=True, slots=True)
class Matching:
    """The methods, pictures and settings of a comparison.

    Attributes:
        methods: methods whose pictures are compared, as on the command line.
        reference: the image-optimisation method, with parameters.
        contents: dataset or folder.
        styles: dataset or folder.
        limit: number of contents and of styles to use, the first ones; ``None`` for all.
        contents_per_style: number of contents per style, in rotation.
        size: side of the pictures in pixels.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        seed: seed of the starting noise.
    """

    methods: str
    reference: str
    contents: str = "starter"
    styles: str = "starter"
    limit: int | None = None
    contents_per_style: int = 1
    size: int = 128
    device: str = "auto"
    seed: int = 0


def iterations_to_match(order: Matching, listener: Listener | None = None) -> pd.DataFrame:
    """Return one row per method and pair; pairs that a method cannot do are left out.

    Args:
        order: methods, pictures and settings.
        listener: receives progress.

    Returns:
        Columns ``method, content, style, loss, iterations, first, last``: the loss of the
        method's picture, the first evaluation of the reference whose loss is not larger (missing
        if there is none), and the reference's losses at its start and at its end.

    Raises:
        UsageError: if a name is wrong, or the reference is not an image optimisation.
    """
    listener = listener or Listener()
    device = torch.device(resolve_device(order.device))
    reference = _reference(order.reference)
    methods = _methods(order.methods)
    contents, styles = (
        [load_picture(record, order.size, "crop", str(device)) for record in records]
        for records in _records(order)
    )
    pairs = pair_up(list(range(len(contents))), list(range(len(styles))), order.contents_per_style)
    listener.stage("match", len(pairs))
    rows = []
    with isolated():
        reference.load(device)
        loaded = {name: _loaded(method, device) for name, method in methods.items()}
        for place, style in pairs:
            listener.began(f"{contents[place].name} × {styles[style].name}")
            rows += _match(reference, loaded, contents[place], styles[style], order.seed)
            listener.advanced()
    columns = ["method", "content", "style", "loss", "iterations", "first", "last"]
    return pd.DataFrame(rows, columns=columns)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return per method ``pairs``, ``reached``, and ``median``, ``low`` and ``high`` iterations.

    Sorted by median. A pair whose loss the reference does not reach counts as infinite.

    Args:
        table: the result of :func:`iterations_to_match`.

    Example:
        >>> rows = {"method": ["a", "a", "b"], "iterations": [10, 30, None]}
        >>> summary(pd.DataFrame(rows))["median"].to_dict()
        {'a': 20.0, 'b': inf}
    """
    counts = table.assign(
        counted=table["iterations"].astype(float).fillna(float("inf")),
        reached=table["iterations"].notna(),
    )
    groups = counts.groupby("method")
    result = pd.DataFrame(
        {
            "pairs": groups.size(),
            "reached": groups["reached"].sum(),
            "median": groups["counted"].median(),
            "low": groups["counted"].min(),
            "high": groups["counted"].max(),
        }
    )
    return result.sort_values("median")


def _match(
    reference: ImageOptimisation,
    methods: dict[str, Method],
    content: Picture,
    style: Picture,
    seed: int,
) -> list[tuple[object, ...]]:
    able = {
        name: method
        for name, method in methods.items()
        if style.record is not None and method.supports(style.record).ok
    }
    if not able:
        return []
    course = _course(reference, content, style, seed)
    with torch.no_grad():
        loss_of = reference.objective(content, reference.style_targets(style), 1.0)
        rows: list[tuple[object, ...]] = []
        for name, method in able.items():
            method.prepare(style)
            made = _stylize(method, content, seed)
            loss = float(loss_of(made)["total"])
            reached = next((i for i, total in enumerate(course) if total <= loss), None)
            rows.append((name, content.name, style.name, loss, reached, course[0], course[-1]))
    return rows


def _course(
    reference: ImageOptimisation, content: Picture, style: Picture, seed: int
) -> list[float]:
    """Return the reference's total loss at every evaluation."""
    steps: list[Step] = []
    reference.prepare(style)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        reference.stylize(content, generator=generator, on_step=steps.append)
    return [float(step.losses["total"]) for step in steps]


def _stylize(method: Method, content: Picture, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        return method.stylize(content, generator=generator, on_step=_ignore)


def _ignore(step: Step) -> None:
    """Ignore a step."""


def _reference(text: str) -> ImageOptimisation:
    specs = _specs(text)
    method = make_variant(specs[0], {}).method
    if len(specs) != 1 or not isinstance(method, ImageOptimisation):
        raise UsageError(f"--reference {text}: give one image-optimisation method.")
    if len(method.params.coarse_scales):
        raise UsageError(
            f"--reference {text}: it must not have coarse_scales: losses of several scales "
            "cannot be compared."
        )
    return method


def _methods(text: str) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for spec in _specs(text):
        variant = make_variant(spec, {})
        if variant.method is None or not variant.card.availability.ok:
            raise UsageError(f"--methods {spec.name}: {variant.card.availability.reason}.")
        methods[variant.card.method] = variant.method
    return methods


def _specs(text: str) -> Sequence[MethodSpec]:
    try:
        specs = parse_methods(text)
    except ValueError as error:
        raise UsageError(f"{text}: {error}.") from None
    if specs == "all":
        raise UsageError("Name the methods to match, separated by commas.")
    return specs


def _loaded(method: Method, device: torch.device) -> Method:
    method.load(device)
    return method


def _records(order: Matching) -> list[tuple[ImageRecord, ...]]:
    contents = open_dataset(order.contents, "--contents").load(Role.CONTENT).images
    styles = open_dataset(order.styles, "--styles").load(Role.STYLE).images
    return [contents[: order.limit], styles[: order.limit]]
