"""``/v1/listen``: samples in, a distribution every 160 ms out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from audioinceptionnext.audio.capture import ENCODINGS
from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.stream import Answer, Stream
from audioinceptionnext.results.thumbnail import LIVE, drawn
from audioinceptionnext.serving.errors import Refused
from audioinceptionnext.serving.metrics import Metrics
from audioinceptionnext.serving.model_pool import Shelf
from audioinceptionnext.serving.security import PROTOCOL
from audioinceptionnext.serving.settings import Settings

MOST_CHANNELS = 32
TOP = 5
# Of a WebSocket's end: all was done; the client's fault; ours; come again later.
DONE, WRONG, FAILED, LATER = 1000, 1008, 1011, 1013


class Listening:
    """One client's stream."""

    def __init__(self, socket: WebSocket, shelf: Shelf, settings: Settings, metrics: Metrics) -> None:
        self.socket, self.shelf, self.settings, self.metrics = socket, shelf, settings, metrics
        self.rest = b""  # of a sample that came in two messages

    async def serve(self) -> None:
        """From the first message to the close, whatever comes."""
        asked = self.socket.headers.get("sec-websocket-protocol", "")
        await self.socket.accept(subprotocol=PROTOCOL if PROTOCOL in asked else None)
        if self.metrics.open_streams >= self.settings.streams:
            await self._end(LATER, "busy: as many streams as this server takes are open; try again later")
            return
        self.metrics.open_streams += 1
        try:
            await self._listen()
            await self.socket.close(DONE)
        except (Refused, AinextError) as error:
            await self._end(WRONG, str(error))
        except TimeoutError:
            await self._end(WRONG, f"nothing came for {self.settings.idle_seconds:g} s")
        except WebSocketDisconnect:
            pass
        finally:
            self.metrics.open_streams -= 1

    async def _listen(self) -> None:
        query = self.socket.query_params
        kind, channels = self._encoding()
        self.drawn = "log_mel" in query.get("include", "").split(",")
        recogniser = await run_in_threadpool(self.shelf.get, query.get("model"))
        rate = _number(query.get("rate", recogniser.sample_rate), "rate")
        hop = None if "hop" not in query else _number(query["hop"], "hop")
        stream = Stream(recogniser, hop, rate=int(rate))
        self.labels, self.sample_rate = stream.labels, recogniser.sample_rate
        while (data := await self._data()) is not None:
            samples = self._samples(data, kind, channels)
            self.metrics.sound.labels("live").inc(len(samples) / rate)
            # In a thread, and one message at a time: a client that sends faster than we hear has to wait.
            for answer in await run_in_threadpool(stream.push, samples):
                await self._send(answer)
        for answer in await run_in_threadpool(stream.finish):
            await self._send(answer)

    async def _data(self) -> bytes | None:
        """The next samples; None when the client has said that there are no more."""
        async with asyncio.timeout(self.settings.idle_seconds):
            message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", DONE))
        if message.get("bytes") is not None:
            return bytes(message["bytes"])
        try:
            wanted = json.loads(message.get("text") or "")
        except (ValueError, RecursionError):
            wanted = None
        if not (isinstance(wanted, dict) and wanted.get("type") == "end"):
            raise Refused(400, 'send samples as binary messages, and {"type": "end"} as text in the end')
        return None

    def _encoding(self) -> tuple[np.dtype[Any], int]:
        query = self.socket.query_params
        encoding = query.get("encoding", "s16le")
        if encoding not in ENCODINGS:
            raise Refused(422, f"encoding {encoding[:40]}: choose {' or '.join(ENCODINGS)}")
        channels = _number(query.get("channels", 1), "channels")
        if not 1 <= channels <= MOST_CHANNELS or channels % 1:
            raise Refused(422, f"channels {channels:g}: give 1 to {MOST_CHANNELS}")
        return np.dtype(ENCODINGS[encoding]), int(channels)

    def _samples(self, data: bytes, kind: np.dtype[Any], channels: int) -> np.ndarray:
        data = self.rest + data
        whole = len(data) - len(data) % (kind.itemsize * channels)
        self.rest = data[whole:]
        return np.frombuffer(data[:whole], kind).reshape(-1, channels)

    async def _send(self, answer: Answer) -> None:
        best = np.argsort(-answer.probabilities, kind="stable")[:TOP]
        top = [{"label": self.labels[i], "score": round(float(answer.probabilities[i]), 4)} for i in best]
        message: dict[str, Any] = {
            "start": round(answer.start, 3),
            "end": round(answer.end, 3),
            "label": answer.label,
            "score": round(answer.score, 4),
            "top": top,
            "probabilities": dict(
                zip(self.labels, np.round(answer.probabilities.astype(float), 4).tolist(), strict=True)
            ),
            "segments": [segment.as_dict() for segment in answer.segments],
        }
        if self.drawn:
            message["log_mel"] = drawn(answer.log_mel, self.sample_rate, LIVE)
        await self.socket.send_json(message)

    async def _end(self, code: int, message: str) -> None:
        """Says why, then closes; the client may be gone already."""
        line = " ".join(message.split())
        try:
            await self.socket.send_json({"error": line})
            await self.socket.close(code, line[:100])
        except (RuntimeError, WebSocketDisconnect):
            pass


def _number(text: str | float, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Refused(422, f"{name} {str(text)[:40]}: give a number") from None
    if not 0 < value < 1e9:  # false for NaN
        raise Refused(422, f"{name} {value:g}: give a number above 0")
    return value
