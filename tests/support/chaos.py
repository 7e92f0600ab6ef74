"""Runs whose processes are killed at random moments, and restarted until the run is complete."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from PIL import Image
from ray_nodes import RayNodes

WORKERS = 2
UNITS = 60
# Methods of the registry with an added delay; each run of a unit appends a line to a log.
METHOD = """
import os, time
from pathlib import Path
from nstbench.plugins import registry
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility

Base = registry.load("methods", {base!r})

class Chaotic(Base):
    def prepare(self, style):
        self.style_name = style.name
        super().prepare(style)

    def stylize(self, content, *, generator, on_step):
        line = f"{name} {{content.name}} {{self.style_name}}\\n"
        log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, line.encode())
        os.close(log)
        while os.path.exists({hold!r}):
            time.sleep(0.02)
        time.sleep({seconds})
        return super().stylize(content, generator=generator, on_step=on_step)
"""
METHODS = {
    "fast": ("pixel_blend", 0.0),
    "copy": ("content_copy", 0.0),
    "slower": ("noise", 0.1),
    "colour": ("reinhard_2001", 0.02),
    "statistics": ("style_copy", 0.02),
}


@dataclass(frozen=True)
class Outcome:
    """The result of a round.

    Attributes:
        kills: number of kills.
        in_flight: units that may have been running at the kills.
        repeated: units that ran again.
    """

    kills: int
    in_flight: int
    repeated: int


class Chaos:
    """Runs a plan of 60 units with and without kills, and compares the results.

    Args:
        folder: folder of the pictures, methods and runs.
        options: further options of the disturbed runs.
    """

    kinds: tuple[str, ...] = ("worker", "driver", "both")
    environment: Mapping[str, str] = os.environ

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        rng = np.random.default_rng(0)
        for role, count in (("contents", 4), ("styles", 3)):
            (folder / role).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 255, (6, 7, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((70, 66))
                image.save(folder / role / f"{role[0]}{index}.png")
        self.log = folder / "log.txt"
        # Units do not end while this file exists.
        self.hold = folder / "hold"
        for name, (base, seconds) in METHODS.items():
            code = METHOD.format(
                base=base, name=name, seconds=seconds, log=str(self.log), hold=str(self.hold)
            )
            (folder / f"{name}.py").write_text(code)
        start = time.monotonic()
        subprocess.run(self._command(folder / "undisturbed"), check=True, capture_output=True)
        self.seconds = time.monotonic() - start
        assert len(self._log_lines()) == UNITS

    def round(self, seed: int) -> Outcome:
        """Run into a new folder, kill at random moments, and compare the result."""
        chance, root = random.Random(seed), self.folder / f"round_{seed}"
        self.log.unlink(missing_ok=True)
        kills, in_flight = chance.randint(1, 3), 0
        driver = self._start(root)
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 1.0) * self.seconds)
            in_flight += self._kill(driver, chance.choice(self.kinds), chance)
            if driver.poll() is not None:
                driver = self._start(root)
        assert driver.wait(timeout=600) == 0, (root / "errors.txt").read_text()
        self._compare(root)
        runs = Counter(self._log_lines())
        assert len(runs) == UNITS, "a unit did not run"
        return Outcome(kills, in_flight, sum(runs.values()) - UNITS)

    def _command(self, root: Path) -> list[str]:
        plugins = [f"--plugin={self.folder / name}.py" for name in METHODS]
        return [
            sys.executable, "-m", "nstbench", "run", "--methods", ",".join(METHODS), *plugins,
            "--contents", str(self.folder / "contents"), "--styles", str(self.folder / "styles"),
            "--size", "64", "--timing-repeats", "0", "--metrics", "ssim", "--format", "csv",
            "--device", "cpu", "--threads", "1", "--workers", str(WORKERS), "--out", str(root),
        ]  # fmt: skip

    def _start(self, root: Path) -> subprocess.Popen[bytes]:
        root.mkdir(exist_ok=True)
        with (root / "errors.txt").open("ab") as stream:
            return subprocess.Popen(
                [*self._command(root), *self.options],
                env=self.environment, stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip

    def _workers(self, driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return list(filter(_is_worker, psutil.Process(driver.pid).children(recursive=True)))
        return []

    def _kill(self, driver: subprocess.Popen[bytes], kind: str, chance: random.Random) -> int:
        """Send SIGKILL; return how many units may have been running."""
        if driver.poll() is not None:
            return 0
        workers = self._workers(driver)
        victims = workers if kind == "both" else chance.sample(workers, min(1, len(workers)))
        if kind != "worker":
            # A worker ends when its driver does.
            driver.kill()
            driver.wait()
        if kind != "driver":
            for victim in victims:
                _kill_quietly(victim)
        psutil.wait_procs(workers if kind != "worker" else victims, timeout=60)
        return len(victims) if kind == "worker" else len(workers)

    def _compare(self, root: Path) -> None:
        """Compare tables bit for bit, and read every record."""
        for name in ("report/leaderboard.csv",):
            assert (root / name).read_bytes() == (self.folder / "undisturbed" / name).read_bytes()
        frames = [
            pd.read_parquet(r / "scores.parquet") for r in (root, self.folder / "undisturbed")
        ]
        pd.testing.assert_frame_equal(*frames, check_exact=True)
        files = list((root / "outputs").rglob("*.json"))
        assert len(files) == UNITS
        assert all(json.loads(file.read_text())["status"] == "done" for file in files)
        assert not (root / "leases").exists()

    def _log_lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


class RayChaos(Chaos):
    """The same on a Ray cluster, whose second node is also killed and replaced at random."""

    kinds = (*Chaos.kinds, "node")

    def __init__(self, folder: Path, nodes: RayNodes) -> None:
        super().__init__(folder, "--executor=ray", f"--ray-address={nodes.address}")
        self._nodes, self.environment = nodes, nodes.environment

    def _workers(self, driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
        return self._nodes.workers()

    def round(self, seed: int) -> Outcome:
        """Hold the first units until the first kill; actors may start later than the others end."""
        self.hold.touch()
        try:
            return super().round(seed)
        finally:
            self.hold.unlink(missing_ok=True)

    def _kill(self, driver: subprocess.Popen[bytes], kind: str, chance: random.Random) -> int:
        # Actors start slowly; wait until both workers run.
        deadline = time.monotonic() + (200 if self.hold.exists() else 30)
        while len(self._workers(driver)) < WORKERS and driver.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.hold.unlink(missing_ok=True)
        time.sleep(chance.uniform(0, 0.2))
        if kind != "node":
            return super()._kill(driver, kind, chance)
        victims = self._nodes.workers("second")
        self._nodes.kill()
        self._nodes.join()
        return len(victims)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "nstbench.generate.worker" in process.cmdline()
    except psutil.Error:
        return False


def _kill_quietly(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
