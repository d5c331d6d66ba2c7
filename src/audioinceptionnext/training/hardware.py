"""What a run computes on: devices, processes, threads and memory."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.training.implementations import Implementation

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 2**30


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a run may use. Only the number of processes affects the result, and only where mixup pairs clips.

    Attributes:
        devices: number of GPUs per machine, or of processes on a CPU.
        nodes: number of machines. `torchrun` and SLURM start the processes on each of them.
        threads: number of CPU threads; None takes all.
        loader_workers: number of processes that decode audio; 0 decodes in the training process.
        cache: a folder that keeps decoded audio.
        implementation: how a training step is computed, see `implementations`; None measures which one is the fastest.
        wandb: whether to log to Weights & Biases too.
    """

    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    loader_workers: int = 0
    cache: Path | None = None
    implementation: Implementation | None = None
    wandb: bool = False

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    def check_launch(self) -> None:
        """Check that `torchrun` or SLURM, if one of them started this process, started `processes` of them.

        With another number, each process would train alone and overwrite the files of the others.

        Raises:
            ParameterError: the numbers differ.
        """
        for name, environment in (("torchrun", TorchElasticEnvironment), ("SLURM", SLURMEnvironment)):
            if environment.detect() and (started := environment().world_size()) != self.processes:
                expected = f"{self.devices} devices on {self.nodes} nodes are {self.processes}"
                reason = f"{name} started {started} processes, but {expected}; give the devices per node and the nodes"
                raise ParameterError("devices", self.devices, reason)


def slurm_environment() -> list[SLURMEnvironment]:
    """Lightning's plugin for SLURM, without its checkpoints in the middle of an epoch; empty outside SLURM.

    Another run in the same folder would start from such a checkpoint without being asked to. A job that is queued again
    has to be resumed like any other run.
    """
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def is_first_process() -> bool:
    """Whether this process writes the files and prints the messages: the first one, or the only one."""
    return getattr(rank_zero_only, "rank", 0) == 0


def keep_memory() -> None:
    """Tell glibc's allocator not to return memory to the system between steps.

    Otherwise every tensor above 32 MB is a new mapping whose pages the system fills with zeros. Measured on a virtual
    machine of 2 cores (small, batch 32, 2026-11-22): a step of 0.8 s took 12 s and more. On other systems nothing
    happens.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
