"""How many live streams one `ainext listen` carries: CPU time, memory, and whether it falls behind.

    python benchmarks/streams.py --streams 1 4 8 12 16 24
    python benchmarks/streams.py --streams 8 --seconds 3600 --every 300

A server in this process sends AAC (ADTS, 48 kHz) over HTTP in real time to every client, each from another place of a
recording that is repeated. One process `ainext listen`, kept to `--cores` cores, listens to all of them, with a history
and kept clips unless `--bare` is given. CPU time is that of this process alone, from the moment at which all streams
are read. What it needs to start is left out; what decoding takes is not. Its peak memory is that of the whole run.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from audioinceptionnext.audio import decode

ROOT = Path(__file__).parents[1]
RATE = 48_000
BLOCK_S = 0.1
WARM_UP_S = 5.0
AHEAD_S = 1.0  # sent at once, as servers do


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8, 12, 16, 24])
    parser.add_argument("--seconds", type=float, default=120.0, help="measure for so long")
    parser.add_argument("--every", type=float, default=0.0, help="also print the memory every so many seconds")
    parser.add_argument("--cores", type=int, default=2, help="keep the listener to so many cores")
    parser.add_argument("--model", default="everyday")
    parser.add_argument("--early", action="store_true", help="announce segments while they begin (--json)")
    parser.add_argument("--bare", action="store_true", help="store nothing")
    parser.add_argument("--recording", type=Path, default=ROOT / "examples" / "everyday-scene.flac")
    arguments = parser.parse_args()
    content, seconds = adts(arguments.recording)
    server = Server(content, seconds)
    print("streams  CPU cores  peak RSS  RSS at the end  segments  behind")
    for streams in arguments.streams:
        measure(streams, server, arguments)


def adts(recording: Path) -> tuple[bytes, float]:
    """A recording as AAC whose frames stand alone, and its length in seconds."""
    samples = decode.read(recording, RATE)
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as output:
        stream = output.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue(), len(samples) / RATE


class Server:
    """Sends the content again and again, in real time, to every client."""

    def __init__(self, content: bytes, seconds: float) -> None:
        self._content, self._seconds = content, seconds
        self.clients = 0
        self.port = 0
        threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True).start()
        while not self.port:
            time.sleep(0.01)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._send, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        content = self._content
        place = round(self.clients * 0.381966 % 1 * len(content))  # another one each time
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: audio/aac\r\n\r\n")
            began, sent = time.monotonic(), 0
            while True:
                until = round((time.monotonic() - began + AHEAD_S) * len(content) / self._seconds)
                while sent < until:
                    at = (place + sent) % len(content)
                    part = content[at : at + until - sent]
                    writer.write(part)
                    sent += len(part)
                await writer.drain()
                await asyncio.sleep(BLOCK_S)


def measure(streams: int, server: Server, arguments: argparse.Namespace) -> None:
    """Listen to so many streams, and print a row."""
    with tempfile.TemporaryDirectory() as folder:
        stored = [] if arguments.bare else ["--history", f"{folder}/history.db", "--keep", f"{folder}/clips"]
        inputs = [f"stream-{number}=http://127.0.0.1:{server.port}/{number}" for number in range(streams)]
        command = [sys.executable, "-m", "audioinceptionnext", "listen"]
        cores, before = sorted(os.sched_getaffinity(0))[: arguments.cores], server.clients
        early = "--early" if arguments.early else "--no-early"
        process = subprocess.Popen(
            [*command, *inputs, "--json", early, "--model", arguments.model, *stored],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | {"no_proxy": "127.0.0.1"},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        assert process.stdout is not None and process.stderr is not None
        lines: list[str] = []
        notes: list[str] = []
        output, errors = process.stdout, process.stderr
        readers = [
            threading.Thread(target=lambda: lines.extend(output)),
            threading.Thread(target=lambda: notes.extend(errors)),
        ]
        for reader in readers:
            reader.start()
        while server.clients < before + streams:
            if process.poll() is not None:
                sys.exit("".join(notes))
            time.sleep(0.5)
        time.sleep(WARM_UP_S)
        began, used, said = time.monotonic(), cpu_seconds(process.pid), 0.0
        while (past := time.monotonic() - began) < arguments.seconds and process.poll() is None:
            if arguments.every and past >= said:
                print(f"  after {past:5.0f} s: {memory(process.pid, 'VmRSS'):.0f} MB", flush=True)
                said += arguments.every
            time.sleep(0.2)
        share = (cpu_seconds(process.pid) - used) / (time.monotonic() - began)
        peak, at_end = memory(process.pid, "VmHWM"), memory(process.pid, "VmRSS")
        process.terminate()
        process.wait(60)
        for reader in readers:
            reader.join()
    segments = sum('"event": "end"' in line for line in lines)
    behind = sum("behind" in note for note in notes)
    print(
        f"{streams:>7}  {share:>9.2f}  {peak:>5.0f} MB  {at_end:>11.0f} MB  {segments:>8}  {behind} of {streams}",
        flush=True,
    )
    for note in notes:
        if "warning" in note or "could not" in note:
            print(f"  {note.rstrip()}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return float(np.sum([int(field) for field in fields[11:13]]) / os.sysconf("SC_CLK_TCK"))


def memory(pid: int, name: str) -> float:
    """VmRSS or VmHWM in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6


if __name__ == "__main__":
    main()
