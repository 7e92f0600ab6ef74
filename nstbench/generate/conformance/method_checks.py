"""The contract of methods as executable checks.

The tests of the project run them on every registered method. Authors of plug-ins run the same
checks with ``nstbench conformance``.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import nstbench
from nstbench.contracts import Method, Picture, PreparedPair
from nstbench.core.errors import UsageError
from nstbench.core.isolation import isolated
from nstbench.core.records import Flexibility, ImageRecord, Step
from nstbench.generate.outcomes import check_output
from nstbench.generate.traces import ignore
from nstbench.plugins import registry
from nstbench.plugins.params import check_params
from nstbench.training.checkpoints import Card, Checkpoint, Library, StyleCard, look_of
from nstbench.training.steps.plain import plain_step
from nstbench.training.trainable import StyleUse, Task, TrainableMethod

CPU = torch.device("cpu")
# Half a grey level: batch kernels round differently, and line searches amplify the difference.
_BATCH_TOLERANCE = 0.002
Check = Callable[[type[Method]], None]


class ConformanceError(AssertionError):
    """A plug-in breaks the contract; the message says where and how to fix it."""


def demand(condition: bool, message: str) -> None:
    """Raise :class:`ConformanceError` with the message unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


def example(height: int = 64, width: int = 64, kind: int = 0) -> Picture:
    """Return a small synthetic picture with a semantic map of two regions.

    Args:
        height: in pixels.
        width: in pixels.
        kind: 0 for a smooth scene, 1 or 2 for a texture.

    Example:
        >>> example(32, 48).pixels.shape
        torch.Size([1, 3, 32, 48])
    """
    rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
    columns = torch.linspace(0, 1, width)[None].expand(height, width)
    if kind == 0:
        disc = ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.06).float()
        planes = [rows * 0.6 + 0.3 * disc, columns * 0.7, 0.8 - 0.5 * disc]
    else:
        wave = torch.sin((18 + 9 * kind) * (rows + (kind - 1.5) * columns))
        planes = [0.5 + 0.4 * wave, 0.4 + 0.3 * wave.abs(), 0.6 - 0.3 * wave * rows]
    label = torch.stack([(columns > 0.5).float(), (columns <= 0.5).float(), 0 * rows])[None]
    pixels = torch.stack(planes)[None].clamp(0, 1)
    name = f"example{kind}"
    record = ImageRecord(name, Path(name), collection=name)
    return Picture(pixels, name, name, record, semantic_map=label)


def make(cls: type[Method]) -> Method:
    """Return a loaded method with its quick parameters.

    A method that needs training gets checkpoints that were trained for two steps on the
    pictures of :func:`example`.
    """
    method = cls(cls.Params(**cls.quick))
    if isinstance(method, TrainableMethod):
        method.library = trained_quickly(type(method))
    method.load(CPU)
    return method


@cache
def trained_quickly(cls: type[TrainableMethod]) -> Library:
    """Return checkpoints in memory, trained for two steps on the pictures of :func:`example`."""
    styles = (example(72, 64, 1), example(kind=1), example(kind=2))
    method = cls(cls.Params(**cls.quick))
    groups: list[tuple[Picture, ...]] = [styles]
    if cls.recipe.styles == StyleUse.ONE:
        groups = [(style,) for style in styles]
    with isolated():
        return Library(loaded=tuple(_trained(method, group) for group in groups))


def _trained(method: TrainableMethod, styles: tuple[Picture, ...]) -> Checkpoint:
    torch.manual_seed(0)
    recipe = replace(method.recipe, steps=2, size=64, batch=2, style_size=64)
    fixed = styles if recipe.styles in (StyleUse.ONE, StyleUse.SET) else ()
    training = method.training(Task(recipe, CPU, fixed, contextlib.nullcontext))

    for index in range(recipe.steps):
        streamed = torch.cat([style.pixels for style in styles[-2:]])
        losses = plain_step(
            training,
            index,
            contents=example().pixels.expand(2, -1, -1, -1).clone(),
            styles=streamed if recipe.styles == StyleUse.STREAM else None,
        )
        for name, loss in losses.items():
            demand(loss.dim() == 0 and not loss.requires_grad, f"loss {name} is not a detached 0-d")
            demand(bool(loss.isfinite()), f"loss {name} is not finite after {index} steps")
    card = Card(
        method=method.checkpoint_name(),
        params=method.decisive_params(),
        styles=tuple(StyleCard(name=style.name, look=look_of(style)) for style in fixed),
        collections=tuple(sorted({style.name for style in styles})),
        content_data="one example", steps=recipe.steps, size=64, style_size=64, batch=2,
        learning_rate=recipe.learning_rate, seed=0, seconds=0.0, finished="",
        sha256=styles[0].name + str(styles[0].height),
    )  # fmt: skip
    return Checkpoint(card, memory={k: t.detach().clone() for k, t in training.weights().items()})


def call(method: Method, content: Picture, seed: int = 0, steps: list[Step] | None = None) -> Any:
    """Return the output of ``stylize`` with a seeded generator; append its steps to ``steps``."""
    collect = steps.append if steps is not None else ignore
    generator = torch.Generator().manual_seed(seed)
    return method.stylize(content, generator=generator, on_step=collect)


# --- the checks --------------------------------------------------------------------------


def states_its_facts(cls: type[Method]) -> None:
    """``info`` is complete, and the class has a docstring."""
    info = cls.info
    required = ["title", "family"]
    if info.flexibility != Flexibility.BASELINE:
        required += ["authors", "paper"]
    for field in required:
        demand(bool(getattr(info, field)), f"info.{field} is empty")
    demand(info.flexibility in set(Flexibility), f"info.flexibility is {info.flexibility!r}")
    demand(bool(inspect.getdoc(cls)), "the class has no docstring")


def documents_its_parameters(cls: type[Method]) -> None:
    """Every parameter has a default and a description; unknown ones are refused."""
    for name, field in cls.Params.model_fields.items():
        demand(not field.is_required(), f"parameter {name} has no default")
        demand(bool(field.description), f"parameter {name} has no description")
    with contextlib.suppress(UsageError):
        check_params(cls.Params, {"no_such_parameter": 1}, "method")
        demand(False, "unknown parameters are accepted; derive Params from contracts.Parameters")


def declares_its_weights(cls: type[Method]) -> None:
    """``info.weights`` lists the weights that ``required_weights`` returns under the defaults."""
    listed = {weight.name for weight in cls.info.weights}
    needed = {weight.name for weight in cls(cls.Params()).required_weights()}
    demand(needed <= listed, f"info.weights does not list {sorted(needed - listed)}")


def returns_a_picture(cls: type[Method]) -> None:
    """The output has the content's shape, also for odd sizes; it is float32, finite, in [0, 1]."""
    method = make(cls)
    for height, width in ((64, 64), (65, 83)):
        method.prepare(example(72, 64, 1))
        content = example(height, width)
        check_output(call(method, content), content.pixels)


def repeats_under_a_seed(cls: type[Method]) -> None:
    """Two fresh instances with equal seeds return equal pictures."""
    outputs = []
    for _ in range(2):
        method = make(cls)
        method.prepare(example(kind=1))
        outputs.append(call(method, example(), seed=3))
    demand(torch.equal(*outputs), "two calls with one seed differ: draw from `generator` only")


def forgets_the_last_style(cls: type[Method]) -> None:
    """After a second style was prepared, the first has no effect."""
    reused, fresh = make(cls), make(cls)
    reused.prepare(example(kind=1))
    call(reused, example())
    reused.prepare(example(kind=2))
    fresh.prepare(example(kind=2))
    same = torch.equal(call(reused, example()), call(fresh, example()))
    demand(same, "the output depends on the style that was prepared before")


def leaves_its_input_alone(cls: type[Method]) -> None:
    """Content and style pixels are unchanged after the call."""
    content, style = example(), example(kind=1)
    before = content.pixels.clone(), style.pixels.clone()
    method = make(cls)
    method.prepare(style)
    call(method, content)
    demand(torch.equal(content.pixels, before[0]), "stylize changes the content picture")
    demand(torch.equal(style.pixels, before[1]), "the style picture is changed")


def leaves_the_world_alone(cls: type[Method]) -> None:
    """Global random state, gradient mode, number of threads and standard output are unchanged."""
    before = (torch.get_rng_state(), torch.is_grad_enabled(), torch.get_num_threads())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        method = make(cls)
        method.prepare(example(kind=1))
        call(method, example())
    demand(torch.equal(before[0], torch.get_rng_state()), "torch's global generator was used")
    demand(before[1] == torch.is_grad_enabled(), "the gradient mode was changed")
    demand(before[2] == torch.get_num_threads(), "the number of threads was changed")
    demand(not printed.getvalue(), "the method prints; report progress through on_step")


def counts_its_steps(cls: type[Method]) -> None:
    """Reported steps are in order, do not exceed their total and have finite losses."""
    steps: list[Step] = []
    method = make(cls)
    method.prepare(example(kind=1))
    call(method, example(), steps=steps)
    indices = [step.index for step in steps]
    demand(indices == sorted(indices), f"step indices go back: {indices[:10]}")
    for step in steps:
        demand(step.index <= step.total, f"step {step.index} of {step.total}")
        for name, value in step.losses.items():
            demand(bool(torch.isfinite(torch.as_tensor(value))), f"loss {name} is not finite")


def does_batches_like_pairs(cls: type[Method]) -> None:
    """A method that processes batches returns the same pictures as for one pair at a time."""
    method = make(cls)
    if not method.does_batches():
        return
    pairs, singles = [], []
    for seed, (kind, width) in enumerate(((1, 64), (1, 64), (2, 64), (2, 72))):
        method.prepare(example(kind=kind))
        content = example(width=width, kind=seed % 2)
        singles.append(call(method, content, seed))
        generator = torch.Generator().manual_seed(seed)
        pairs.append(PreparedPair(copy.copy(method), str(kind), content, generator, ignore))
    outputs = method.stylize_batch(pairs)
    demand(len(outputs) == len(pairs), f"{len(outputs)} outputs for {len(pairs)} pairs")
    for output, single, pair in zip(outputs, singles, pairs, strict=True):
        check_output(output, pair.content.pixels)
        assert isinstance(output, torch.Tensor)
        difference = float((output - single).abs().mean())
        demand(
            difference < _BATCH_TOLERANCE,
            f"a picture of a batch differs by {difference:.2g} on average from its pair's",
        )


METHOD_CHECKS: tuple[Check, ...] = (
    states_its_facts,
    documents_its_parameters,
    declares_its_weights,
    returns_a_picture,
    repeats_under_a_seed,
    forgets_the_last_style,
    leaves_its_input_alone,
    leaves_the_world_alone,
    counts_its_steps,
    does_batches_like_pairs,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check.

    Attributes:
        check: name of the check.
        demands: what the check demands of a method, as a sentence.
        problem: message of the failure; empty if the check passed.
        seconds: duration of the check.
    """

    check: str
    demands: str
    problem: str
    seconds: float


def examine(name: str) -> Iterator[Verdict]:
    """Run every check on one method and yield each result when it is there.

    Text that the method prints is dropped.

    Raises:
        UsageError: if there is no such method.
        PluginError: if it cannot be imported.
    """
    yield from verdicts(registry.load("methods", name), METHOD_CHECKS)


def verdicts(cls: type[Any], checks: Iterable[Callable[[Any], None]]) -> Iterator[Verdict]:
    """Run checks over one class of a plug-in and yield each verdict at once."""
    for check in checks:
        problem, start = "", time.perf_counter()
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                check(cls)
        except ConformanceError as error:
            problem = str(error)
        # The next check runs after any exception of the method.
        except (Exception, SystemExit) as error:
            problem = f"{type(error).__name__}: {error}{_place_of(error)}"
        demands = (inspect.getdoc(check) or "").partition("\n\n")[0].replace("``", "`")
        yield Verdict(check.__name__, demands, problem, time.perf_counter() - start)


def failures(name: str) -> dict[str, str]:
    """Run every check on one method; return check name -> message of those that fail."""
    return {verdict.check: verdict.problem for verdict in examine(name) if verdict.problem}


def _place_of(error: BaseException) -> str:
    """Return the file and line of the plug-in where an error was raised; empty if unknown."""
    here = Path(nstbench.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if here not in Path(frame.filename).parents:
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""
