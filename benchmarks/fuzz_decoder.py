"""Decodes damaged recordings: each one in a process of its own, with a limit on time and memory.

    python benchmarks/fuzz_decoder.py --minutes 10 --out /tmp/findings

The recordings of every container (``tests/containers.py``, made anew at each start) are changed at random: bits, sizes,
parts that are cut out, doubled, zeroed or taken from another recording. What comes of it must be a waveform of finite
samples or a `MediaError` of one line. Anything else is a finding and is kept as a file: another exception, the end of
the interpreter, more than 10 s of CPU time, or more than 1 GB of memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from audioinceptionnext.audio.decode import duration_of, read, read_blocks
from audioinceptionnext.errors import MediaError
from tests.containers import CONTAINERS, SITUATIONS

CPU_S, WALL_S, MEMORY = 10, 60, 10**9
_BUG, _SLOW = 3, 4
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("findings"), help="folder of the findings")
    parser.add_argument("--replay", type=Path, help="decode this file or the files of this folder instead")
    options = parser.parse_args()
    if options.replay:
        for path in sorted(options.replay.iterdir()) if options.replay.is_dir() else [options.replay]:
            print(path, *tried(path))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder))
        size = sum(len(content) for _, content in corpus)
        print(f"{len(corpus)} recordings, {size / 1000:.0f} kB", flush=True)
        fuzz(corpus, Path(folder), options.minutes * 60, options.seed, options.out)


def fuzz(corpus: list[tuple[str, bytes]], folder: Path, seconds: float, seed: int, out: Path) -> None:
    start, outcomes = time.monotonic(), Counter[str]()
    slowest, largest, number = 0.0, 0, seed
    while time.monotonic() - start < seconds:
        random = np.random.default_rng(number)
        suffix, content = changed(corpus, random)
        path = folder / f"input{suffix}"
        path.write_bytes(content)
        outcome, used, memory = tried(path)
        outcomes[outcome] += 1
        slowest, largest = max(slowest, used), max(largest, memory)
        if outcome not in ("decoded", "refused"):
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{outcome.split()[0]}-{number}{suffix}").write_bytes(content)
            print(f"{outcome}: seed {number}, {suffix}, {used:.1f} s, {memory / 1e6:.0f} MB", flush=True)
        number += 1
    passed = time.monotonic() - start
    print(f"{number - seed} inputs in {passed:.0f} s: {dict(outcomes)}")
    print(f"at most {slowest:.2f} s of CPU time and {largest / 1e6:.0f} MB of memory")


def make_corpus(folder: Path) -> list[tuple[str, bytes]]:
    """A short recording of each container in each situation, and some longer ones, in which `read` seeks."""
    corpus = []
    for name, kind in CONTAINERS.items():
        times = np.arange(kind.rate) / kind.rate
        sound = (0.3 * np.sin(2 * np.pi * (300 + 500 * times) * times)).astype(np.float32)
        sound[kind.rate // 2 :] *= np.linspace(1, 0, len(sound) - kind.rate // 2, dtype=np.float32)
        for number, situation in enumerate(SITUATIONS.values()):
            if situation.fits(kind):
                path = situation.write(folder / f"{number}{kind.suffix}", kind, sound[: len(sound) // 2])
                corpus.append((kind.suffix, path.read_bytes()))
        if name in ("wav", "flac", "mp4", "mkv", "ogg"):
            path = SITUATIONS["plain"].write(folder / f"long{kind.suffix}", kind, np.tile(sound * 0, 13))
            corpus.append((kind.suffix, path.read_bytes()))
    return [(suffix, content) for suffix, content in corpus if len(content) < 3_000_000]


def changed(corpus: list[tuple[str, bytes]], random: np.random.Generator) -> tuple[str, bytes]:
    """One of the recordings with one to eight changes, most of them near its start, and its suffix."""
    suffix, content = corpus[random.integers(len(corpus))]
    data = bytearray(content)
    for _ in range(random.integers(1, 9)):
        if len(data) < 2:
            break
        reach = len(data) if random.random() < 0.4 else min(len(data), 600)
        at = int(random.integers(reach))
        length = int(min(random.choice([1, 2, 4, 8, 100, 3000]), len(data) - at))
        match random.integers(9):
            case 0:
                data[at] ^= 1 << int(random.integers(8))
            case 1:
                data[at : at + length] = random.bytes(length)
            case 2 | 3:
                width = int(random.choice([1, 2, 4, 8]))
                value = int(random.choice(_NUMBERS)) + int(random.integers(-2, 3))
                order = "big" if random.random() < 0.5 else "little"
                data[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, order)
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                data[at : at + length] = bytes(length)
            case 7:
                other = corpus[random.integers(len(corpus))][1]
                place = int(random.integers(len(other)))
                data[at : at + length] = other[place : place + length]
            case 8:
                if random.random() < 0.3:
                    data = (
                        data[: int(random.integers(1, len(data)))] if random.random() < 0.5 else data + bytes(100_000)
                    )
    return suffix, bytes(data)


def tried(path: Path) -> tuple[str, float, int]:
    """What came of decoding a file, the CPU time in s, and the memory in bytes."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (4 * MEMORY, 4 * MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(WALL_S)
        os._exit(decoded(path))
    _, status, usage = os.wait4(child, 0)
    used, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"slow ({name})" if name in ("SIGXCPU", "SIGALRM") else f"crash ({name})", used, memory
    if memory > MEMORY:
        return "memory", used, memory
    code = os.WEXITSTATUS(status)
    return {0: "decoded", 1: "refused", _BUG: "exception"}.get(code, f"exit ({code})"), used, memory


def decoded(path: Path) -> int:
    """The exit status of a process that decodes the file in every way."""
    try:
        duration_of(path)
        with suppress(MediaError):
            read(path, 16_000, start=11.0, duration=0.5)
        warnings: list[str] = []
        for block in read_blocks(path, 24_000, on_warning=warnings.append):
            assert block.dtype == np.float32 and np.isfinite(block).all()
        assert not any("\n" in line for line in warnings)
    except MediaError as error:
        assert "\n" not in str(error)
        return 1
    except BaseException:
        traceback.print_exc()
        return _BUG
    return 0


if __name__ == "__main__":
    main()
