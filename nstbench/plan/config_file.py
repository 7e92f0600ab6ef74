"""Configuration files and suites, combined with options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.yaml_values import (
    read_yaml,
)
from nstbench.plan.config import _LONGEST, MethodSpec, RunConfig, _shown, option_of
from nstbench.plan.study import Study
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import take_programs

SUITES = Path(__file__).parent / "suites"


DEFAULT_SUITE = "starter"


_PICTURE_SETTINGS = ("contents", "styles", "train_contents")
_MOST_BYTES = 100_000


def suites() -> dict[str, Path]:
    """Return suite name -> file, sorted by name; those in folders are called ``folder/name``."""
    files = (path.relative_to(SUITES) for path in SUITES.rglob("*.yaml"))
    return {file.with_suffix("").as_posix(): SUITES / file for file in sorted(files)}


def build_config(
    options: Mapping[str, Any], *, suite: str | None = None, file: Path | None = None
) -> RunConfig:
    """Combine a suite, a configuration file and options; later ones have priority.

    Options may name programs that the file defines among its methods. Paths in the file are
    relative to its folder, paths in options to the working folder.

    A run on the user's own pictures also starts from the default suite, so that its methods
    have the same settings as on the published board.

    Raises:
        UsageError: if a name or value is wrong; the message names the option.
    """
    folder = file.parent if file else Path()
    from_file, programs = take_programs(
        read_settings(file) if file else {}, folder, str(file or "")
    )
    from_file = resolve_paths(from_file, folder, tuple(options.get("plugins") or ()))
    name = suite or from_file.pop("suite", None) or DEFAULT_SUITE
    known = suites()
    if not isinstance(name, str):
        raise UsageError(f"suite: must be the name of a suite (got {_shown(name)}) (in {file}).")
    if name not in known:
        where = "" if suite or file is None else f" (in {file})"
        raise UsageError(
            f"There is no suite called '{name[:_LONGEST]}'.{did_you_mean(name, known)} "
            f"`nstbench list suites` shows all of them.{where}"
        )
    given, more = take_programs(
        {key: value for key, value in options.items() if value is not None}, Path(), "methods"
    )
    own_pictures = {"contents", "styles"} & (given.keys() | from_file.keys())
    merged = {**read_settings(known[name]), "suite": name, **from_file, **given}
    merged["programs"] = {program.name: program for program in (*programs, *more)}.values()
    if own_pictures and "contents_per_style" not in given.keys() | from_file.keys():
        # the rotation is made for the pictures of the suite
        merged.pop("contents_per_style", None)
    if own_pictures or "study" in given:
        # the run has settings of the suite, but not its pictures or methods
        merged["suite"], merged["suite_version"] = "", 0
    if merged.get("study") is not None:
        # the default "all" would add every method to the variants of the study
        merged.setdefault("methods", ())
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_describe(error, file)) from None


def read_settings(path: Path) -> dict[str, Any]:
    """Read a configuration file: TOML if it is called so, otherwise YAML.

    Raises:
        UsageError: if it cannot be read or holds something else.
    """
    language = "TOML" if path.suffix.lower() == ".toml" else "YAML"
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"The configuration file {path} is not a regular file.")
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise UsageError(
                f"The configuration file {path} is larger than {_MOST_BYTES // 1000} kB; this is "
                "probably not a configuration file."
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error}") from None
    try:
        data = tomllib.loads(text) if language == "TOML" else read_yaml(text)
    except ValueError as error:
        raise UsageError(
            f"The configuration file {path} is not valid {language}: {error}"
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"The configuration file {path} must hold `name: value` lines.")
    return data


def _describe(error: ValidationError, file: Path | None) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "configuration"
        if name == "study":
            lines.append(_describe_study(problem["loc"][1:], problem["msg"]))
        elif name == "methods" and len(problem["loc"]) > 2:
            lines.append(_describe_method(problem["loc"][2:], problem["msg"]))
        elif name == "methods" and lines:
            continue  # the other way to give methods, which was not meant
        elif problem["type"] == "extra_forbidden":
            hint = did_you_mean(name, RunConfig.model_fields)
            lines.append(f"There is no setting called '{name}'.{hint}")
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{option_of(name)}: {reason} (got {_shown(problem['input'])})")
    where = f" (in {file} or on the command line)" if file else ""
    return "\n".join(lines) + where


def _describe_method(loc: tuple[int | str, ...], reason: str) -> str:
    """Describe an error in one of the methods; ``loc`` begins with its index."""
    entry, field = f"methods, entry {int(loc[0]) + 1}", str(loc[-1])
    if field not in MethodSpec.model_fields and len(loc) == 2:
        known = (*MethodSpec.model_fields, "command")
        return f"{entry}: there is no setting called '{field}'.{did_you_mean(field, known)}"
    return f"{entry}: {field}: {reason.removeprefix('Value error, ')}."


def _describe_study(loc: tuple[int | str, ...], reason: str) -> str:
    """Describe an error in a study; ``nstbench sweep`` calls it a grid."""
    field = str(loc[0]) if loc else ""
    if field and field not in Study.model_fields:
        return f"A study has no setting '{field}'.{did_you_mean(field, Study.model_fields)}"
    where = f"study, {field}" if field not in ("", "grid") else "--grid"
    return f"{where}: {reason.removeprefix('Value error, ')}."


def resolve_paths(
    settings: Mapping[str, Any], folder: Path, more_plugins: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the settings of a file with all relative paths joined to its folder.

    These are folders of pictures (names of datasets stay names), ``out`` and ``plugins``.
    Programs join their working folders themselves. Values of wrong types are left unchanged;
    the validation reports them.

    Args:
        settings: settings of the file.
        folder: folder of the file.
        more_plugins: plug-in files of the options, which may define datasets, too.
    """
    found = dict(settings)
    if isinstance(found.get("out"), str):
        found["out"] = _joined(folder, found["out"])
    datasets = {*registry.names("datasets"), *(Path(file).stem for file in more_plugins)}
    plugins = found.get("plugins")
    if isinstance(plugins, list | tuple):
        found["plugins"] = [_joined(folder, p) if isinstance(p, str) else p for p in plugins]
        datasets |= {Path(p).stem for p in plugins if isinstance(p, str)}
    for name in _PICTURE_SETTINGS:
        text = found.get(name)
        if isinstance(text, str) and text and text.partition(":")[0] not in datasets:
            found[name] = _joined(folder, text)
    return found


def _joined(folder: Path, text: str) -> str:
    return str(folder / Path(text).expanduser())
