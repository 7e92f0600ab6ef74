"""Steps of a trainable method on random pictures, without files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from nstbench.generate.conformance.method_checks import example
from nstbench.plan.config import MethodSpec
from nstbench.plugins import registry
from nstbench.training.order import Order
from nstbench.training.steps.buffers import Steps
from nstbench.training.steps.crops import Collection, Pictures, Source
from nstbench.training.steps.fabric import make_autocast, make_fabric
from nstbench.training.trainable import StyleUse, Task

STEPS = 40


def built(
    name: str, params: dict, size: int, batch: int, device: str, capture: bool = False
) -> Steps:
    """Return the steps of a training on random pictures."""
    cls = registry.load("methods", name)
    method = cls(cls.Params(**params))
    recipe = replace(cls.recipe, size=size, batch=batch, style_size=size, steps=STEPS)
    order = Order(method=MethodSpec(name=name), device=device)
    fabric = make_fabric(order, torch.device(device))
    fabric.launch()
    picture = example(size, size, kind=1)
    picture = replace(picture, pixels=picture.pixels.to(device))
    fixed = {StyleUse.ONE: 1, StyleUse.SET: 3}.get(recipe.styles, 0)
    torch.manual_seed(0)
    task = Task(recipe, fabric.device, (picture,) * fixed, make_autocast(order, fabric.device))
    training = method.training(task)
    for network in training.networks.values():
        network.to(memory_format=torch.channels_last)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2 * 70 * 90, 3), generator=random, dtype=torch.uint8)
    shapes = np.array([[0, 70, 90], [70 * 90, 90, 70]])
    pictures = Pictures(pixels.to(device), shapes, (None, None), (), size)
    streamed = Collection(pictures, 1) if recipe.styles == StyleUse.STREAM else None
    source = Source(Collection(pictures, 0), streamed, size, batch, 0)
    return Steps(fabric, training, source, capture=capture)


def run(steps: Steps, count: int, start: int = 0) -> list[dict[str, float]]:
    """Run steps from number ``start`` on, and return the losses of each."""
    history = []
    for index in range(start, start + count):
        steps.run(index)
        with steps.on_stream():
            history.append({name: float(total) for name, total in steps.sums.items()})
        steps.forget_losses()
    return history
