"""``nstbench run --train-missing``: train what a run's methods lack for its styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nstbench.core.records import Flexibility, ImageRecord, Role
from nstbench.plan.config import MethodSpec, RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.variants import Variant, open_dataset
from nstbench.training.job import train
from nstbench.training.order import Order
from nstbench.training.trainable import StyleUse, TrainableMethod


def train_missing(config: RunConfig, variants: Iterable[Variant], listener: Listener) -> None:
    """Train, and install, a checkpoint wherever one is needed and there is none.

    Crops are no larger than the run's pictures, and fixed styles as large as them; the rest
    is the method's recipe, with ``config.train_steps`` instead of its steps.

    Raises:
        UsageError: if a name or option of the run is wrong.
        TrainingError: if a training diverged.
    """
    styles = open_dataset(config.styles, "--styles").load(Role.STYLE).images[: config.limit]
    for variant in variants:
        for order in _orders(config, variant, styles):
            listener.note(f"training {variant.card.variant} for {', '.join(order.style)}")
            train(order, listener)


def _orders(
    config: RunConfig, variant: Variant, styles: tuple[ImageRecord, ...]
) -> Iterator[Order]:
    method = variant.method
    if not isinstance(method, TrainableMethod) or not variant.card.availability.ok:
        return
    missing = [style for style in styles if not method.supports(style).ok]
    if not missing:
        return
    if method.info.flexibility == Flexibility.DOMAIN:
        groups = [
            [style for style in styles if style.collection == collection]
            for collection in dict.fromkeys(style.collection for style in missing)
        ]
    elif method.recipe.styles == StyleUse.ONE:
        groups = [[style] for style in missing]
    else:
        groups = [list(styles)]
    for group in groups:
        given: dict[str, Any] = {
            "contents": config.train_contents or config.contents,
            "styles": config.styles,
            "style": tuple(style.name for style in group),
            "steps": config.train_steps,
            "size": min(method.recipe.size, config.size),
            "style_size": config.size,
            "device": config.device,
            "threads": config.threads,
        }
        yield Order(method=MethodSpec(name=variant.card.method, params=variant.given), **given)
