"""Paint pictures into files, in several processes if there are many.

``python -m nstbench.pictures.painter.paint_files`` is such a process. It reads pictures from its
standard input, one per line, and paints them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nstbench
from nstbench.pictures.painter.styles import paint
from nstbench.pictures.picture import write_png

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_FEW = 8
"""Pictures that one process paints in the time that another takes to start."""


@dataclass(frozen=True)
class Wanted:
    """A picture to paint.

    Attributes:
        style: name of the painter's style.
        size: side in pixels.
        seed: seed of the picture.
        path: PNG file to write.
    """

    style: str
    size: int
    seed: int
    path: str

    def paint(self) -> None:
        """Paint the picture unless its file exists.

        Raises:
            StoreError: if the file cannot be written.
        """
        if not Path(self.path).is_file():
            write_png(Path(self.path), paint(self.style, self.size, self.seed))


def paint_files(wanted: Sequence[Wanted], processes: int | None = None) -> None:
    """Paint the pictures whose files do not exist.

    Args:
        wanted: the pictures.
        processes: number of processes; by default one per core, but few for few pictures.

    Raises:
        StoreError: if a file cannot be written.
    """
    missing = [one for one in wanted if not Path(one.path).is_file()]
    if processes is None:
        processes = min(os.cpu_count() or 1, len(missing) // _FEW)
    if processes > 1:
        _in_processes(missing, processes)
    # this process paints what the others could not, and raises the reason
    for number, one in enumerate(missing, 1):
        if not Path(one.path).is_file():
            one.paint()
            _log.info("painted %d of %d pictures", number, len(missing))


def _in_processes(missing: Sequence[Wanted], processes: int) -> None:
    """Paint in several processes, and wait for them."""
    package = str(Path(nstbench.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    environment = os.environ | {
        "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    started = []
    try:
        for number in range(processes):
            process = subprocess.Popen(
                [sys.executable, "-m", "nstbench.pictures.painter.paint_files"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                text=True, env=environment,
            )  # fmt: skip
            started.append(process)
            lines = "".join(json.dumps(asdict(one)) + "\n" for one in missing[number::processes])
            assert process.stdin is not None
            with contextlib.suppress(OSError), process.stdin as channel:
                channel.write(lines)
        while any(process.poll() is None for process in started):
            time.sleep(_POLL_SECONDS)
            done = sum(Path(one.path).is_file() for one in missing)
            _log.info("painted %d of %d pictures", done, len(missing))
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    """Paint the pictures that standard input names, while the process that wants them runs."""
    parent = os.getppid()
    for line in sys.stdin:
        if os.getppid() != parent:
            return
        Wanted(**json.loads(line)).paint()


if __name__ == "__main__":
    main()
