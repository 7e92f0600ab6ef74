"""The entry of a configuration file that defines a program as a method."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.records import Flexibility
from nstbench.plugins.programs.templates import (
    check_names,
    check_unquoted,
    placeholders,
    plain_text,
    split_words,
)

PLACE = ("python", "device", "device_index", "threads")
"""Placeholders whose values do not depend on the picture."""

PICTURE = ("content", "style", "output", "out_dir", "content_name", "style_name",
           "size", "width", "height", "seed")  # fmt: skip
"""Placeholders whose values belong to one picture."""

# folders without code of the program itself
_UNWATCHED = {"site-packages", "node_modules", "__pycache__"}


class Program(BaseModel):
    """A program that runs as a method, and the facts about it on the board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="name on the board")
    command: str | tuple[str, ...] = Field(
        description="the command with placeholders, as one line or as a list of words"
    )
    shell: bool = Field(False, description="run the line with /bin/sh")
    cwd: Path = Field(Path(), description="working folder of the program")
    env: dict[str, str] = Field(
        default_factory=dict, description="environment variables to set; placeholders are filled in"
    )
    timeout: float = Field(
        600, gt=0, description="time limit in seconds of a picture, and of the start under jsonl"
    )
    protocol: Literal["files", "jsonl"] = Field(
        "files", description="files: one process per picture; jsonl: one process for all pictures"
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters with their defaults"
    )
    watch: tuple[str, ...] = Field(
        ("**/*.py",), description="files in cwd whose change makes results stale"
    )
    flexibility: Flexibility = Field(Flexibility.ARBITRARY, description="styles per model")
    trained_on: tuple[str, ...] = Field((), description="features that the method optimises")
    deviations: tuple[str, ...] = Field((), description="known differences from the paper")
    title: str = Field("", description="name as a paper would print it; the name if empty")
    authors: str = ""
    year: int = 0
    paper: str = Field("", description="URL of the paper")
    code: str = Field("", description="URL of the program")
    family: str = "external program"
    licence: str = ""

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value) or value == "all":
            raise ValueError("must be made of letters, digits, _ and -, and not be 'all'")
        return value

    @field_validator("env", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {str(name): plain_text(text) for name, text in value.items()}

    @field_validator("cwd")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("params")
    @classmethod
    def _new_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not re.fullmatch(r"[a-z]\w*", name) or name in (*PLACE, *PICTURE):
                raise ValueError(f"a parameter cannot be called '{name}'")
        return value

    @model_validator(mode="after")
    def _check_command(self) -> Self:
        texts = [*self.words, *self.env.values()]
        used = {name for text in texts for name in placeholders(text)}
        per_picture = PICTURE if self.protocol == "files" else ()
        for text in texts:
            check_names(text, (*PLACE, *per_picture, *self.params))
        if not any(self.words):
            raise ValueError("the command is empty")
        if self.shell:
            if not isinstance(self.command, str):
                raise ValueError("shell: true needs the command as one line, not as words")
            check_unquoted(self.command)
        if self.protocol == "files":
            if not used & {"output", "out_dir"}:
                raise ValueError("the command needs {output} or {out_dir}, the place of the result")
            if not used & {"content", "content_name"}:
                raise ValueError("the command needs {content}, the picture to stylise")
            unused = sorted(set(self.params) - used)
            if unused:
                raise ValueError(f"the parameter '{unused[0]}' is not used in the command")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The command in words, with placeholders; a line for the shell is one word."""
        if not isinstance(self.command, str):
            return self.command
        return (self.command,) if self.shell else split_words(self.command)

    def fingerprint(self) -> str:
        """Return a SHA-256 checksum of the command and the code that decide the outputs.

        It covers the command with environment and protocol, the files that the command names,
        and the files that match ``watch``. A change in any of them makes results stale.
        """
        fields = {"command", "shell", "env", "protocol"}
        plain = self.model_dump(mode="json", include=fields)
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        named = [path for word in self.words if (path := self.cwd / word).is_file()]
        for path in (*named, *self._watched()):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            digest.update(f"{path.name} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def _watched(self) -> Iterator[Path]:
        if not self.watch:
            return
        patterns = [_glob(pattern) for pattern in self.watch]
        for folder, folders, files in os.walk(self.cwd):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".")
                and name not in _UNWATCHED
                and not Path(folder, name, "pyvenv.cfg").is_file()
            )
            for name in sorted(files):
                path = Path(folder, name)
                relative = path.relative_to(self.cwd).as_posix()
                if any(pattern.fullmatch(relative) for pattern in patterns):
                    yield path


def take_programs(
    settings: Mapping[str, Any], folder: Path, source: str
) -> tuple[dict[str, Any], tuple[Program, ...]]:
    """Separate the programs from the methods of a configuration; their names stay there.

    Args:
        settings: a configuration, or a part of one.
        folder: folder that relative working folders start from.
        source: name of the file or option of the settings, for messages.

    Returns:
        the settings without programs, and the programs.

    Raises:
        UsageError: if an entry is wrong or two programs have the same name.
    """
    rest = dict(settings)
    given = [*rest.pop("programs", ())]
    methods = rest.get("methods")
    if isinstance(methods, Sequence) and not isinstance(methods, str):
        given += [entry for entry in methods if _is_program(entry)]
        rest["methods"] = [_named(entry) if _is_program(entry) else entry for entry in methods]
    programs = tuple(_program(entry, folder, source) for entry in given)
    names = [program.name for program in programs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{source}: two programs are called '{name}'. For other parameters of the same "
                "program, give name, params and label without a command."
            )
    return rest, programs


def _is_program(entry: Any) -> bool:
    return isinstance(entry, Program) or (isinstance(entry, Mapping) and "command" in entry)


def _named(entry: Any) -> dict[str, Any]:
    """Return the name and label of an entry."""
    if isinstance(entry, Program):
        return {"name": entry.name}
    return {field: entry[field] for field in ("name", "label") if field in entry}


def _program(entry: Any, folder: Path, source: str) -> Program:
    if isinstance(entry, Program):
        return entry
    settings = {field: value for field, value in entry.items() if field != "label"}
    try:
        settings["cwd"] = folder / Path(settings.get("cwd", "")).expanduser()
        return Program(**settings)
    except (ValidationError, TypeError) as error:
        reason = _reason(error) if isinstance(error, ValidationError) else str(error)
        end = "" if reason.endswith((".", "?")) else "."
        name = entry.get("name", "")
        raise UsageError(f"{source}: method '{name}': {reason}{end}") from None


def _reason(error: ValidationError) -> str:
    problem = error.errors()[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        return f"there is no setting '{field}'.{did_you_mean(field, Program.model_fields)}"
    if problem["type"] == "missing":
        return f"'{field}' is missing"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{field}: {reason} (got {problem['input']!r})" if field else reason


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: ``**/`` matches any folders, ``*`` and ``?`` match within one name."""
    parts = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))
