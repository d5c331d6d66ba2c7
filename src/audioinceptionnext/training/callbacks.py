"""What Lightning calls during a run: checkpoints, logs, early stopping, signals."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger


def print_line(text: str) -> None:
    """Print a line to stderr without breaking the progress bar."""
    Tqdm.write(text, file=sys.stderr)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name first.

    If it cannot be written, a warning is printed, the checkpoint before stays as it was, and the run goes on.
    """

    def save_checkpoint(self, checkpoint: dict, path: str | os.PathLike, storage_options: object = None) -> None:
        partial = Path(f"{path}.part")
        content = io.BytesIO()  # when torch itself writes to a full disk, its error does not mention the disk
        torch.save(checkpoint, content)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # otherwise a power cut could leave the name without the content
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            reason = (error.strerror or str(error)).lower()
            print_line(f"ainext: warning: {path}: not saved ({reason}); the previous checkpoint is kept")


class RelocatableCheckpoint(ModelCheckpoint):
    """Finds its best checkpoint again after the folder of the run was moved or is reached by another path."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(self.dirpath or "", Path(path).name)) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        kept = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": kept, "dirpath": self.dirpath})


class ResumableEarlyStopping(EarlyStopping):
    """Stops a run at once that had stopped early before it was resumed."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class _TolerantLogger:
    """A logger that prints one warning when the disk is full, and lets the run go on."""

    warned = False

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        self._attempt(super().log_metrics, *arguments, **options)  # type: ignore[misc]

    def save(self) -> None:
        self._attempt(super().save)  # type: ignore[misc]

    def finalize(self, status: str) -> None:
        self._attempt(super().finalize, status)  # type: ignore[misc]

    def _attempt(self, write: Callable[..., None], *arguments: Any, **options: Any) -> None:
        try:
            write(*arguments, **options)
        except (OSError, ValueError) as error:  # Lightning turns what fails in TensorBoard into a ValueError
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            if not self.warned:
                reason = (cause.strerror or str(cause)).lower()
                print_line(f"ainext: warning: {self.log_dir}: the log is not complete ({reason})")  # type: ignore[attr-defined]
            self.warned = True


class TolerantCSVLogger(_TolerantLogger, CSVLogger):
    pass


class TolerantTensorBoardLogger(_TolerantLogger, TensorBoardLogger):
    pass


@contextlib.contextmanager
def ignore_disk_errors_in_threads() -> Iterator[None]:
    """Suppress the traceback of TensorBoard's writer thread when the disk is full; its logger gets the error anyway."""
    before = threading.excepthook
    threading.excepthook = lambda found: None if issubclass(found.exc_type, OSError) else before(found)
    try:
        yield
    finally:
        threading.excepthook = before


class InterruptOnSigterm(L.Callback):
    """Makes SIGTERM end a run as Ctrl-C does.

    Lightning would broadcast from within the signal handler. Processes then wait for each other forever if one of them
    is in another collective call.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # Lightning restores the handler at the end
