"""Ctrl-C: the first one finishes the units in work, the second one stops at once."""

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

CONTINUE = "Finished units are kept; the same command continues."


class Interrupted(KeyboardInterrupt):
    """Raised after a run that Ctrl-C ended; ``board`` has the finished units."""

    def __init__(self, board: Board) -> None:
        super().__init__(f"Interrupted. {CONTINUE}")
        self.board = board


@dataclass
class Interrupt:
    """Whether Ctrl-C was pressed."""

    asked: bool = False


@contextlib.contextmanager
def finishing_first(finish: Callable[[], None], listener: Listener) -> Iterator[Interrupt]:
    """Let the first Ctrl-C in a block call ``finish``, and the second raise KeyboardInterrupt.

    In a thread other than the main thread, which receives no signals, the block only runs.
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
        # a handler must not wait for the terminal, which the interrupted code may be using
        message = "finishing the units in work, then the board; press Ctrl-C again to stop at once"
        threading.Thread(target=listener.note, args=(message,), daemon=True).start()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
