"""The configuration of a run: one model for suites, files, the command line and the API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from nstbench.core.environment import check_device
from nstbench.core.yaml_values import (
    add_parameter,
    names_or_all,
    read_numbers,
    read_size,
    split_outside_brackets,
)
from nstbench.plan.study import Study
from nstbench.plugins.programs.entry import Program

_LONGEST = 200
_CHECKSUM = 8
_OF_THE_PLAN = {
    "methods", "programs", "method_params", "study", "contents", "styles", "limit",
    "contents_per_style", "size", "fit", "seeds", "plugins",
}  # fmt: skip
_MOST_PAIRS = 1024


class MethodSpec(BaseModel):
    """A method, with the parameters that differ from its defaults.

    ``label`` is the name of the variant on the board; the default is the method's name
    followed by the given parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    label: str = ""

    @property
    def board_label(self) -> str:
        """Label on the board."""
        if self.label:
            return self.label
        given = ",".join(f"{key}={_plain(value)}" for key, value in self.params.items())
        return f"{self.name}:{given}" if given else self.name


class RunConfig(BaseModel):
    """The settings of a run.

    Suites and configuration files may set any of these fields; options of the command line
    have priority. The options of ``nstbench run`` are made from the fields: the descriptions are
    the help texts, and ``nstbench.cli.options.model_options`` reads ``json_schema_extra``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str = Field("", description="suite that gives the defaults of the other settings")
    suite_version: int = Field(
        0,
        description="version of the suite, raised when its pictures or settings change",
        json_schema_extra={"option": False},
    )
    methods: tuple[MethodSpec, ...] | Literal["all"] = Field(
        "all", description="methods to run: all, or names with parameters: a,b:param=value"
    )
    programs: tuple[Program, ...] = Field(
        (), description="programs that run as methods; entries of `methods` with a `command`"
    )
    method_params: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="parameters of methods; those given in `methods` replace them",
    )
    study: Study | None = Field(
        None,
        description="parameter grid of one method, run as variants; `methods` then names "
        "additional methods for comparison",
    )
    metrics: tuple[str, ...] | Literal["all"] = Field(
        "all",
        description="metrics to compute: all, core (those that are trusted), field (those that "
        "papers print), or names: a,b",
    )
    contents: str = Field("starter", description="dataset or folder of content pictures")
    styles: str = Field("starter", description="dataset or folder of style pictures")
    limit: int | None = Field(None, ge=1, description="use only the first N contents and styles")
    contents_per_style: int | None = Field(
        None,
        ge=1,
        description="contents that each style is paired with, in rotation; all if unset",
    )
    size: int = Field(512, ge=32, le=8192, description="side of the pictures in pixels")
    timing_sizes: tuple[int, ...] = Field(
        (),
        description="sides at which methods are timed: 256,512; repeatable; the size of the run if "
        "unset",
        json_schema_extra={"option": "--timing-size"},
    )
    fit: Literal["crop", "inside", "stretch"] = Field(
        "crop",
        description="part of a picture to use; crop: the central square; inside: all; stretch: "
        "all, resized to a square",
    )
    seeds: tuple[int, ...] = Field(
        (0,),
        min_length=1,
        description="seeds, each a repetition of all units: 0,1,2; repeatable",
        json_schema_extra={"option": "--seed"},
    )
    device: str = Field("auto", description="device: auto, cpu, cuda or cuda:N")
    executor: Literal["local", "ray"] = Field(
        "local",
        description="where workers run; local: on this machine; ray: on the nodes of a Ray cluster",
    )
    ray_address: str | None = Field(
        None, description="address of the Ray cluster: auto or host:port; if unset, one is started"
    )
    devices: tuple[str, ...] = Field(
        (),
        description="devices of the workers, in turn: cuda:0,cuda:1; the first one also scores and "
        "times",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="worker processes; if unset, one per device, and in a long run on a CPU as "
        "many as a measurement shows to be fastest",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of timing and of each worker; if unset, timing takes all "
        "available cores and local workers share them",
    )
    pairs_per_batch: int | Literal["auto"] = Field(
        "auto",
        description="pairs of one variant that a worker processes at once, if the method supports "
        "it; auto: 1 on CPUs; on GPUs as many as fit in memory, at most 16",
    )
    memory_limit: int | None = Field(
        None,
        gt=0,
        description="memory limit of each worker, for example 4GiB; a unit that needs more gets "
        "the status oom",
        json_schema_extra={"text": True},
    )
    timing_repeats: int = Field(
        10, ge=0, description="timed calls per method and size; 0: no timing"
    )
    timing_seconds: float | None = Field(
        None,
        gt=0,
        description="most seconds of the timing stage, which says what it leaves out; a quarter of "
        "the time of generation, and at least 60, if unset",
    )
    timeout: float = Field(3600, gt=0, description="time limit of a unit in seconds")
    out: Path | None = Field(
        None,
        description="run folder; if unset, runs/<suite> in the working folder, and for other "
        "methods, pictures or settings than those of a suite a folder of their own: "
        "runs/<name>-<checksum>",
    )
    resume: Literal["missing", "never", "always"] = Field(
        "missing",
        description="existing results; missing: run the units without a result; never: run all "
        "units again; always: also accept results of other versions of a method's code",
    )
    retry: tuple[Literal["failed", "timeout", "oom", "skipped", "unavailable"], ...] = Field(
        (), description="statuses of units to run again: failed,timeout,oom"
    )
    formats: tuple[str, ...] = Field(
        ("html", "csv", "md", "parquet"),
        description="report files to write: html,csv",
        json_schema_extra={"option": "--format"},
    )
    plugins: tuple[Path, ...] = Field(
        (),
        description="Python file that defines a plug-in; repeatable",
        json_schema_extra={"option": "--plugin"},
    )
    train_missing: bool = Field(
        False, description="first train each method that has no checkpoint for a style"
    )
    train_steps: int | None = Field(
        None,
        ge=1,
        description="steps of a training for a missing checkpoint; if unset, those of the method",
    )
    train_contents: str = Field(
        "",
        description="dataset or folder of contents for such a training; if unset, those of the run",
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

    @field_validator("seeds", "timing_sizes", mode="before")
    @classmethod
    def _split_numbers(cls, value: Any) -> Any:
        return read_numbers(value)

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
        """Folder of the run; ``build_config`` sets ``out`` where the suite does not decide it."""
        return self.out or Path("runs") / (self.suite or self.folder_name)

    @property
    def folder_name(self) -> str:
        """Name of a folder that no run with other units has: a word and a short checksum."""
        word = f"sweep_{self.study.method}" if self.study else self.suite or "custom"
        return f"{word}-{self.plan_checksum[:_CHECKSUM]}"

    @property
    def plan_checksum(self) -> str:
        """Checksum of the settings that decide the units."""
        settings = self.model_dump(mode="json", include=_OF_THE_PLAN)
        text = json.dumps(settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


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


def option_of(setting: str, model: type[BaseModel] = RunConfig) -> str:
    """Return the name of the command-line option for a field of a model.

    Example:
        >>> option_of("timing_repeats"), option_of("seeds")
        ('--timing-repeats', '--seed')
    """
    field = model.model_fields.get(setting)
    extra = field.json_schema_extra if field is not None else None
    name = extra.get("option") if isinstance(extra, dict) else None
    return str(name or f"--{setting.replace('_', '-')}")


def _shown(value: Any) -> str:
    """Return a value on one short line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
