"""Orders: the options of ``nstbench train`` as a record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nstbench.core.errors import UsageError
from nstbench.plan.config import MethodSpec, parse_methods


class Order(BaseModel):
    """One call of ``nstbench train``. Numbers that are not given come from the method's recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: MethodSpec
    contents: str = Field("starter", description="dataset or folder of photographs")
    styles: str = Field("starter", description="dataset or folder of styles")
    style: tuple[str, ...] = Field(
        (),
        description="picture file, or name of a picture in `styles`; repeatable; all if unset",
        json_schema_extra={"repeatable": True},
    )
    steps: int | None = Field(
        None, ge=1, description="number of steps; if unset, that of the method's recipe"
    )
    size: int | None = Field(None, ge=32, le=2048, description="side of the crops in pixels")
    style_size: int | None = Field(
        None, ge=32, le=2048, description="longer side of fixed styles in pixels"
    )
    batch: int | None = Field(None, ge=1, description="pictures per step and device")
    learning_rate: float | None = Field(None, gt=0, description="initial learning rate")
    seed: int = Field(0, ge=0, description="seed of weights, crops and order")
    device: str = Field("auto", description="device: auto, cpu, cuda or cuda:N")
    devices: int = Field(1, ge=1, description="number of GPUs, or of processes on the CPU")
    at_once: int = Field(16, ge=1, description="trainings at the same time on one GPU")
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores if unset")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of convolutions; auto: bfloat16 where it is native"
    )
    save_every: int | None = Field(
        None,
        ge=1,
        description="steps between saved states; if unset, a twentieth of all, at most 500",
    )
    name: str = Field("", description="label of the checkpoint")
    start: str = Field("", description="checkpoint to begin with, by file name or path")
    out: Path | None = Field(
        None, description="folder of the checkpoint; a folder that runs search if unset"
    )


def build_orders(methods: str, options: Mapping[str, Any]) -> tuple[Order, ...]:
    """Return one order per method from the arguments of a command line.

    Args:
        methods: ``"name"`` or ``"name:param=value,other=value"``, several with commas between.
        options: fields of :class:`Order`; ``None`` means not given.

    Raises:
        UsageError: if the text of the methods or the value of an option is wrong.

    Example:
        >>> orders = build_orders("johnson_2016:width=0.5,adain_2017", {"steps": 100, "size": None})
        >>> [(order.method.name, order.steps) for order in orders]
        [('johnson_2016', 100), ('adain_2017', 100)]
    """
    try:
        specs = parse_methods(methods)
    except ValueError as error:
        raise UsageError(f"{methods}: {error}.") from None
    if isinstance(specs, str):
        raise UsageError(f"{methods}: name the methods to train, separated by commas.")
    given = {name: value for name, value in options.items() if value is not None}
    if len(specs) > 1 and given.get("name"):
        raise UsageError(f"--name: give it with one method only, not with {len(specs)}.")
    try:
        return tuple(Order(method=spec, **given) for spec in specs)
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0]).replace("_", "-")
        raise UsageError(f"--{option}: {problem['msg']} (got {problem['input']!r}).") from None


def build_order(method: str, options: Mapping[str, Any]) -> Order:
    """Return the order of one method; see :func:`build_orders`.

    Raises:
        UsageError: if the text names several methods, or an option is wrong.
    """
    orders = build_orders(method, options)
    if len(orders) > 1:
        raise UsageError(f"{method}: give one method.")
    return orders[0]
