"""How far a run is: a bar on a terminal, and otherwise lines that a log file can hold."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from audioinceptionnext.training.callbacks import print_line

LINE_SECONDS = 60.0  # within an epoch, there is at most one line in this time
NAMES = {
    "loss": "loss",
    "val_loss": "held-out loss",
    "top1": "top-1",
    "map": "mAP",
    "frame_map": "mAP of the steps",
    "kl": "KL",
    "teacher_map": "mAP against the teacher",
}


class _Clock:
    """Measures how long a run still takes, from what it has done since it was started or resumed."""

    def __init__(self, trainer: L.Trainer) -> None:
        self._start, self._first = time.monotonic(), trainer.current_epoch

    def left(self, trainer: L.Trainer, batches: int) -> str:
        """The time left as ``1:02:30`` after ``batches`` batches of the current epoch."""
        per_epoch = max(1, int(trainer.num_training_batches))
        done = (trainer.current_epoch - self._first) * per_epoch + batches
        rest = ((trainer.max_epochs or 0) - trainer.current_epoch) * per_epoch - batches
        seconds = (time.monotonic() - self._start) * rest / max(1, done)
        return str(timedelta(seconds=round(seconds)))


class ProgressBar(TQDMProgressBar):
    """A bar for each epoch, with the number of all epochs, the time left, the loss, and that of the held-out clips."""

    def __init__(self) -> None:
        super().__init__()
        self._clock: _Clock | None = None
        self._batches = 0

    def on_train_start(self, trainer: L.Trainer, *rest: Any) -> None:
        self._clock = _Clock(trainer)
        super().on_train_start(trainer, *rest)

    def on_train_epoch_start(self, trainer: L.Trainer, *rest: Any) -> None:
        super().on_train_epoch_start(trainer, *rest)
        self.train_progress_bar.set_description(_epoch(trainer))

    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        self._batches = rest[-1] + 1
        super().on_train_batch_end(trainer, *rest)

    def get_metrics(self, trainer: L.Trainer, *rest: Any) -> dict[str, Any]:
        metrics = {name: value for name, value in super().get_metrics(trainer, *rest).items() if name != "v_num"}
        return metrics | ({"left": self._clock.left(trainer, self._batches)} if self._clock else {})

    def on_exception(self, *_: Any) -> None:
        """End the line of the bar, so that the error is printed on a line of its own."""
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()

    def init_validation_tqdm(self) -> Any:
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar


class ProgressLines(L.Callback):
    """A line after each epoch, and within an epoch each minute."""

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._clock, self._printed = _Clock(trainer), time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        batches = rest[-1] + 1
        if batches < trainer.num_training_batches and time.monotonic() - self._printed >= LINE_SECONDS:
            self._print(trainer, batches)

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._print(trainer, int(trainer.num_training_batches))

    def _print(self, trainer: L.Trainer, batches: int) -> None:
        self._printed = time.monotonic()
        if not trainer.is_global_zero:
            return
        total = int(trainer.num_training_batches)
        where = _epoch(trainer) + (f", batch {batches}/{total}" if batches < total else "")
        found = {name: trainer.progress_bar_metrics.get(name) for name in NAMES}
        values = [f"{NAMES[name]} {value:.4g}" for name, value in found.items() if value is not None]
        print_line(f"{where}: {', '.join([*values, f'{self._clock.left(trainer, batches)} left'])}")


def _epoch(trainer: L.Trainer) -> str:
    """``Epoch 3/50``, counted from 1 as in all messages."""
    return f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


def progress() -> L.Callback:
    """The callback for this process's stderr."""
    return ProgressBar() if sys.stderr.isatty() else ProgressLines()
