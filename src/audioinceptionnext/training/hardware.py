"""Where a run computes, and what makes it go well there."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from audioinceptionnext.errors import AinextError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 2**30


@dataclass(frozen=True)
class Machine:
    """What a run may use; nothing here changes its result, but for the number of processes where a batch is mixed up.

    Attributes:
        devices, nodes: processes on each machine, and machines (`torchrun` and SLURM start theirs themselves).
        threads: of the CPU; None takes all.
        workers: processes that read audio; 0 reads in the training process.
        cache: a folder for decoded audio.
        form: how a step is computed, a name in `forms.FORMS`; None measures which is the fastest.
        wandb: log to Weights & Biases too.
    """

    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    workers: int = 0
    cache: Path | None = None
    form: str | None = None
    wandb: bool = False

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    def check_launch(self) -> None:
        """Raises `AinextError` where others started processes, and not as many as the run is told of: each would
        train alone and write over the others' files."""
        for name, environment in (("torchrun", TorchElasticEnvironment), ("SLURM", SLURMEnvironment)):
            if environment.detect() and (started := environment().world_size()) != self.processes:
                told = f"--devices {self.devices} --nodes {self.nodes} is {self.processes}"
                raise AinextError(f"{name} started {started} processes, but {told}; give how many on how many machines")


def slurm() -> list[SLURMEnvironment]:
    """SLURM as Lightning knows it, but without its checkpoints in the middle of an epoch, from which another run in the
    same folder would begin unasked: a job that is queued again goes on with --resume."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def first_process() -> bool:
    """Whether this is the process that writes files and speaks to the user, by what started it."""
    return getattr(rank_zero_only, "rank", 0) == 0


def tell(text: str) -> None:
    """A line on stderr that does not tear a progress bar."""
    Tqdm.write(text, file=sys.stderr)


def keep_memory() -> None:
    """Tells glibc's allocator not to give memory back between steps.

    Every tensor above 32 MB would else be a new mapping whose pages the system fills with zeros. Measured on a virtual
    machine of 2 cores (small, batch 32, 2026-11-22): a step of 0.8 s took 12 s and more. Elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class SafeCheckpoints(TorchCheckpointIO):
    """Written beside its final name first. A checkpoint that cannot be written costs a line, not the run, and leaves
    the one before as it was."""

    def save_checkpoint(self, checkpoint: dict, path: str | os.PathLike, storage_options: object = None) -> None:
        partial = Path(f"{path}.part")
        content = io.BytesIO()  # straight to a file, torch tells of a full disk in words that say nothing of it
        torch.save(checkpoint, content)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave the name without the content
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            reason = (error.strerror or str(error)).lower()
            tell(f"ainext: {path}: not saved ({reason}); the one before is kept")


class Checkpoints(ModelCheckpoint):
    """Knows its best evaluation again where the run's folder has moved, or is reached by another path."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(self.dirpath or "", Path(path).name)) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        kept = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": kept, "dirpath": self.dirpath})


class _Lasting:
    """A logger that a full disk does not end the run with: it says so once, and goes on trying."""

    told = False

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        self._attempt(super().log_metrics, *arguments, **options)  # type: ignore[misc]

    def save(self) -> None:
        self._attempt(super().save)  # type: ignore[misc]

    def finalize(self, status: str) -> None:
        self._attempt(super().finalize, status)  # type: ignore[misc]

    def _attempt(self, write: Callable[..., None], *arguments: Any, **options: Any) -> None:
        try:
            write(*arguments, **options)
        except (OSError, ValueError) as error:  # Lightning takes what fails in TensorBoard for a wrong value
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            if not self.told:
                reason = (cause.strerror or str(cause)).lower()
                tell(f"ainext: {self.log_dir}: the log is not complete ({reason})")  # type: ignore[attr-defined]
            self.told = True


class CSVLog(_Lasting, CSVLogger):
    pass


class TensorBoardLog(_Lasting, TensorBoardLogger):
    pass


@contextlib.contextmanager
def no_tracebacks_of_threads() -> Iterator[None]:
    """For TensorBoard's, which ends with one when the disk is full; its logger hears of it by itself."""
    before = threading.excepthook
    threading.excepthook = lambda found: None if issubclass(found.exc_type, OSError) else before(found)
    try:
        yield
    finally:
        threading.excepthook = before


class Terminable(L.Callback):
    """SIGTERM ends a run as Ctrl-C does.

    Lightning's way is a broadcast from within the signal's handler, for which processes wait for each other for ever
    when one of them is in another collective call.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Lightning restores what was before


class Bar(TQDMProgressBar):
    """One line: the epoch, the loss and the held-out top-1. Where stderr is no terminal, a line now and then."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 50)

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(*arguments).items() if name != "v_num"}

    def on_exception(self, *_: Any) -> None:
        """Ends its line, for the next one says what went wrong."""
        if self._train_progress_bar is not None:
            self._train_progress_bar.close()

    def init_validation_tqdm(self) -> Any:
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar
