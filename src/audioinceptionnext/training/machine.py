"""Where a run computes, and what makes it go well there."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
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


def first_process() -> bool:
    """Whether this is the process that writes files and speaks to the user, by what started it."""
    return getattr(rank_zero_only, "rank", 0) == 0


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
            print(f"ainext: {path}: not saved ({reason}); the one before is kept", file=sys.stderr, flush=True)
