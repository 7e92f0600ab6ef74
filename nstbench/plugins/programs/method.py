"""Methods that run a program and exchange pictures with it as PNG files."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, create_model

from nstbench.contracts import Method, MethodInfo, OnStep, Parameters, Picture
from nstbench.core.errors import ImageError
from nstbench.core.records import Availability, ImageRecord
from nstbench.core.text import path_name, printable
from nstbench.core.torchvision_shim import shim_in_use
from nstbench.pictures.decode import read_image
from nstbench.pictures.folder_files import visible_files
from nstbench.pictures.picture import to_pixels, to_tensor, write_png
from nstbench.plugins.programs.entry import PLACE, Program
from nstbench.plugins.programs.process import Process, ProgramFailed
from nstbench.plugins.programs.templates import fill, placeholders, plain_text

_SEEDS = 2**31 - 1
_CHILD = str(Path(__file__).with_name("child_python"))


def method_class(program: Program) -> type[Method]:
    """Return the method class of a program."""
    base = FilesMethod if program.protocol == "files" else JsonlMethod
    info = MethodInfo(
        title=program.title or program.name,
        authors=program.authors,
        year=program.year,
        paper=program.paper,
        family=program.family,
        flexibility=program.flexibility,
        licence=program.licence,
        trained_on=program.trained_on,
        deviations=(*program.deviations, base.clock),
        code=program.code,
        in_torch=False,
        own_process=True,
    )
    fields: dict[str, Any] = {
        name: (_annotation(value), Field(value, description="parameter of the program"))
        for name, value in program.params.items()
    }
    members = {
        "__doc__": f"The program {program.name}.",
        "info": info,
        "program": program,
        "Params": create_model("Params", __base__=Parameters, **fields),
    }
    return type("ExternalProgram", (base,), members)


def _annotation(default: Any) -> Any:
    """Return the type of a parameter: the type of its default; int or float for a number."""
    if isinstance(default, bool | str):
        return type(default)
    return int | float if isinstance(default, int | float) else Any


class ProgramMethod(Method):
    """Base of the methods of both protocols."""

    program: ClassVar[Program]
    clock: ClassVar[str]
    """What the latency of this protocol includes; shown as a deviation of the method."""

    _device: torch.device
    _style: Picture
    _seconds: float | None = None

    def supports(self, style: ImageRecord) -> Availability:
        """Return whether the program and its working folder exist on this machine."""
        program = self.program
        if not program.cwd.is_dir():
            return Availability(
                False, f"there is no folder {program.cwd}", f"correct 'cwd' of {program.name}"
            )
        first = "/bin/sh" if program.shell else program.words[0]
        if not set(placeholders(first)) <= {"python"}:
            return Availability()
        first = fill(first, {"python": sys.executable})
        path = (
            Path(program.cwd, first)
            if "/" in first
            else shutil.which(first, path=program.env.get("PATH"))
        )
        if path is None or not os.access(path, os.X_OK):
            return Availability(
                False,
                f"there is no program '{first}'",
                f"install it, or correct the command of {program.name}",
            )
        return Availability()

    def load(self, device: torch.device) -> None:
        """Keep the device."""
        self._device = device

    def training_seconds(self) -> None:
        """Return ``None``: the training time of a program's networks is unknown."""
        return

    def own_seconds(self) -> float | None:
        """Return the seconds of the last picture without writing and reading files."""
        return self._seconds

    def _start(self, folder: Path, values: Mapping[str, str], talking: bool) -> Process:
        program = self.program
        filled = {**self._place(), **values}
        for name, value in self.params.model_dump().items():
            filled[name] = plain_text(value)
        if program.shell:
            words = ["/bin/sh", "-c", fill(program.words[0], filled, shlex.quote)]
        else:
            words = [fill(word, filled) for word in program.words]
        env = {name: fill(text, filled) for name, text in program.env.items()}
        # without buffers, so that the log of a killed Python program is complete
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
        if any("python" in placeholders(word) for word in program.words) and shim_in_use():
            # a program that runs with this Python needs the shim for torchvision as well
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (_CHILD, env.get("PYTHONPATH", ""))))
        return Process(words, cwd=program.cwd, env=env, folder=folder, talking=talking)

    def _place(self) -> dict[str, str]:
        device = self._device
        index = str(device.index or 0) if device.type == "cuda" else ""
        values = (sys.executable, str(device), index, str(torch.get_num_threads()))
        return dict(zip(PLACE, values, strict=True))

    def _job(
        self, folder: Path, content: Picture, generator: torch.Generator, number: int = 0
    ) -> dict[str, Any]:
        """Write the content and return the values of the placeholders of one picture."""
        out = folder / f"out{number}"
        out.mkdir()
        return {
            "content": str(_write(folder / "content", content)),
            "style": str(folder / "style" / f"{path_name(self._style.name)}.png"),
            "output": str(out / "output.png"),
            "out_dir": str(out),
            "content_name": path_name(content.name),
            "style_name": path_name(self._style.name),
            "size": max(content.height, content.width),
            "width": content.width,
            "height": content.height,
            "seed": int(torch.randint(_SEEDS, (), generator=generator)),
        }

    def _result(self, job: Mapping[str, Any], content: Picture, process: Process) -> torch.Tensor:
        """Read the output of the program: float32 RGB (1, 3, H, W) in [0, 1].

        Raises:
            ProgramFailed: if the output is not one picture of the content's size.
        """
        try:
            pixels = _read(Path(job["output"]))
        except ProgramFailed as error:
            raise ProgramFailed(str(error), process.log()) from None
        height, width = pixels.shape[:2]
        if (height, width) != (content.height, content.width):
            raise ProgramFailed(
                f"the program wrote a picture of {width} x {height} px for a content of "
                f"{content.width} x {content.height} px",
                process.log(),
            )
        return to_tensor(pixels).to(content.pixels.device)


class FilesMethod(ProgramMethod):
    """Method that starts the program for every picture."""

    clock: ClassVar[str] = (
        "A process per picture: its latency and throughput include the start of the program."
    )

    def prepare(self, style: Picture) -> None:
        """Keep the style for the next processes."""
        self._style = style

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Run the program once.

        Raises:
            ProgramFailed: if it fails, takes too long, or does not write a picture of the right
                size.
        """
        self._seconds = None
        folder = _folder()
        _write(folder / "style", self._style)
        job = self._job(folder, content, generator)
        values = {name: str(value) for name, value in job.items()}
        with self._start(folder, values, talking=False) as process:
            try:
                self._seconds = process.finish(self.program.timeout)
                return self._result(job, content, process)
            finally:
                _pass_on(self.program.name, process)


class JsonlMethod(ProgramMethod):
    """Method that keeps one process running; requests and answers are one JSON object a line."""

    clock: ClassVar[str] = (
        "A process of its own: latency and throughput are the seconds in its answers; without "
        "these, the time from request to answer, which includes reading and writing pictures."
    )

    def load(self, device: torch.device) -> None:
        """Start the program and wait until it is ready.

        Raises:
            ProgramFailed: if it ends or takes too long before it is ready.
        """
        super().load(device)
        self._count = 0
        self._folder = _folder()
        self._process = self._start(self._folder, {}, talking=True)
        # end the program also if the method is deleted without close()
        self._end = weakref.finalize(self, self._process.close)
        try:
            self._process.answer(self.program.timeout, ready=True)
        except ProgramFailed:
            self.close()
            raise

    def close(self) -> None:
        """End the program."""
        if hasattr(self, "_end") and self._end.alive:
            self._end()
            _pass_on(self.program.name, self._process)

    def prepare(self, style: Picture) -> None:
        """Send the style to the program."""
        self._style = style
        self._request({"do": "prepare", "style": str(_write(self._folder / "style", style))})

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Request one picture.

        Raises:
            ProgramFailed: if the answer is an error, is late, or has no picture of the right
                size.
        """
        job = self._job(self._folder, content, generator, self._count)
        answer, seconds = self._request({"do": "stylize", **job})
        self._seconds = self._own(answer, seconds)
        output = self._result(job, content, self._process)
        shutil.rmtree(job["out_dir"], ignore_errors=True)
        return output

    def _request(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        self._count += 1
        params = self.params.model_dump(mode="json")
        start = time.perf_counter()
        self._process.ask({"id": self._count, **request, "params": params})
        answer = self._process.answer(self.program.timeout, id=self._count)
        seconds = time.perf_counter() - start
        if "error" in answer:
            reason = printable(answer["error"])
            raise ProgramFailed(f"the program answered: {reason}", self._process.log())
        return answer, seconds

    def _own(self, answer: Mapping[str, Any], waited: float) -> float:
        """Return the seconds in an answer, or the seconds that passed if it has none."""
        seconds = answer.get("seconds", waited)
        if not isinstance(seconds, int | float) or not 0 < seconds <= waited:
            raise ProgramFailed(
                f"the program answered that it took {seconds!r} seconds, {waited:.3g} s after the "
                "request",
                self._process.log(),
            )
        return float(seconds)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="nstbench-"))


def _write(folder: Path, picture: Picture) -> Path:
    path = folder / f"{path_name(picture.name)}.png"
    write_png(path, to_pixels(picture.pixels))
    return path


def _read(output: Path) -> np.ndarray:
    """Read the output, or the only file in its folder if the program chose another name."""
    files = visible_files(output.parent)
    if output not in files:
        if len(files) != 1:
            names = ", ".join(sorted(printable(path.name) for path in files)[:3])
            wrote = f"{len(files)} files ({names}), none of them {{output}}" if files else "no file"
            raise ProgramFailed(f"the program ended with exit code 0 but wrote {wrote}")
        output = files[0]
    try:
        return read_image(output, single=True)
    except ImageError as error:
        reason = str(error).rpartition(f"{printable(output)}: ")[2]
        raise ProgramFailed(
            f"the program wrote a file that cannot be read ({output.name}: {reason})"
        ) from None


def _pass_on(name: str, process: Process) -> None:
    """Print the end of a program's log on standard error."""
    log = process.log()
    if log:
        print(f"--- {name}\n{log}", file=sys.stderr)  # noqa: T201
