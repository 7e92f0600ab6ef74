"""The configuration of a run: one model for suites, files, the command line and the API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from nstbench.core.environment import check_device
from nstbench.core.yaml_values import (
    add_parameter,
    names_or_all,
    read_size,
    split_outside_brackets,
)
from nstbench.plan.study import Study
from nstbench.plugins.programs.entry import Program

_LONGEST = 200
_MOST_PAIRS = 1024
# options that are repeated have a name in the singular
_OPTIONS = {"seeds": "--seed", "formats": "--format", "plugins": "--plugin"}


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
    def variant(self) -> str:
        """Label on the board."""
        if self.label:
            return self.label
        given = ",".join(f"{key}={_plain(value)}" for key, value in self.params.items())
        return f"{self.name}:{given}" if given else self.name


class RunConfig(BaseModel):
    """The settings of a run.

    Suites and configuration files may set any of these fields; options of the command line
    have priority.
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


def option_of(setting: str) -> str:
    """Return the option of ``nstbench run`` that sets a setting."""
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")


def _shown(value: Any) -> str:
    """Return a value on one short line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
