"""The contract of methods whose networks are trained before they stylise.

A trainable method says how one step of its training goes (:class:`Training`); the loop
of :mod:`nstbench.training` owns everything else: devices, precision, pictures, the log,
sample sheets, checkpoints, resuming, and stopping at a NaN. ``nstbench train`` writes a
:class:`~nstbench.training.checkpoints.Checkpoint`, which the same method later finds by its style.

How the pieces meet:

1. ``method.training(task)`` builds networks and optimisers (torch's global generator is
   seeded before, and again before every step).
2. ``training.step(batch, descend)`` is called for every batch, 0, 1, 2, ...
3. ``training.weights()`` is what goes into the checkpoint, as float16.
4. ``method.restore(tensors, params)`` rebuilds the networks for stylising.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from nstbench.contracts import Method, Picture
from nstbench.core.cards import WeightCard
from nstbench.core.errors import UsageError, WeightsError
from nstbench.core.records import Availability, Flexibility, ImageRecord

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from nstbench.nn.backbones.loss_network import Precision
    from nstbench.training.checkpoints import Checkpoint, Library


class StyleUse(StrEnum):
    """What a training does with style pictures.

    ``ONE``: one style, held fixed; a model per style. ``SET``: a fixed set, held in
    memory and told apart; a model for all of them. ``STREAM``: a collection from which
    every batch draws crops. ``NONE``: no style pictures.
    """

    ONE = "one"
    SET = "set"
    STREAM = "stream"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training takes by default; the values are the paper's.

    ``nstbench train`` has an option for each of the numbers.

    Attributes:
        steps: number of calls of ``Training.step``.
        size: side of the square content crops in pixels.
        batch: pictures per step.
        learning_rate: initial learning rate of the (first) optimiser.
        styles: what happens to style pictures.
        style_size: longer side to which fixed styles are scaled; ``size`` if 0. Streamed
            styles are cropped like contents.
    """

    steps: int
    size: int
    batch: int
    learning_rate: float
    styles: StyleUse
    style_size: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """One training as it was ordered.

    Attributes:
        recipe: the recipe after the command line had its say; ``style_size`` is never 0.
        device: where networks and batches live.
        styles: the fixed styles for ``StyleUse.ONE`` and ``SET``, float32 RGB (1, 3, H, W) in
            [0, 1] on ``device``; empty otherwise.
        autocast: returns a context in which convolutions run in the fast number format of
            the device (bfloat16 where it is native, float32 elsewhere). Put the forward
            passes of trained networks into it, and losses outside of it.
        start: the checkpoint to begin with (``--start``), or ``None`` for fresh weights.
        precision: what :func:`nstbench.nn.backbones.loss_network.load_loss_network` is to be given.
    """

    recipe: Recipe
    device: torch.device
    styles: tuple[Picture, ...]
    autocast: Callable[[], AbstractContextManager[Any]]
    start: Checkpoint | None = None
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class Batch:
    """The pictures of one step; they depend on seed, step and process only.

    Attributes:
        index: the step, from 0.
        contents: float32 RGB (B, 3, S, S) in [0, 1], random crops, flipped at random.
        styles: the same from the styles for ``StyleUse.STREAM``; ``None`` otherwise.
        generator: CPU generator seeded for this step, for further draws.
    """

    index: int
    contents: torch.Tensor
    styles: torch.Tensor | None
    generator: torch.Generator


Descend = Callable[[str, torch.Tensor], None]
"""``descend(name, loss)``: clear the gradients of optimiser ``name``, differentiate the 0-d
loss, average the gradients over processes, and take a step."""


class Training(ABC):
    """Networks in training.

    Attributes:
        networks: the modules that are trained, by name.
        optimisers: their optimisers, by name.
        schedulers: learning-rate schedules, each stepped once after every step.
    """

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    schedulers: Mapping[str, LRScheduler] = {}

    @abstractmethod
    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Compute the losses of one batch and descend them.

        Returns:
            Detached 0-d tensors by name for the log; never call ``.item()`` here. A value
            that is not finite stops the training.
        """

    @abstractmethod
    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return the columns of a sample sheet, each (B, 3, H, W) in [0, 1].

        The loop calls it with networks in evaluation mode, without gradients, and always
        with the same batch. The first column is usually ``batch.contents``.
        """

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """Return the tensors that stylising needs; they are stored as float16."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs beyond networks, optimisers and schedulers.

        Tensors, numbers, strings, and lists and dicts of them (a pool of earlier pictures).
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027  most have none
        """Take back what ``state`` returned."""


class TrainableMethod(Method):
    """A method that stylises with networks from a checkpoint.

    A method with ``Flexibility.ARBITRARY`` opens its checkpoint in ``load``; the others open
    the one that covers the style in ``prepare``. Whoever overrides ``load`` or ``prepare``
    calls the base first.

    Parameters of the method divide into those that decide what is trained and those in
    ``runtime_params``. A checkpoint serves a method if it agrees with every parameter of the
    first kind that was given by hand; the rest come from the checkpoint.
    """

    recipe: ClassVar[Recipe]
    runtime_params: ClassVar[frozenset[str]] = frozenset()
    """Names of the parameters that play no part in training (a strength, for example)."""
    starts_from: ClassVar[frozenset[str]] = frozenset()
    """Further methods whose checkpoints a training can begin with (``--start``)."""

    device: torch.device
    library: Library | None = None
    """Where checkpoints are looked for; the installed ones if it is ``None``."""
    opened: Checkpoint | None = None
    """The checkpoint in use."""

    @abstractmethod
    def training(self, task: Task) -> Training:
        """Return the networks, losses and optimisers for a training from ``self.params``."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Build the networks on ``self.device`` from what ``Training.weights`` returned.

        Args:
            tensors: the same names, float32, on the CPU.
            params: ``Params`` under which the networks were trained, with this method's own
                values for ``runtime_params``.
        """

    # -- finding a checkpoint ---------------------------------------------------------------

    @classmethod
    def checkpoint_name(cls) -> str:
        """Return the name under which checkpoints are filed: the stem of the method's file."""
        return cls.__module__.rpartition(".")[2]

    def covers(self, checkpoint: Checkpoint, style: Picture | ImageRecord | None) -> bool:
        """Return True if a checkpoint can do a style.

        Arbitrary methods do any, methods with a collection as style do every picture of a
        collection they were trained on, and the others do the pictures they were trained on,
        recognised by their look at any size.
        """
        if self.info.flexibility == Flexibility.ARBITRARY:
            return True
        if style is None:
            return False
        if self.info.flexibility == Flexibility.DOMAIN:
            record = style.record if isinstance(style, Picture) else style
            return record is not None and checkpoint.has_collection(record.collection)
        return checkpoint.place_of(style) is not None

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that serve these parameters, the best first."""
        from nstbench.training.checkpoints import installed

        library = self.library or installed()
        return library.find(self.checkpoint_name(), self.decisive_params(given=True))

    def checkpoint(self, style: Picture | ImageRecord | None) -> Checkpoint | None:
        """Return the best checkpoint for a style under these parameters, or ``None``."""
        return next((found for found in self.checkpoints() if self.covers(found, style)), None)

    def decisive_params(self, *, given: bool = False) -> dict[str, Any]:
        """Return the parameters that decide what is trained, as plain data.

        Args:
            given: only those that were given by hand or by a suite.
        """
        plain = self.params.model_dump(mode="json", exclude_unset=given)
        return {name: plain[name] for name in plain if name not in self.runtime_params}

    def deviations(self) -> tuple[str, ...]:
        """Return the method's deviations and those of its checkpoints' trainings."""
        trained = (text for found in self.checkpoints() for text in found.card.deviations)
        return (*self.info.deviations, *dict.fromkeys(trained))

    def supports(self, style: ImageRecord) -> Availability:
        """Say that training is needed, and how to order it, if no checkpoint covers the style."""
        if self.checkpoint(style) is not None:
            return Availability()
        from nstbench.training.checkpoints import training_command

        return Availability(False, "needs training", training_command(self, style))

    def style_weights(self, style: ImageRecord) -> tuple[WeightCard, ...]:
        """Return the checkpoint for a style, if there is one."""
        found = self.checkpoint(style)
        return () if found is None else (found.describe(),)

    # -- the contract of methods --------------------------------------------------------------

    def load(self, device: torch.device) -> None:
        """Take the device; open the checkpoint if it serves all styles.

        Raises:
            WeightsError: if there is none.
        """
        self.device = device
        if self.info.flexibility == Flexibility.ARBITRARY:
            self.open(None)

    def prepare(self, style: Picture) -> None:
        """Open the checkpoint that covers the style, unless it is open.

        Raises:
            WeightsError: if there is none.
        """
        if self.info.flexibility != Flexibility.ARBITRARY:
            self.open(style)

    def open(self, style: Picture | None) -> Checkpoint:
        """Make the checkpoint for a style the one in use, and return it.

        Raises:
            WeightsError: if there is none, or its file is damaged.
        """
        found = self.checkpoint(style)
        if found is None:
            wanted = f"the style '{style.name}'" if style is not None else "this method"
            raise WeightsError(
                f"{self.checkpoint_name()} has no checkpoint for {wanted} under these parameters; "
                "`nstbench train` makes one"
            )
        if self.opened is None or self.opened.card.sha256 != found.card.sha256:
            # Fresh networks draw random weights, only to be given those of the checkpoint.
            with torch.random.fork_rng(devices=[]):
                self.restore(found.tensors(), self.trained_params(found))
            self.opened = found
        return found

    def trained_params(self, checkpoint: Checkpoint) -> Any:
        """Return the parameters of a checkpoint with this method's own runtime parameters.

        Raises:
            WeightsError: if the card holds parameters that the method no longer has.
        """
        from nstbench.plan.variants import check_params

        own = self.params.model_dump(include=set(self.runtime_params))
        try:
            return check_params(type(self).Params, {**checkpoint.card.params, **own}, "checkpoint")
        except UsageError as error:
            raise WeightsError(f"{checkpoint.path}: {error}") from error

    def training_seconds(self) -> float | None:
        """Return the seconds of training behind the checkpoint in use, from fresh weights.

        ``None`` if none is in use: what others trained does not say how long.
        """
        return self.opened.card.total_seconds if self.opened is not None else None
