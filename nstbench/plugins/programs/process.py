"""One supervised program: its answers, the end of its log, and its termination."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from nstbench.contracts import OutOfTime
from nstbench.core.text import printable

_LOG_BYTES = 32 * 1024
_LONGEST_LINE = 1 << 20
_ENDING_SECONDS = 15.0
_SHOWN_LINES = 3
_SHOWN_CHARACTERS = 400


class ProgramFailed(RuntimeError):  # noqa: N818  the name is part of the messages of records
    """The program failed; the end of its log is a note of the exception."""

    def __init__(self, reason: str, log: str = "") -> None:
        ending = _ending(log)
        super().__init__(f"{reason}. Its log ends: {ending}" if ending else reason)
        if log.strip():
            self.add_note(f"The end of the program's log:\n{log}")


class ProgramTimeout(ProgramFailed, OutOfTime):
    """The program took too long and was killed."""


class Process:
    """A program in a session of its own, run by a supervisor process.

    On :meth:`close`, or when this process ends, the program and all processes that it started
    are killed, and ``folder`` is removed.

    Args:
        words: program and arguments.
        cwd: its working folder.
        env: its complete environment.
        folder: temporary folder that is removed with it.
        talking: open its standard input, and separate its standard output from its log.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
        talking: bool,
    ) -> None:
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._log = bytearray()
        self._lock = threading.Lock()
        self._ended: dict[str, Any] | None = None
        self._control, theirs = socket.socketpair()
        supervisor = str(Path(__file__).with_name("supervisor.py"))
        control = str(theirs.fileno())
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", supervisor, control, str(folder), *words],
                    stdin=subprocess.PIPE if talking else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE if talking else subprocess.STDOUT,
                    cwd=cwd, env=dict(env), pass_fds=(theirs.fileno(),), start_new_session=True,
                )  # fmt: skip
            except (OSError, ValueError) as error:
                self._control.close()
                shutil.rmtree(folder, ignore_errors=True)
                raise ProgramFailed(f"the program cannot be started: {error}") from None
        streams = [(self._process.stdout, talking), (self._process.stderr, False)]
        self._readers = [
            threading.Thread(target=self._read, args=(stream, answers), daemon=True)
            for stream, answers in streams
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def finish(self, timeout: float) -> float:
        """Wait for a successful end and return the seconds that the program ran.

        Raises:
            ProgramTimeout: if it does not end in ``timeout`` seconds.
            ProgramFailed: if it cannot be started or ends with another exit code than 0.
        """
        _, ended = self._next(time.monotonic() + timeout, timeout)
        if ended.get("exit") != 0:
            raise self._failure(ended)
        return float(ended["seconds"])

    def answer(self, timeout: float, **wanted: Any) -> dict[str, Any]:
        """Return the next JSON object on standard output that contains the ``wanted`` items.

        Other lines go to the log.

        Raises:
            ProgramTimeout: if there is none within ``timeout`` seconds.
            ProgramFailed: if the program ends before.
        """
        deadline = time.monotonic() + timeout
        while True:
            kind, event = self._next(deadline, timeout)
            if kind == "ended":
                raise self._failure(event)
            data = _json_object(event)
            if data is not None and wanted.items() <= data.items():
                return data
            self._keep(event)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request as one line of JSON; :meth:`answer` raises if the program has ended."""
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()

    def log(self) -> str:
        """Return the end of the output of the program; control characters are escaped."""
        with self._lock:
            text = self._log.decode(errors="replace")
        return "\n".join(printable(line.rstrip()) for line in text.splitlines())

    def close(self) -> None:
        """Kill the program and everything it started, and wait until that is done."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(_ENDING_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._control.close()

    # -- threads --------------------------------------------------------------------------

    def _read(self, stream: IO[bytes], answers: bool) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LONGEST_LINE):
                if answers and line.lstrip().startswith(b"{"):
                    self._events.put(("line", line))
                else:
                    self._keep(line)

    def _listen(self) -> None:
        """Wait for the message of the supervisor, sent after all processes were killed."""
        message = b""
        with contextlib.suppress(OSError):
            while not message.endswith(b"\n") and (part := self._control.recv(4096)):
                message += part
        ended = _json_object(message) or {"error": "its supervisor was killed"}
        # the log is complete before the end is reported
        for reader in self._readers:
            reader.join(_ENDING_SECONDS)
        if ended.get("left"):
            self._keep(f"(processes left behind and killed: {ended['left']})\n".encode())
        self._ended = ended
        self._events.put(("ended", ended))

    def _keep(self, line: bytes) -> None:
        with self._lock:
            self._log += line
            del self._log[:-_LOG_BYTES]

    # -- waiting --------------------------------------------------------------------------

    def _next(self, deadline: float, timeout: float) -> tuple[str, Any]:
        if self._ended is not None and self._events.empty():
            return "ended", self._ended
        try:
            return self._events.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self.close()
            raise ProgramTimeout(
                f"the program was killed after {timeout:g} s without an answer", self.log()
            ) from None

    def _failure(self, ended: Mapping[str, Any]) -> ProgramFailed:
        if "error" in ended:
            return ProgramFailed(f"the program cannot be run: {ended['error']}", self.log())
        code = int(ended["exit"])
        if code < 0:
            name = signal.Signals(-code).name
            return ProgramFailed(f"the program was killed by {name}", self.log())
        return ProgramFailed(f"the program ended with exit code {code}", self.log())


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _ending(log: str) -> str:
    """Return the last lines of a log as one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    text = " / ".join(lines[-_SHOWN_LINES:])
    return text if len(text) <= _SHOWN_CHARACTERS else "..." + text[-_SHOWN_CHARACTERS:]
