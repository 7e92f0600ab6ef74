"""The contract of methods whose networks are trained before they stylise.

A trainable method defines one step of its training (:class:`Training`). The loop in
:mod:`nstbench.training.loop` does the rest: devices, precision, pictures, the log, sample
sheets, checkpoints, resuming, and stopping at a NaN. ``nstbench train`` writes a
:class:`~nstbench.training.checkpoints.Checkpoint`, which the method later finds by its style.

The order of the calls:

1. ``method.training(task)`` builds networks and optimisers. torch's global generator is
   seeded before this call.
2. ``training.enter(phase, batch)`` is called before the first step of every phase; most trainings
   have one phase.
3. ``training.step(batch, descend)`` is called for every batch, 0, 1, 2, ...
4. ``training.weights()`` returns the tensors of the checkpoint, which stores them as float16.
5. ``method.restore(tensors, params)`` rebuilds the networks for stylising.

On a GPU, the operations of a step are recorded in a CUDA graph and then replayed, so Python runs
only the first steps of a phase. A step must therefore do the same operations on tensors of the same
shapes every time. It must not read a value back (``float(tensor)``, ``.item()``), nor branch on
one, nor move a tensor from the CPU, nor use a generator. Random numbers come from ``draws``. What a
step keeps for the next one is a tensor that it changes in place.
"""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from nstbench.contracts import Method, Picture
from nstbench.core.cards import WeightCard
from nstbench.core.errors import UsageError, WeightsError
from nstbench.core.records import Availability, Flexibility, ImageRecord
from nstbench.plugins.params import check_params
from nstbench.training.checkpoints import Checkpoint, Library, installed

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from nstbench.nn.backbones.loss_network import Precision


class StyleUse(StrEnum):
    """How a training uses style pictures.

    ``ONE``: one fixed style; one model per style. ``SET``: a fixed set in memory, each style
    with its own index; one model for all of them. ``STREAM``: a collection from which
    every batch draws crops. ``NONE``: no style pictures.
    """

    ONE = "one"
    SET = "set"
    STREAM = "stream"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Default settings of a training; the values are the paper's.

    ``nstbench train`` has an option for each number.

    Attributes:
        steps: number of calls of ``Training.step``.
        size: side of the square content crops in pixels.
        batch: pictures per step.
        learning_rate: initial learning rate of the (first) optimiser.
        styles: how style pictures are used.
        style_size: longer side in pixels to which fixed styles are scaled; 0 means ``size``.
            Streamed styles are cropped like contents.

    Example:
        >>> recipe = Recipe(40_000, 256, 4, 1e-3, StyleUse.ONE)
        >>> recipe.steps, str(recipe.styles)
        (40000, 'one')
    """

    steps: int
    size: int
    batch: int
    learning_rate: float
    styles: StyleUse
    style_size: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """The settings and inputs of one training.

    Attributes:
        recipe: the recipe with command-line overrides applied; ``style_size`` is never 0.
        device: device of networks and batches.
        styles: the fixed styles for ``StyleUse.ONE`` and ``SET``, float32 RGB (1, 3, H, W) in
            [0, 1] on ``device``; empty otherwise.
        autocast: returns a context in which convolutions run in the fast number format of
            the device: bfloat16 where it is native, otherwise float32. Run the forward passes
            of trained networks inside it and compute losses outside of it.
        start: the checkpoint to begin with (``--start``), or ``None`` for fresh weights.
        precision: argument for
            :func:`nstbench.nn.backbones.loss_network.load_loss_network`.
    """

    recipe: Recipe
    device: torch.device
    styles: tuple[Picture, ...]
    autocast: Callable[[], AbstractContextManager[Any]]
    start: Checkpoint | None = None
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one step. They depend only on seed, step and process.

    Attributes:
        contents: float32 RGB (B, 3, S, S) in [0, 1]: random crops, flipped at random.
        styles: crops of the styles of the same shape for ``StyleUse.STREAM``; otherwise ``None``.
        draws: the random inputs that ``Training.draws`` returned for this step, on the device.
        phase: what ``Training.phase`` returned for this step.
    """

    contents: torch.Tensor
    styles: torch.Tensor | None = None
    draws: Mapping[str, torch.Tensor] = field(default_factory=dict)
    phase: int = 0

    @property
    def streamed(self) -> torch.Tensor:
        """The style crops of a training with ``StyleUse.STREAM``."""
        assert self.styles is not None
        return self.styles


Descend = Callable[[str, torch.Tensor], None]
"""``descend(name, loss)``: clear the gradients of optimiser ``name``, differentiate the 0-d
loss, average the gradients over processes, and take a step of the optimiser."""


class Training(ABC):
    """Networks in training, with their optimisers and one step of the training.

    Attributes:
        networks: the modules that are trained, by name.
        optimisers: their optimisers, by name.
        schedulers: learning-rate schedules by name; each advances once after every step. They see
            learning rates as numbers, also where a graph reads them from the device.
    """

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    schedulers: Mapping[str, LRScheduler] = {}

    def draws(self, index: int, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Return the random inputs of step ``index`` by name, on the CPU.

        Names, shapes and dtypes must be the same for every step. The sample sheet has those of
        step 0, with another generator.

        Args:
            index: number of the step, from 0.
            generator: CPU generator, seeded for this step.
        """
        return {}

    def phase(self, index: int) -> int:
        """Return the phase of step ``index``; all steps of a phase do the same operations."""
        return 0

    def enter(self, phase: int, batch: Batch) -> None:  # noqa: B027  most have nothing to do
        """Prepare for a phase, given the batch of its first step.

        It is not called again where a saved state is resumed within the phase.
        """

    @abstractmethod
    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Compute the losses of one batch and descend them.

        Returns:
            Detached 0-d tensors by name, for the log. A value that is not finite stops the
            training. See the docstring of this module for what a step may do.
        """

    @abstractmethod
    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return the columns of a sample sheet, each (B, 3, H, W) in [0, 1].

        The loop calls it with networks in evaluation mode, without gradients, and each time
        with the same batch. The first column is usually ``batch.contents``.
        """

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """Return the tensors that stylising needs, by name; they are stored as float16."""

    def set_total(self, steps: int) -> None:  # noqa: B027  most do not depend on it
        """Change the number of steps of the training, which ``Task.recipe`` gave at first."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs besides networks, optimisers and schedulers.

        For example a pool of earlier pictures. Allowed are tensors, numbers, strings, and
        lists and dicts of them.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027  most have none
        """Restore what ``state`` returned."""


class TrainableMethod(Method):
    """A method that stylises with networks from a checkpoint.

    A method with ``Flexibility.ARBITRARY`` opens its checkpoint in ``load``. Other methods open
    the checkpoint that covers the style in ``prepare``. A method that overrides ``load`` or
    ``prepare`` must call the base method first.

    The parameters in ``runtime_params`` do not affect training; all others do. A checkpoint
    matches a method if it agrees with every training parameter that the user or a suite has
    set. The other training parameters come from the checkpoint.
    """

    recipe: ClassVar[Recipe]
    runtime_params: ClassVar[frozenset[str]] = frozenset()
    """Names of the parameters that do not affect training, for example a strength."""
    starts_from: ClassVar[frozenset[str]] = frozenset()
    """Names of other methods whose checkpoints a training can begin with (``--start``)."""

    device: torch.device
    library: Library | None = None
    """The library that is searched for checkpoints; ``None`` for the installed one."""
    opened: Checkpoint | None = None
    """The checkpoint in use."""

    @abstractmethod
    def training(self, task: Task) -> Training:
        """Return networks, losses and optimisers for a training under ``self.params``."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Build the networks on ``self.device`` from what ``Training.weights`` returned.

        Args:
            tensors: tensors by the same names, float32, on the CPU.
            params: the ``Params`` under which the networks were trained, with the values of
                this method for ``runtime_params``.
        """

    # -- finding a checkpoint ---------------------------------------------------------------

    @classmethod
    def checkpoint_name(cls) -> str:
        """Return the name of this method in checkpoints: the stem of its file."""
        return cls.__module__.rpartition(".")[2]

    def covers(self, checkpoint: Checkpoint, style: Picture | ImageRecord | None) -> bool:
        """Return True if a checkpoint can be used for a style.

        Checkpoints of arbitrary methods cover every style. If the style of a method is a
        collection, a checkpoint covers all pictures of the collections it was trained on.
        Checkpoints of other methods cover the pictures they were trained on, which are
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
        """Return the checkpoints that match these parameters, the best first."""
        library = self.library or installed()
        return library.find(self.checkpoint_name(), self.decisive_params(given=True))

    def checkpoint(self, style: Picture | ImageRecord | None) -> Checkpoint | None:
        """Return the best checkpoint for a style under these parameters, or ``None``."""
        return next((each for each in self.checkpoints() if self.covers(each, style)), None)

    def decisive_params(self, *, given: bool = False) -> dict[str, Any]:
        """Return the parameters that affect training, as plain data.

        Args:
            given: True to return only those that the user or a suite has set.
        """
        plain = self.params.model_dump(mode="json", exclude_unset=given)
        return {name: plain[name] for name in plain if name not in self.runtime_params}

    def deviations(self) -> tuple[str, ...]:
        """Return the deviations of the method and of the trainings of its checkpoints."""
        trained = (text for each in self.checkpoints() for text in each.card.deviations)
        return (*self.info.deviations, *dict.fromkeys(trained))

    def supports(self, style: ImageRecord) -> Availability:
        """Return "needs training", with the command, if no checkpoint covers the style."""
        if self.checkpoint(style) is not None:
            return Availability()
        return Availability(False, "needs training", self.training_command(style))

    def training_command(self, style: ImageRecord) -> str:
        """Return the command that trains this method for a style under its parameters."""
        given = self.decisive_params(given=True)
        params = ",".join(f"{name}={json.dumps(value)}" for name, value in given.items())
        name = self.checkpoint_name()
        option = {
            StyleUse.ONE: ["--style", str(style.path)],
            StyleUse.SET: ["--styles", str(style.path.parent)],
            StyleUse.STREAM: ["--styles", str(style.path.parent)],
            StyleUse.NONE: [],
        }[self.recipe.styles]
        command = ["nstbench", "train", f"{name}:{params}" if params else name, *option]
        # The default contents of a training are also those of a run: name other photographs.
        return f"Run: {shlex.join(command)} --contents FOLDER_OF_PHOTOGRAPHS"

    def style_weights(self, style: ImageRecord) -> tuple[WeightCard, ...]:
        """Return the card of the checkpoint for a style, if there is one."""
        checkpoint = self.checkpoint(style)
        return () if checkpoint is None else (checkpoint.describe(),)

    # -- the contract of methods --------------------------------------------------------------

    def load(self, device: torch.device) -> None:
        """Set the device; open the checkpoint if the method does arbitrary styles.

        Raises:
            WeightsError: if there is no checkpoint, or its file is damaged.
        """
        self.device = device
        if self.info.flexibility == Flexibility.ARBITRARY:
            self.open(None)

    def prepare(self, style: Picture) -> None:
        """Open the checkpoint that covers the style, unless the method does arbitrary styles.

        Raises:
            WeightsError: if there is no checkpoint, or its file is damaged.
        """
        if self.info.flexibility != Flexibility.ARBITRARY:
            self.open(style)

    def open(self, style: Picture | None) -> Checkpoint:
        """Use the checkpoint for a style from now on, and return it.

        Networks are rebuilt only if another checkpoint was in use.

        Raises:
            WeightsError: if there is no checkpoint, or its file is damaged.
        """
        checkpoint = self.checkpoint(style)
        if checkpoint is None:
            wanted = f"the style '{style.name}'" if style is not None else "this method"
            raise WeightsError(
                f"{self.checkpoint_name()} has no checkpoint for {wanted} under these parameters; "
                "train one with `nstbench train`"
            )
        if self.opened is None or self.opened.card.sha256 != checkpoint.card.sha256:
            # New networks draw random weights before the checkpoint's replace them. This must
            # not advance the generator of the caller.
            with torch.random.fork_rng(devices=[]):
                self.restore(checkpoint.tensors(), self.trained_params(checkpoint))
            self.opened = checkpoint
        return checkpoint

    def trained_params(self, checkpoint: Checkpoint) -> Any:
        """Return the parameters of a checkpoint, with the runtime parameters of this method.

        Raises:
            WeightsError: if the card has parameters that the method no longer has.
        """
        runtime = self.params.model_dump(include=set(self.runtime_params))
        try:
            return check_params(
                type(self).Params, {**checkpoint.card.params, **runtime}, "checkpoint"
            )
        except UsageError as error:
            raise WeightsError(f"{checkpoint.path}: {error}") from error

    def training_seconds(self) -> float | None:
        """Return the seconds of training of the checkpoint in use, from fresh weights.

        ``None`` if no checkpoint is in use: networks of other authors do not state a time.
        """
        return self.opened.card.total_seconds if self.opened is not None else None
