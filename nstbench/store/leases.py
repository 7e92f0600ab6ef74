"""Leases of processes that share a run folder, so that one process works on each unit.

```
leases/<key>.lease        name of the owner that works on a unit; made atomically
leases/<owner>.owner      machine and process of an owner; touched while the process runs
```

A lease only avoids double work. Results are atomic and depend on their key only, so two processes
that hold the same lease write the same result. Machine clocks are not compared: the age of a
lease is the difference of two times of the file server. As that clock may be set back, a lease
is stale, too, if its time does not change for long enough by the monotonic clock of this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from nstbench.store.atomic_files import unwritable

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
BOARD = "board"
"""Key of the lease on timing, scoring and writing the board of a run."""
_LOOK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that works on a run folder.

    Attributes:
        host: name of its machine.
        process: its process id.
        silent: seconds since its last heartbeat, by the clock of this machine.
        keys: keys of its leases.
    """

    host: str
    process: int
    silent: float
    keys: frozenset[str]


def living_owners(root: Path) -> list[Owner]:
    """Return the processes that work on a run folder; write nothing."""
    folder = root / "leases"
    keys: dict[str, set[str]] = defaultdict(set)
    for lease in folder.glob("*.lease"):
        keys[_read(lease) or ""].add(lease.stem)
    found = []
    for path in sorted(folder.glob("*.owner")):
        # the process may end meanwhile, or may not have written its file yet
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            text = path.read_bytes()
            silent = max(0.0, time.time() - path.stat().st_mtime)
            if silent > STALE_SECONDS or _is_gone(text):
                continue
            who = json.loads(text)
            host, process = str(who["host"]), int(who["process"])
            found.append(Owner(host, process, silent, frozenset(keys[path.stem])))
    return found


class Leases:
    """The leases of this process in one run folder.

    Args:
        root: run folder.
        heartbeat: seconds between two heartbeats.
        stale: seconds without a heartbeat after which a lease is void.
    """

    def __init__(
        self, root: Path, heartbeat: float = HEARTBEAT_SECONDS, stale: float = STALE_SECONDS
    ) -> None:
        self._folder = root / "leases"
        self._name = secrets.token_hex(8)
        self._heartbeat, self._stale = heartbeat, stale
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._pulse: threading.Thread | None = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._company = False

    @property
    def company(self) -> bool:
        """Whether another process works on this run folder, as of the last heartbeat."""
        return self._company

    def join(self) -> None:
        """Announce this process to others, and look for them.

        Raises:
            StoreError: if the folder cannot be written.
        """
        with self._lock:
            if self._pulse is not None:
                return
            path = self._owner_file(self._name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(_this_process()))
            except OSError as error:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise unwritable(path, error) from error
            self._look_around()
            self._pulse = threading.Thread(target=self._beat, daemon=True)
            self._pulse.start()

    def take(self, key: str) -> bool:
        """Lease a unit; return False if a running process (or this one) has leased it.

        Raises:
            StoreError: if the folder cannot be written.
        """
        self.join()
        path = self._lease_file(key)
        with self._lock:
            if key in self._held:
                return False
            # before the file exists: another thread would take the file for a stale one
            self._held.add(key)
        taken = False
        try:
            taken = self._get(path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            if not taken:
                with self._lock:
                    self._held.discard(key)
        return taken

    def release(self, key: str) -> None:
        """Release a lease."""
        path = self._lease_file(key)
        if _read(path) == self._name:
            with contextlib.suppress(OSError):
                path.unlink()
        # after the file is removed: another thread may now make its own
        with self._lock:
            self._held.discard(key)

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold a lease for a block; wait while another process holds it."""
        while not self.take(key):
            time.sleep(_LOOK_AGAIN_SECONDS)
        try:
            yield
        finally:
            self.release(key)

    def close(self) -> None:
        """Release all leases, and remove files of processes that ended."""
        if self._pulse is None:
            return
        self._closed.set()
        self._pulse.join()
        for key in list(self._held):
            self.release(key)
        own = self._owner_file(self._name)
        with contextlib.suppress(OSError):
            for path in list(self._folder.glob("*.lease")):
                if self._is_stale(path):
                    path.unlink(missing_ok=True)
            for path in list(self._folder.glob("*.owner")):
                if path != own and self._is_dead(path):
                    path.unlink(missing_ok=True)
            own.unlink(missing_ok=True)
            self._folder.rmdir()

    # -- heartbeat --------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat):
            # a file server that is unreachable for a while must not end the run
            with contextlib.suppress(OSError):
                self._touch()
                self._look_around()

    def _touch(self) -> None:
        path = self._owner_file(self._name)
        try:
            os.utime(path)
        except FileNotFoundError:
            path.write_text(json.dumps(_this_process()))

    def _look_around(self) -> None:
        others = (path for path in self._folder.glob("*.owner") if path.stem != self._name)
        self._company = any(not self._is_dead(path) for path in others)

    # -- leases of others -----------------------------------------------------------------

    def _is_stale(self, lease: Path) -> bool:
        owner = _read(lease)
        if owner is None:
            return True
        if owner == self._name:
            # this process released it but could not remove the file
            return True
        return self._is_dead(self._owner_file(owner) if owner else lease)

    def _is_dead(self, sign: Path) -> bool:
        """Return whether the owner that touches a file has ended."""
        try:
            # a network file system guarantees a current time only for an opened file
            with sign.open("rb") as stream:
                touched = os.fstat(stream.fileno()).st_mtime_ns
                owner = stream.read()
        except OSError:
            return True
        if _is_gone(owner):
            return True
        now = time.monotonic()
        before, since = self._seen.get(sign.name, (touched, now))
        if before != touched:
            since = now
        self._seen[sign.name] = touched, since
        return max(self._server_time() - touched / 1e9, now - since) > self._stale

    def _server_time(self) -> float:
        """Return the time of the file server in seconds, by touching a file."""
        path = self._owner_file(self._name)
        os.utime(path)
        return path.stat().st_mtime_ns / 1e9

    def _get(self, path: Path) -> bool:
        """Make a lease, or take over one whose owner has ended; return whether it is ours."""
        try:
            self._make(path)
        except FileExistsError:
            if not self._is_stale(path):
                return False
            self._take_over(path)
            return _read(path) == self._name
        return True

    def _make(self, path: Path) -> None:
        with path.open("x") as stream:
            try:
                stream.write(self._name)
                stream.flush()
            except OSError:
                # a lease without an owner would block all processes
                path.unlink(missing_ok=True)
                raise

    def _take_over(self, path: Path) -> None:
        temporary = path.with_name(f".{path.stem}.{self._name}.tmp")
        try:
            temporary.write_text(self._name)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _lease_file(self, key: str) -> Path:
        return self._folder / f"{key}.lease"

    def _owner_file(self, name: str) -> Path:
        return self._folder / f"{name}.owner"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _this_process() -> dict[str, object]:
    return {**_machine(), "process": os.getpid(), "born": _birth(os.getpid())}


def _machine() -> dict[str, object]:
    """Return host name, boot id and process namespace (containers count processes from one)."""
    machine: dict[str, object] = {"host": socket.gethostname(), "start": "", "processes": ""}
    with contextlib.suppress(OSError):
        machine["start"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine["processes"] = str(Path("/proc/self/ns/pid").readlink())
    return machine


def _birth(process: int) -> str | None:
    """Return the start time of a process, which identifies it; ``None`` if it has ended.

    On Linux it is in ticks since boot, which does not depend on the clock.
    """
    if sys.platform.startswith("linux"):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        return str(round(psutil.Process(process).create_time()))
    except psutil.Error:
        return None


def _is_gone(text: bytes) -> bool:
    """Return whether an owner ran on this machine and has ended; False if unknown."""
    here = _machine()
    try:
        owner = json.loads(text)
        known = {name: owner[name] for name in here} == here
        return known and _birth(int(owner["process"])) != owner["born"]
    except (ValueError, KeyError, TypeError):
        return False
