"""The configuration of a run: one model for suites, YAML files, the CLI and the API."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nstbench.core.environment import check_device
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.yaml_values import (
    add_parameter,
    names_or_all,
    read_size,
    read_yaml,
    split_outside_brackets,
)
from nstbench.plan.config_paths import resolve_paths
from nstbench.plan.study import Study
from nstbench.plugins.programs.entry import Program, take_programs

SUITES = Path(__file__).parent / "suites"
DEFAULT_SUITE = "starter"
_MOST_BYTES = 100_000
_LONGEST = 200
_MOST_PAIRS = 1024
# Options that are repeated and named by what they take one at a time.
_OPTIONS = {"seeds": "--seed", "formats": "--format", "plugins": "--plugin"}


class MethodSpec(BaseModel):
    """A method and the parameters in which it departs from its defaults.

    ``label`` is how the variant is called on the board; by default it is the
    method's name followed by the parameters that were given by hand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    label: str = ""

    @property
    def variant(self) -> str:
        """Label on the board."""
        if self.label:
            return self.label
        given = ",".join(f"{key}={_plain(value)}" for key, value in self.params.items())
        return f"{self.name}:{given}" if given else self.name


class RunConfig(BaseModel):
    """Everything that decides what a run does.

    Suites and configuration files may set any of these fields; command-line
    options set them last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str = Field("", description="suite that gave the defaults of this run")
    suite_version: int = Field(0, description="raised when a suite's pictures or settings change")
    methods: tuple[MethodSpec, ...] | Literal["all"] = Field(
        "all", description="methods to run, or 'all' of the registry"
    )
    programs: tuple[Program, ...] = Field(
        (), description="programs that are methods; entries of `methods` with a `command` come here"
    )
    method_params: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="parameters a suite gives to methods, below those given by hand",
    )
    study: Study | None = Field(
        None,
        description="a parameter grid of one method, run as variants; `methods`, where it is "
        "given, names further methods to draw beside them",
    )
    metrics: tuple[str, ...] | Literal["all"] = Field("all", description="metrics to compute")
    contents: str = Field("starter", description="dataset or folder of content pictures")
    styles: str = Field("starter", description="dataset or folder of style pictures")
    limit: int | None = Field(None, ge=1, description="use only the first N contents and styles")
    contents_per_style: int | None = Field(
        None,
        ge=1,
        description="pair each style with this many contents, in rotation; all of them if unset",
    )
    size: int = Field(512, ge=32, le=8192, description="side of the pictures in pixels")
    timing_sizes: tuple[int, ...] = Field((), description="sizes to time at; `size` if empty")
    fit: Literal["crop", "inside"] = Field(
        "crop", description="centre-crop to a square, or keep the aspect and fit inside one"
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one repetition per seed")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    executor: Literal["local", "ray"] = Field(
        "local", description="local: workers on this machine; ray: on the nodes of a Ray cluster"
    )
    ray_address: str | None = Field(
        None, description="Ray cluster (auto, host:port); one is started here if unset"
    )
    devices: tuple[str, ...] = Field(
        (), description="devices that workers take in turn; the first one scores and times"
    )
    workers: int | None = Field(
        None, ge=1, le=1024, description="worker processes; one per device if unset"
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads of timing and of each worker; all available if unset"
    )
    worker_threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of each worker, if others than `threads`; its share of the cores "
        "if neither is set",
    )
    pairs_per_batch: int | Literal["auto"] = Field(
        "auto",
        description="pairs of one variant that a worker does at once, where its method can; auto: "
        "1 on processors, on GPUs as many as memory allows, up to 16",
    )
    memory_limit: int | None = Field(
        None, gt=0, description="bytes that a worker may take (4GiB); a unit that needs more is oom"
    )
    timing_repeats: int = Field(10, ge=0, description="timed calls per method and size; 0 for none")
    timeout: float = Field(3600, gt=0, description="seconds after which one unit is stopped")
    out: Path | None = Field(
        None, description="run folder; runs/<suite> in the working folder if unset"
    )
    resume: Literal["missing", "never", "always"] = Field(
        "missing",
        description="missing: run what has no result; never: run everything again; "
        "always: accept results made by other versions of a method's code, too",
    )
    retry: tuple[Literal["failed", "timeout", "oom", "skipped", "unavailable"], ...] = Field(
        (), description="run units with these outcomes again"
    )
    formats: tuple[str, ...] = Field(
        ("html", "csv", "md", "parquet"), description="report files to write"
    )
    plugins: tuple[Path, ...] = Field((), description="files with further plug-ins")
    train_missing: bool = Field(
        False, description="first train methods that have no checkpoint for a style"
    )
    train_steps: int | None = Field(
        None, ge=1, description="steps of such a training; the method's recipe if unset"
    )
    train_contents: str = Field(
        "", description="dataset or folder of its contents; those of the run if unset"
    )

    @field_validator("device", "devices")
    @classmethod
    def _known_device(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for device in (value,) if isinstance(value, str) else value:
            check_device(device)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for seed in value:
            if value.count(seed) > 1:
                raise ValueError(f"seed {seed} is given twice, and would repeat the same work")
        return value

    @field_validator("pairs_per_batch", mode="before")
    @classmethod
    def _read_count(cls, value: Any) -> Any:
        found = int(value) if isinstance(value, str) and value.isdecimal() else value
        if found != "auto" and (type(found) is not int or not 1 <= found <= _MOST_PAIRS):
            raise ValueError(f"must be auto or a number from 1 to {_MOST_PAIRS}")
        return found

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _read_size(cls, value: Any) -> Any:
        return read_size(value) if isinstance(value, str) else value

    @field_validator("methods", mode="before")
    @classmethod
    def _parse_methods(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse_methods(value)
        if isinstance(value, Sequence):
            parsed: list[Any] = []
            for entry in value:
                more = parse_methods(entry) if isinstance(entry, str) else (entry,)
                if more == "all":
                    return more
                parsed.extend(more)
            return tuple(parsed)
        return value

    @field_validator("metrics", "formats", "retry", "devices", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return names_or_all(value) if isinstance(value, str) else value

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        custom = f"sweep_{self.study.method}" if self.study else "custom"
        return self.out or Path("runs") / (self.suite or custom)


def suites() -> dict[str, Path]:
    """Return suite name -> file, sorted by name; those in folders are called ``folder/name``."""
    files = (path.relative_to(SUITES) for path in SUITES.rglob("*.yaml"))
    return {file.with_suffix("").as_posix(): SUITES / file for file in sorted(files)}


def build_config(
    options: Mapping[str, Any], *, suite: str | None = None, file: Path | None = None
) -> RunConfig:
    """Combine a suite, a configuration file and options, the later ones winning.

    Programs that the file defines among its methods can be named in the options. Paths in the
    file begin in its folder, those in options in the working folder.

    A run on the user's own pictures starts from the default suite as well, so
    that its methods run with the same settings as on the published board.

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
        # the rotation is designed for the suite's own pictures
        merged.pop("contents_per_style", None)
    if own_pictures or "study" in given:
        # its settings are used, but this is not the work that its name stands for
        merged["suite"], merged["suite_version"] = "", 0
    if merged.get("study") is not None:
        # "all", the default elsewhere, would bury the study's variants
        merged.setdefault("methods", ())
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_describe(error, file)) from None


def parse_methods(text: str) -> tuple[MethodSpec, ...] | Literal["all"]:
    """Parse ``"all"`` or ``"a,b:param=value,other=value,c"``.

    A part with ``=`` continues the parameters of the method before it; values are
    YAML, so ``sizes=[128,256]`` is a list and ``init=noise`` a string.
    """
    if text.strip() == "all":
        return "all"
    specs: list[tuple[str, dict[str, Any]]] = []
    for part in split_outside_brackets(text):
        name, colon, rest = part.partition(":")
        if "=" in name:
            if not specs:
                raise ValueError(f"'{part}' gives a parameter before any method is named")
            add_parameter(specs[-1][1], part)
            continue
        specs.append((name.strip(), {}))
        if colon:
            add_parameter(specs[-1][1], rest)
    if not specs:
        raise ValueError("no method is named; write 'all' or names separated by commas")
    return tuple(MethodSpec(name=name, params=params) for name, params in specs)


def parse_named(text: str) -> tuple[str, dict[str, Any]]:
    """Parse ``"name"`` or ``"name:param=value,param=value"`` of a dataset."""
    name, colon, rest = text.partition(":")
    params: dict[str, Any] = {}
    for part in split_outside_brackets(rest) if colon else ():
        add_parameter(params, part)
    return name, params


def _plain(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


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
                f"The configuration file {path} has more than {_MOST_BYTES:,} bytes, and so is "
                "hardly one."
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


def option_of(setting: str) -> str:
    """Return the option of ``nstbench run`` that sets a setting."""
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")


def _shown(value: Any) -> str:
    """Return a value on one short line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _describe_method(loc: tuple[int | str, ...], reason: str) -> str:
    """Describe what is wrong with one of the methods; ``loc`` begins with its index."""
    entry, field = f"methods, entry {int(loc[0]) + 1}", str(loc[-1])
    if field not in MethodSpec.model_fields and len(loc) == 2:
        known = (*MethodSpec.model_fields, "command")
        return f"{entry}: there is no setting called '{field}'.{did_you_mean(field, known)}"
    return f"{entry}: {field}: {reason.removeprefix('Value error, ')}."


def _describe_study(loc: tuple[int | str, ...], reason: str) -> str:
    """Describe what is wrong with a study, which is a grid to whoever typed ``nstbench sweep``."""
    field = str(loc[0]) if loc else ""
    if field and field not in Study.model_fields:
        return f"A study has no setting '{field}'.{did_you_mean(field, Study.model_fields)}"
    where = f"study, {field}" if field not in ("", "grid") else "--grid"
    return f"{where}: {reason.removeprefix('Value error, ')}."
