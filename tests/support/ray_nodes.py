"""A Ray cluster on this machine: a head node, and a second node that can be killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_START = (sys.executable, "-m", "ray.scripts.scripts", "start")
# A node without a sign of life counts as dead after a few seconds, so that tests are short.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}


class RayNodes:
    """Starts nodes with one CPU each; all of their processes end with the block.

    Attributes:
        address: the value for ``--ray-address``.
        environment: environment variables of a process that connects.
    """

    def __init__(self) -> None:
        # The folders of pytest have paths that are too long for sockets.
        self._folder = Path(tempfile.mkdtemp(prefix="ray"))
        self.address = f"127.0.0.1:{_free_port()}"
        # This cluster does not use the user's token for other clusters.
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = os.environ | _SETTINGS | token
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RayNodes:
        port = self.address.rpartition(":")[2]
        self._start("head", "--head", f"--port={port}", f"--temp-dir={self._folder}",
                    "--include-dashboard=false", "--disable-usage-stats")  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def join(self) -> None:
        """Start the second node."""
        self._start("second", f"--address={self.address}")

    def kill(self, name: str = "second") -> None:
        """Kill all processes of a node at once, as in a power failure."""
        node = self._nodes.pop(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(node.pid)
            # Suspended first, so that no process can clean up after another one has ended.
            processes = [root, *root.children(recursive=True)]
            for step in (psutil.Process.suspend, psutil.Process.kill):
                for process in processes:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        step(process)
            psutil.wait_procs(processes, timeout=60)
        node.wait()

    def workers(self, *names: str) -> list[psutil.Process]:
        """Return the worker processes of nstbench on some nodes, or on all."""
        workers = []
        for name in names or self._nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(self._nodes[name].pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if "nstbench.generate.worker" in process.cmdline():
                            workers.append(process)
        return workers

    def _start(self, name: str, *options: str) -> None:
        log = self._folder / f"{name}.txt"
        with log.open("ab") as stream:
            node = subprocess.Popen(
                [*_START, "--block", "--num-cpus=1", "--object-store-memory=100000000", *options],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                env=self.environment, start_new_session=True,
            )  # fmt: skip
        self._nodes[name] = node
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        log.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
