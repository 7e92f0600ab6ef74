"""A Ray cluster on this machine: a head that stays, and a second node that can be lost."""

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
# A node that is silent for so long is lost, for tests that cannot wait as long as a data centre.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}


class RayNodes:
    """Nodes with one CPU each; all of their processes end with the block.

    Attributes:
        address: what to give to ``--ray-address``.
        environment: variables of whoever connects.
    """

    def __init__(self) -> None:
        # pytest's own folders make paths that are too long for sockets
        self._folder = Path(tempfile.mkdtemp(prefix="ray"))
        self.address = f"127.0.0.1:{_free_port()}"
        # a cluster of its own, whatever token the user has for others
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
            self.lose(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def join(self) -> None:
        """Start the second node."""
        self._start("second", f"--address={self.address}")

    def lose(self, name: str = "second") -> None:
        """Kill everything that runs on a node, as when its power goes."""
        node = self._nodes.pop(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(node.pid)
            # stopped first: a process that sees another one end must not clear up after it
            processes = [root, *root.children(recursive=True)]
            for step in (psutil.Process.suspend, psutil.Process.kill):
                for process in processes:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        step(process)
            psutil.wait_procs(processes, timeout=60)
        node.wait()

    def workers(self, *names: str) -> list[psutil.Process]:
        """Return the worker processes of nstbench on some nodes, or on all."""
        found = []
        for name in names or self._nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(self._nodes[name].pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if "nstbench.generate.worker" in process.cmdline():
                            found.append(process)
        return found

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
