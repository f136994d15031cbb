"""Ctrl-C in the midst of a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class InterruptBetweenSteps(Callback):
    """Lets Ctrl-C take effect between two steps of a training; a second one takes effect at once.

    In the midst of a step it may hit the loggers: TensorBoard's writer hands its events to a thread, and where that is
    interrupted, closing it waits for minutes or fails.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep Ctrl-C back while this lasts.

        Raises:
            KeyboardInterrupt: at its end, however it came about, when it was asked for.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals go to the main thread alone
            return
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        except BaseException as stopped:
            if self.asked:
                raise KeyboardInterrupt from stopped
            raise
        finally:
            signal.signal(signal.SIGINT, before)
        self._stop_if_asked()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Before each step."""
        self._stop_if_asked()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before the epoch's checkpoint."""
        self._stop_if_asked()
