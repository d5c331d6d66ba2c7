"""What is stored when `ainext listen` is killed (SIGKILL) at random moments.

    python benchmarks/killed_listening.py --kills 50

Each time, sound goes through a pipe faster than real time into `ainext listen - --json --history … --keep …`, and the
process is killed at a random moment within a few seconds. Then the database has to open and be whole, hold every
segment whose end was printed, and state no clip that is missing or cannot be decoded. After the next start, each clip
has to be stated by a row. All share one database and one folder, so that each process finds what the last one left.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.history.clips import ClipFolder
from audioinceptionnext.history.database import History

RATE = 24_000
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3.0, help="kill within so many seconds after the first line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="kitchen20-small")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    sound = (decode.read(ROOT / "examples" / "kitchen-scene.flac", RATE) * 32767).astype("<i2").tobytes()
    failures = printed = kept = 0
    with tempfile.TemporaryDirectory() as folder:
        database, clips = Path(folder, "history.db"), Path(folder, "clips")
        for number in range(arguments.kills):
            wait = moments.uniform(0, arguments.seconds)
            lines = killed(sound, database, clips, arguments.model, wait)
            printed += len(lines)
            problems = check(database, clips, lines)
            kept = len(list(clips.glob("[!_]*")))
            failures += bool(problems)
            for problem in problems:
                print(f"kill {number + 1}, after {wait:.2f} s: {problem}")
    good = arguments.kills - failures
    print(f"{good} of {arguments.kills} times all was there; {printed} segments printed, {kept} clips kept")
    sys.exit(failures > 0)


def killed(sound: bytes, database: Path, clips: Path, model: str, wait: float) -> list[dict[str, object]]:
    """Listen, kill the process so many seconds after its first line, and return what it had printed by then."""
    command = [sys.executable, "-m", "audioinceptionnext", "listen", "pipe=-", "--json", "--model", model]
    options = ["--sample-rate", str(RATE), "--history", str(database), "--keep", str(clips), "--threads", "1"]
    process = subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None and process.stdout is not None
    pipe = process.stdin

    def feed() -> None:
        with suppress(OSError):
            while True:
                pipe.write(sound)

    threading.Thread(target=feed, daemon=True).start()
    first = process.stdout.readline()

    def kill() -> None:
        time.sleep(wait)
        process.kill()

    threading.Thread(target=kill, daemon=True).start()
    lines = [first, *process.stdout]
    process.wait()
    with suppress(OSError):
        pipe.close()
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [line for line in whole if line["event"] == "end"]


def check(database: Path, clips: Path, printed: list[dict[str, object]]) -> list[str]:
    """What is wrong with what a killed process left."""
    problems = []
    with closing(sqlite3.connect(database)) as plain:
        (answer,) = plain.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            problems.append(f"the database is damaged: {answer}")
    with History(database) as history:
        rows = history.events()
        stored = {(row.label, row.as_dict()["start"]) for row in rows}
        missing = [one for one in printed if (one["label"], one["time"]) not in stored]
        if missing:
            problems.append(f"{len(missing)} of {len(printed)} printed segments are missing, such as {missing[0]}")
        for row in rows:
            if row.clip is not None and row.clip_start is not None:
                samples = decode.read(clips / row.clip, RATE) if (clips / row.clip).exists() else np.zeros(0)
                if len(samples) / RATE < min(row.end - row.clip_start, 59.9) - 0.01:
                    problems.append(f"the clip of row {row.id} is missing or short: {row.clip}")
        ClipFolder(clips, history)  # as the next start of a listener does
        unstated = {path.name for path in clips.glob("[!_]*")} - history.clips()
        if unstated:
            problems.append(f"no row states {len(unstated)} clips, such as {min(unstated)}")
    return problems


if __name__ == "__main__":
    main()
