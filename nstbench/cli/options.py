"""Options that several commands share, and options that are made from the fields of a model."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from nstbench.core.errors import UsageError, fix_for

if TYPE_CHECKING:
    from pydantic import BaseModel

CONTENTS = typer.Option(help="Dataset or folder of content pictures.")
STYLES = typer.Option(help="Dataset or folder of style pictures.")
METRICS = typer.Option(
    help="Metrics to compute: all, core (those that are trusted), field (those that papers print), "
    "or names: a,b."
)
FIRST = typer.Option(min=1, help="Use only the first N contents and styles.")
SIZE = typer.Option(min=32, max=8192, help="Side of the pictures in pixels.")
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:N.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="Python file that defines a plug-in; repeatable."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="YAML or TOML file with settings of a run."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
MethodName = Annotated[str, typer.Argument(help="Name of a method.")]


# --- options made from a model -----------------------------------------------------------


def add_command(
    app: typer.Typer,
    command: Callable[..., None],
    make_options: Callable[[], list[inspect.Parameter]],
) -> None:
    """Add a command that takes the options of a model in addition to its own.

    The options are made when the command is used, so that the list of all commands is shown
    without importing the model.

    Args:
        app: where the command is added, under the name of the function.
        command: the function. Its first parameter receives a mapping of the options that were
            given, by name; the others are Typer parameters.
        make_options: returns the options, see :func:`model_options`.
    """

    class Derived(TyperCommand):
        @cached_property
        def full(self) -> Any:
            app = typer.Typer(add_completion=False)
            app.command()(_with_options(command, make_options()))
            return typer.main.get_command(app)

        def get_params(self, ctx: Any) -> list[Any]:
            params: list[Any] = self.full.get_params(ctx)
            return params

        def invoke(self, ctx: Any) -> Any:
            return self.full.invoke(ctx)

    def listed() -> None:
        pass

    listed.__doc__ = command.__doc__
    app.command(command.__name__, cls=Derived)(listed)


def _with_options(
    command: Callable[..., None], options: list[inspect.Parameter]
) -> Callable[..., None]:
    """Return a function with the command's own parameters, without the first, and the options."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    def call(**given: Any) -> None:
        settings = {option.name: given.pop(option.name) for option in options}
        settings = {name: value for name, value in settings.items() if value not in (None, [])}
        command(settings, **given)

    required = [parameter for parameter in own if parameter.default is parameter.empty]
    optional = [parameter for parameter in own if parameter not in required]
    parameters = [*required, *options, *optional]
    # Typer reads the parameters from these attributes
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call


def model_options(model: type[BaseModel], without: Collection[str] = ()) -> list[inspect.Parameter]:
    """Return an option for each field of a model that can be written as text.

    The field's description becomes the help text. An option that is not given has the value
    ``None``, so that the model's default applies; its type is that of the field, where a tuple
    of numbers or paths is a repeatable option, and other tuples are text. The model splits text
    at commas, also that of numbers (``--seed 0,1``).

    Args:
        model: a pydantic model. ``json_schema_extra`` of a field may hold ``option``: the name
            of the option, or False for none; ``repeatable``: True for a tuple of text that takes
            one item at a time; and ``text``: True for a value that the model reads from text.
        without: names of fields that are left out.
    """
    from nstbench.plan.config import option_of

    options = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        repeatable, text = bool(extra.get("repeatable")), bool(extra.get("text"))
        kind = str if text else _option_type(field.annotation, repeatable)
        if kind is None or name in without or extra.get("option") is False:
            continue
        description = str(field.description)
        info = typer.Option(
            option_of(name, model),
            help=f"{description[:1].upper()}{description[1:]}.",
            metavar=_metavar(field.annotation),
        )
        annotation = Annotated[kind | None, info]  # type: ignore[valid-type]
        options.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
        )
    return options


def _option_type(annotation: Any, repeatable: bool) -> Any:
    """Return the type of an option for a field, or None if the field cannot be one option."""
    kinds = _alternatives(annotation)
    if len(kinds) == 1 and kinds[0] in (bool, int, float, Path):
        return kinds[0]
    if len(kinds) == 1 and get_origin(kinds[0]) is tuple:
        item = get_args(kinds[0])[0]
        if item is int:
            # the model splits 0,1
            return list[str]
        if item is Path or repeatable:
            return list[item]  # type: ignore[valid-type]
        return str if item is str or get_origin(item) is Literal else None
    # a field that accepts a word is given as text, and the model parses it
    texts = [kind for kind in kinds if kind is str or get_origin(kind) is Literal]
    return str if texts else None


def _alternatives(annotation: Any) -> list[Any]:
    """Return the types of a union except None; one type for any other annotation."""
    is_union = get_origin(annotation) in (Union, UnionType)
    kinds = get_args(annotation) if is_union else (annotation,)
    return [kind for kind in kinds if kind is not NoneType]


def _metavar(annotation: Any) -> str | None:
    """Return the words that a field accepts, as ``[crop|inside]``, or None if it has no list."""
    kinds = _alternatives(annotation)
    if len(kinds) == 1 and get_origin(kinds[0]) is Literal:
        return f"[{'|'.join(get_args(kinds[0]))}]"
    return None


# --- checks --------------------------------------------------------------------------------


def check_writable(option: str, path: Path) -> None:
    """Raise if a file cannot be written, so that a command refuses it before the work.

    Folders that do not exist yet are allowed: they are created with the file.

    Raises:
        UsageError: the message names the option, the reason and the fix.
    """
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if path.is_dir():
        code = errno.EISDIR
    elif there != path and not there.is_dir():
        code = errno.ENOTDIR
    elif not _may_write(there if there.is_dir() else there.parent):
        code = errno.EACCES
    else:
        return
    error = OSError(code, os.strerror(code))
    raise UsageError(f"{option} {path} cannot be written: {error.strerror}; {fix_for(error)}.")


def _may_write(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def add_plugins(files: list[Path] | None) -> None:
    """Register the files given with ``--plugin``.

    Raises:
        UsageError: if a file is missing or does not define one plug-in.
    """
    from nstbench.plugins import registry

    for file in files or []:
        registry.add_file(file)
