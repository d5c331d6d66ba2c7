"""Collect sounds from packages of Debian, for distillation: mono Ogg Opus, one folder per package, and meta.csv.

    python tools/collect_sounds.py --out sounds lmms-common:150 scratch:114
    python tools/collect_sounds.py --out sounds $(cat tools/sound_packages.txt)   # what `everyday` learnt from
    python tools/collect_sounds.py --pack parts --megabytes 50 sounds OTHER_FOLDER

The number after the name of a package is the most files taken from it. Recordings of over 30 seconds give three cuts
of 10 seconds. The licence of a recording is that of its package: the table has the names of all licences in the
package's file `copyright`. Nothing of it is committed. The last form packs all recordings into files of a limited size,
as a lent machine takes them: PART.bin and PART.json, their names and lengths.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

RATE = 48_000  # Hz
SOUNDS = (".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".wav")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="PACKAGE:FILES; with --pack, folders")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--megabytes", type=float, default=50)
    args = parser.parse_args()
    if args.pack:
        pack([Path(name) for name in args.names], args.pack, args.megabytes)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "meta.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "package", "version", "path_in_package", "duration", "licences"])
        for name in args.names:
            package, _, most = name.partition(":")
            rows = list(collect(package, int(most or 100), args.out))
            table.writerows(rows)
            file.flush()
            print(f"{package}: {len(rows)} recordings, {sum(row[-2] for row in rows) / 60:.1f} minutes", flush=True)


def collect(package: str, most: int, out: Path) -> Iterator[tuple[str, str, str, str, float, str]]:
    """The rows of meta.csv of one package, whose recordings are written to ``out``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        got = subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True)
        archives = list(folder.glob("*.deb"))
        if got.returncode or not archives:
            print(f"{package}: there is no such package")
            return
        version = archives[0].name.split("_")[1]
        subprocess.run(["dpkg-deb", "-x", archives[0].name, "all"], cwd=folder, check=True)
        paths = [p for p in sorted((folder / "all").rglob("*")) if p.is_file() and p.suffix.lower() in SOUNDS]
        random.Random(7).shuffle(paths)
        notice = folder / f"all/usr/share/doc/{package}/copyright"
        licences = licences_of(notice.read_text(errors="replace")) if notice.is_file() else ""
        sizes: set[int] = set()
        (out / package).mkdir(exist_ok=True)
        number = taken = 0
        for path in paths:
            # Packages hold some recordings several times, as those of other languages that are not translated.
            if taken == most or path.is_symlink() or path.stat().st_size in sizes:
                continue
            sizes.add(path.stat().st_size)
            sound = read(path)
            if len(sound) < RATE // 5 or np.abs(sound).max() < 1e-3:
                continue
            taken += 1
            ten = 10 * RATE
            starts = [0] if len(sound) <= 3 * ten else [0, (len(sound) - ten) // 2, len(sound) - ten]
            for start in starts:
                part = sound if len(starts) == 1 else sound[start : start + ten]
                file = f"{package}/{number:05d}.opus"
                write(part, out / file)
                number += 1
                inside = str(path.relative_to(folder / "all"))
                yield file, package, version, inside, round(len(part) / RATE, 3), licences


def licences_of(notice: str) -> str:
    """The short names in a machine-readable `copyright`, the commonest first; else the files that it refers to."""
    names = re.findall(r"^License: *(\S.*?) *$", notice, re.MULTILINE)
    names = names or re.findall(r"/usr/share/common-licenses/([\w.-]*\w)", notice)
    return "; ".join(name for name, _ in Counter(names).most_common())


def read(path: Path, most: float = 90) -> np.ndarray:
    """Up to ``most`` seconds at `RATE`; nothing if FFmpeg cannot read the file."""
    parts: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("flt", "mono", RATE)
            for frame in container.decode(audio=0):
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                if sum(map(len, parts)) > most * RATE:
                    break
    except (av.FFmpegError, IndexError, ValueError):
        return np.zeros(0, np.float32)
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def write(sound: np.ndarray, path: Path) -> None:
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = 24_000
        stream.options = {"compression_level": "2"}  # the encoder would take most of the time
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        queue = av.AudioFifo()
        queue.write(frame)
        while (block := queue.read(960, partial=True)) is not None:
            block.pts = None
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def pack(folders: list[Path], out: Path, megabytes: float) -> None:
    """All .opus files below the folders into files of at most so many megabytes."""
    recordings = [
        (path, str(path.relative_to(folder))) for folder in folders for path in sorted(folder.rglob("*.opus"))
    ]
    random.Random(3).shuffle(recordings)
    out.mkdir(parents=True, exist_ok=True)
    part = 0
    while recordings:
        names, size = [], 0
        with (out / f"{part}.bin").open("wb") as file:
            while recordings and size + recordings[-1][0].stat().st_size <= megabytes * 1e6:
                path, name = recordings.pop()
                size += file.write(data := path.read_bytes())
                names.append((name, len(data)))
        if not names:
            raise SystemExit(f"{recordings[-1][0]} alone is larger than {megabytes} MB")
        (out / f"{part}.json").write_text(json.dumps(names))
        print(f"{part}.bin: {len(names)} recordings, {size / 1e6:.1f} MB")
        part += 1


if __name__ == "__main__":
    main()
