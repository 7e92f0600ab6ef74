"""Claims of processes that share a run folder, so that each unit is in work once.

```
claims/<key>.claim        who works on a unit: the name of an owner; made atomically
claims/<owner>.owner      an owner's machine and process; touched while the process lives
```

A claim keeps work from being done twice, and nothing more: results are atomic and depend
on nothing but their key, so that two processes which both believe to hold a claim write
the same thing. Nothing is decided by the clock of a machine. The age of a claim is the
difference of two times that the file server gave, and because its clock may be set back,
a claim whose time stands still for long enough by our own monotonic clock is stale, too.
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
"""Who claims this scores, times and writes the board of a run."""
_LOOK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that works on a run folder, as somebody sees it who only reads.

    Attributes:
        host: its machine.
        process: its number there.
        silent: seconds since its last sign of life, by the clock of this machine.
        keys: what it has claimed.
    """

    host: str
    process: int
    silent: float
    keys: frozenset[str]


def living_owners(root: Path) -> list[Owner]:
    """Return who works on a run folder, without writing to it; the dead are left out."""
    folder = root / "claims"
    keys: dict[str, set[str]] = defaultdict(set)
    for claim in folder.glob("*.claim"):
        keys[_read(claim) or ""].add(claim.stem)
    found = []
    for path in sorted(folder.glob("*.owner")):
        # one that ends meanwhile, or has not yet written its name
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            text = path.read_bytes()
            silent = max(0.0, time.time() - path.stat().st_mtime)
            if silent > STALE_SECONDS or _is_gone(text):
                continue
            who = json.loads(text)
            host, process = str(who["host"]), int(who["process"])
            found.append(Owner(host, process, silent, frozenset(keys[path.stem])))
    return found


class Claims:
    """What this process has claimed in one run folder.

    Args:
        root: run folder.
        heartbeat: seconds between two signs of life.
        stale: seconds without a sign of life after which a claim is void.
    """

    def __init__(
        self, root: Path, heartbeat: float = HEARTBEAT_SECONDS, stale: float = STALE_SECONDS
    ) -> None:
        self._folder = root / "claims"
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
        """True if another process works on this run folder, as of the last heartbeat."""
        return self._company

    def join(self) -> None:
        """Let other processes know of this one, and look for them.

        Raises:
            StoreError: if the folder cannot be written.
        """
        with self._lock:
            if self._pulse is not None:
                return
            path = self._owner(self._name)
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
        """Claim a unit; return False if a process that lives (or this one) has claimed it.

        Raises:
            StoreError: if the folder cannot be written.
        """
        self.join()
        path = self._claim(key)
        with self._lock:
            if key in self._held:
                return False
            # before the file is there: another thread would take that for one left behind
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
        """Give a claim up."""
        path = self._claim(key)
        if _read(path) == self._name:
            with contextlib.suppress(OSError):
                path.unlink()
        # now that the file is away: another thread may make its own
        with self._lock:
            self._held.discard(key)

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold a claim for a block; wait while another process holds it."""
        while not self.take(key):
            time.sleep(_LOOK_AGAIN_SECONDS)
        try:
            yield
        finally:
            self.release(key)

    def close(self) -> None:
        """Give everything up, and clear away what dead processes have left."""
        if self._pulse is None:
            return
        self._closed.set()
        self._pulse.join()
        for key in list(self._held):
            self.release(key)
        own = self._owner(self._name)
        with contextlib.suppress(OSError):
            for path in list(self._folder.glob("*.claim")):
                if self._is_stale(path):
                    path.unlink(missing_ok=True)
            for path in list(self._folder.glob("*.owner")):
                if path != own and self._is_dead(path):
                    path.unlink(missing_ok=True)
            own.unlink(missing_ok=True)
            self._folder.rmdir()

    # -- signs of life --------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat):
            # a file server that is away for a while must not end the run
            with contextlib.suppress(OSError):
                self._touch()
                self._look_around()

    def _touch(self) -> None:
        path = self._owner(self._name)
        try:
            os.utime(path)
        except FileNotFoundError:
            path.write_text(json.dumps(_this_process()))

    def _look_around(self) -> None:
        others = (path for path in self._folder.glob("*.owner") if path.stem != self._name)
        self._company = any(not self._is_dead(path) for path in others)

    # -- claims of others -----------------------------------------------------------------

    def _is_stale(self, claim: Path) -> bool:
        owner = _read(claim)
        if owner is None:
            return True
        if owner == self._name:
            # of a unit that this process gave up without being able to say so
            return True
        return self._is_dead(self._owner(owner) if owner else claim)

    def _is_dead(self, sign: Path) -> bool:
        """Return whether the owner of a file that lives by being touched is dead."""
        try:
            # a network file system promises a fresh time only for a file that is opened
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
        """Return the time at the file server, in seconds: that of a touch just now."""
        path = self._owner(self._name)
        os.utime(path)
        return path.stat().st_mtime_ns / 1e9

    def _get(self, path: Path) -> bool:
        """Make a claim, or take one over whose owner is dead; return whether it is ours."""
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
                # a claim of nobody would keep everybody waiting
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

    def _claim(self, key: str) -> Path:
        return self._folder / f"{key}.claim"

    def _owner(self, name: str) -> Path:
        return self._folder / f"{name}.owner"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _this_process() -> dict[str, object]:
    return {**_machine(), "process": os.getpid(), "born": _birth(os.getpid())}


def _machine() -> dict[str, object]:
    """Return what tells apart machines, their starts, and containers that count from one."""
    machine: dict[str, object] = {"host": socket.gethostname(), "start": "", "processes": ""}
    with contextlib.suppress(OSError):
        machine["start"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine["processes"] = str(Path("/proc/self/ns/pid").readlink())
    return machine


def _birth(process: int) -> str | None:
    """Return what tells a process from later ones of its number; ``None`` if it is gone.

    Linux counts ticks since its start, which no change of the clock touches.
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
    """Return whether an owner ran on this machine and runs no more; False where unknown."""
    here = _machine()
    try:
        owner = json.loads(text)
        known = {name: owner[name] for name in here} == here
        return known and _birth(int(owner["process"])) != owner["born"]
    except (ValueError, KeyError, TypeError):
        return False
