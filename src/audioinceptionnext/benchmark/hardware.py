"""The computer that a measurement is made on, and the cores that it uses."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.parallel import available_cores

# Instruction sets that decide how fast matrix products are: x86, then Arm.
EXTENSIONS = (
    "avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8",
    "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip
LIBRARIES = ("numpy", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "transformers")
BUSY_LOAD = 0.3  # load average above which the user is warned that other work is running


def pinned_cores(threads: int | None) -> list[int]:
    """The numbers of the CPU cores to use, on different physical cores as far as possible.

    Args:
        threads: how many cores; None takes all that this process may use.

    Raises:
        ParameterError: this process may use fewer cores.
    """
    cores = available_cores()
    if threads is None:
        return cores
    if threads > len(cores):
        raise ParameterError("threads", threads, f"this process may use {len(cores)} cores; give at most that many")
    seen: set[str] = set()
    first: list[int] = []
    second: list[int] = []
    for core in cores:
        siblings = _read(Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")) or str(core)
        (second if siblings in seen else first).append(core)
        seen.add(siblings)
    return sorted((first + second)[:threads])


def gpu_name() -> str | None:
    """The name of the GPU, if torch finds one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def describe_hardware(cores: Sequence[int]) -> dict[str, Any]:
    """The computer, its software and the cores that are used, as a JSON object."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": _cpu(),
        "cores": len(available_cores()),
        "cores_used": list(cores),
        "extensions": _extensions(),
        "memory_gb": _memory(),
        "gpu": gpu_name(),
        "os": _system(),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "load_before": load,
    }


def summarise(details: dict[str, Any]) -> str:
    """What `describe_hardware` found, in one line."""
    memory = f"{details['memory_gb']:.0f} GB" if details["memory_gb"] else "memory unknown"
    parts = [
        f"{details['cpu']}, {len(details['cores_used'])} of {details['cores']} cores",
        " ".join(details["extensions"]),
        memory,
        details["gpu"],
        details["os"],
        f"Python {details['python']}",
        ", ".join(f"{name} {version}" for name, version in details["libraries"].items()),
    ]
    return "; ".join(part for part in parts if part)


def _cpu() -> str:
    for text in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = text.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _extensions() -> list[str]:
    for text in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = text.partition(":")
        if key.strip() in ("flags", "Features"):
            has = set(value.split())
            return [name for name in EXTENSIONS if name in has]
    return []


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
        return f"{name} (Linux {platform.release()} {platform.machine()})"
    except (OSError, KeyError, AttributeError):
        return platform.platform()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
