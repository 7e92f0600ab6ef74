"""Ctrl-C: once finishes what is in work, twice stops."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nstbench.core.board import Board
    from nstbench.plan.listener import Listener

GO_ON = "What is finished is kept; the same command goes on from there."


class Interrupted(KeyboardInterrupt):
    """Raised after a run that Ctrl-C ended early; ``board`` holds what was finished."""

    def __init__(self, board: Board) -> None:
        super().__init__(f"Interrupted. {GO_ON}")
        self.board = board


@dataclass
class Interrupt:
    """Whether somebody asked for an end."""

    asked: bool = False


@contextlib.contextmanager
def finishing_first(finish: Callable[[], None], listener: Listener) -> Iterator[Interrupt]:
    """Let the first Ctrl-C in a block call ``finish``, and the second raise KeyboardInterrupt.

    Outside of the main thread, where no signal arrives, the block just runs.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        finish()
        # a handler must not wait for a terminal that the interrupted code may be writing to
        message = "finishing what is in work, then the board; press Ctrl-C again to stop at once"
        threading.Thread(target=listener.note, args=(message,), daemon=True).start()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
