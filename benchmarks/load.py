"""Measures a server on this computer under load: requests per second, response times, statuses, memory.

    ainext serve --port 8123 &
    python benchmarks/load.py http://127.0.0.1:8123 clip.ogg --clients 4 --seconds 300
    python benchmarks/load.py http://127.0.0.1:8123 clip.ogg --clients 500 --seconds 20

Each client sends the recording again as soon as it has a response. After status 503 it waits as long as the server
says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Load:
    """Clients that send one recording, and what they have measured."""

    def __init__(self, host: str, port: int, body: bytes) -> None:
        self.host, self.port = host, port
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = head.encode() + body
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    async def client(self, end: float) -> None:
        """Send requests until ``end``, by `perf_counter`."""
        while perf_counter() < end:
            reader = writer = None
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
                reusable = True
                while reusable and perf_counter() < end:
                    reusable = await self.send(reader, writer)
            except (OSError, EOFError, ValueError) as error:
                self.statuses[type(error).__name__] += 1
                await asyncio.sleep(0.1)
            finally:
                if writer is not None:
                    writer.close()

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one request and return whether the connection can be used again."""
        start = perf_counter()
        writer.write(self.request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = head.split()[1]
        await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))  # type: ignore[index]
        self.statuses[status] += 1
        if status == "200":
            self.seconds.append(perf_counter() - start)
        elif retry_after := re.search(r"retry-after: (\d+)", head):
            await asyncio.sleep(int(retry_after[1]))
        return "connection: close" not in head

    async def memory(self) -> float:
        """The server's resident memory in MB, from its metrics."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode("latin-1")
        writer.close()
        found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
        return float(found[1]) / 1e6 if found else float("nan")


async def measure(options: argparse.Namespace) -> dict[str, object]:
    url = urlsplit(options.url)
    if url.hostname not in LOOPBACK:
        raise SystemExit(f"{options.url}: give an address of this computer: 127.0.0.1")
    load = Load(url.hostname or "127.0.0.1", url.port or 8000, options.recording.read_bytes())
    await load.client(perf_counter() + 2)  # what the first requests load does not count as growth
    load.statuses.clear()
    load.seconds.clear()
    before, start = await load.memory(), perf_counter()
    highest = before

    async def watch_memory() -> None:
        nonlocal highest
        while True:
            await asyncio.sleep(1)
            highest = max(highest, await load.memory())

    watching = asyncio.create_task(watch_memory())
    await asyncio.gather(*(load.client(start + options.seconds) for _ in range(options.clients)))
    watching.cancel()
    elapsed, times = perf_counter() - start, sorted(load.seconds)
    return {
        "clients": options.clients,
        "seconds": round(elapsed, 1),
        "statuses": dict(load.statuses),
        "requests_per_second": round(len(times) / elapsed, 1),
        "p50_ms": round(1000 * times[len(times) // 2], 1) if times else None,
        "p99_ms": round(1000 * times[int(len(times) * 0.99)], 1) if times else None,
        "memory_mb": {"start": round(before, 1), "highest": round(highest, 1), "end": round(await load.memory(), 1)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=300)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
