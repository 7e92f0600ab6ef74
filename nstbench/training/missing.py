"""``nstbench run --train-missing``: train the checkpoints that a run needs and does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nstbench.core.records import Flexibility, ImageRecord, Role
from nstbench.plan.config import MethodSpec, RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.variants import Variant, open_dataset
from nstbench.training.order import Order
from nstbench.training.together import train
from nstbench.training.trainable import StyleUse, TrainableMethod


def train_missing(config: RunConfig, variants: Iterable[Variant], listener: Listener) -> None:
    """Train and install a checkpoint for every method and style that needs one.

    Crops are at most as large as the pictures of the run, and fixed styles have the size of the
    run. All other settings are those of the method's recipe, with ``config.train_steps`` instead
    of its number of steps if that is set.

    Args:
        config: pictures, size and training options of the run.
        variants: the variants of the run; those that need no training are ignored.
        listener: receives progress.

    Raises:
        UsageError: if a name or option of the run is wrong.
        TrainingError: if a loss or weight is no longer finite.
    """
    styles = open_dataset(config.styles, "--styles").load(Role.STYLE).images[: config.limit]
    for variant in variants:
        for order in _orders(config, variant, styles):
            listener.note(f"training {variant.card.method} for {', '.join(order.style)}")
            train(order, listener=listener)


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
        yield Order(method=MethodSpec(name=variant.card.plugin, params=variant.given), **given)
