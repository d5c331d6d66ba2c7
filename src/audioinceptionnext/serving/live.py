"""``/v1/listen``: receives samples over a WebSocket, and sends steps and events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from audioinceptionnext.audio.capture import ENCODINGS
from audioinceptionnext.audio.samples import kind_of_bytes
from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.inference.events import Event
from audioinceptionnext.inference.stream import Step, Stream
from audioinceptionnext.results.thumbnail import LIVE_RANGE, encode_log_mel
from audioinceptionnext.results.types import named_label
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.metrics import Metrics
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import ListenParameters
from audioinceptionnext.serving.security import PROTOCOL
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.watching import Watch, Watching

MAX_REASON_BYTES = 123  # of a close, by RFC 6455
TOP_K = 5
# Codes that close a WebSocket.
CLOSE_NORMAL, CLOSE_REFUSED, CLOSE_TRY_LATER = 1000, 1008, 1013


class LiveSession:
    """One client's live stream."""

    def __init__(
        self, socket: WebSocket, models: ModelPool, settings: Settings, metrics: Metrics, watching: Watching
    ) -> None:
        self.socket, self.models, self.settings, self.metrics = socket, models, settings, metrics
        self._watching = watching
        self._rest = b""  # of a sample whose bytes arrive in two messages
        self._warnings: list[str] = []  # that the client was not told yet

    async def serve(self) -> None:
        """Run the session, from the handshake to the close."""
        offered = self.socket.headers.get("sec-websocket-protocol", "")
        await self.socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        if self.metrics.open_streams >= self.settings.streams:
            busy = RequestError(503, "the server is busy: as many streams as it takes are open; try again later")
            await self._refuse(busy, CLOSE_TRY_LATER)
            return
        self.metrics.open_streams += 1
        try:
            await self._run()
            await self.socket.close(CLOSE_NORMAL)
        except RequestError as error:
            await self._refuse(error)
        except ParameterError as error:
            await self._refuse(RequestError.of_library(error))
        except ModelError as error:
            await self._refuse(RequestError(500, str(error)))
        except TimeoutError:
            await self._refuse(RequestError(408, f"nothing arrived for {self.settings.idle_seconds:g} s"))
        except WebSocketDisconnect:
            pass
        finally:
            self.metrics.open_streams -= 1

    async def _run(self) -> None:
        query = ListenParameters.read(self.socket.query_params.multi_items())
        sample_type, channels = np.dtype(ENCODINGS[query.encoding]), query.channels
        self._include = query.include.split(",")
        recogniser, settings = await run_in_threadpool(query.of_model, self.models.get)
        rate = recogniser.sample_rate if query.rate is None else query.rate
        rate = int(rate) if rate == int(rate) else rate  # as messages show it
        stream = Stream(
            recogniser,
            step_seconds=query.hop,
            settings=settings,
            sample_rate=rate,
            lookahead=query.lookahead,
            early="events" in self._include or self._watching.rules is not None,
            on_warning=self._warnings.append,
        )
        self._delay = round(stream.delay, 3)
        self._labels, self._names, self._model_rate = stream.labels, recogniser.names, recogniser.sample_rate
        watch = self._watching.open(query.name, recogniser, stream.lag)
        try:
            await self._recognise(stream, watch, sample_type, channels, rate)
        finally:
            if watch is not None:  # what was going on ends here, also if the client has left
                await asyncio.shield(run_in_threadpool(_end, stream, watch, recogniser.sample_rate))

    async def _recognise(
        self, stream: Stream, watch: Watch | None, sample_type: np.dtype[Any], channels: int, rate: float
    ) -> None:
        def take(samples: np.ndarray | None) -> list[Step]:
            steps = stream.finish() if samples is None else stream.push(samples)
            if watch is not None:
                watch.take(stream, self._model_rate)
            return steps

        first = True
        while (data := await self._receive()) is not None:
            if first and (kind := kind_of_bytes(data)):
                instead = "send samples alone, or the file to /v1/predict"
                raise RequestError(422, f"the first message starts like {kind}, not like raw samples; {instead}")
            first = first and not data
            samples = self._decode(data, sample_type, channels)
            self.metrics.audio.labels("live").inc(len(samples) / rate)
            # In a thread, and one message at a time: a client that sends faster than this has to wait.
            await self._send(await run_in_threadpool(take, samples), stream.events)
        await self._send(await run_in_threadpool(take, None), stream.events)

    async def _receive(self) -> bytes | None:
        """The next samples; None when the client has announced the end."""
        async with asyncio.timeout(self.settings.idle_seconds):
            message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CLOSE_NORMAL))
        if message.get("bytes") is not None:
            return bytes(message["bytes"])
        try:
            command = json.loads(message.get("text") or "")
        except (ValueError, RecursionError):
            command = None
        if command != {"type": "end"}:
            raise RequestError(400, 'send samples as binary messages, and at the end {"type": "end"} as text')
        return None

    def _decode(self, data: bytes, sample_type: np.dtype[Any], channels: int) -> np.ndarray:
        """The complete samples, (n, channels)."""
        data = self._rest + data
        end = len(data) - len(data) % (sample_type.itemsize * channels)
        self._rest = data[end:]
        return np.frombuffer(data[:end], sample_type).reshape(-1, channels)

    async def _send(self, steps: list[Step], events: list[Event]) -> None:
        """Send a message for each step, and the events, if they are asked for, in the last one or without a step."""
        happened = (
            {"events": [event.as_dict(self._names) for event in events]} if events and "events" in self._include else {}
        )
        for step in steps:
            await self.socket.send_json(self._message(step) | (happened if step is steps[-1] else {}))
        if happened and not steps:
            await self.socket.send_json(happened)

    def _message(self, step: Step) -> dict[str, Any]:
        best = np.argsort(-step.probabilities, kind="stable")[:TOP_K]
        message: dict[str, Any] = {
            "start": round(step.start, 3),
            "end": round(step.end, 3),
            "delay": self._delay,
            **named_label(step.label, self._names),
            "score": round(step.score, 4),
            "top": [
                named_label(self._labels[i], self._names) | {"score": round(float(step.probabilities[i]), 4)}
                for i in best
            ],
            "segments": [segment.as_dict(self._names) for segment in step.segments],
            "open": [segment.as_dict(self._names) for segment in step.open],
        }
        if self._warnings:
            message["warnings"], self._warnings[:] = list(self._warnings), []
        if "probabilities" in self._include:
            rounded = np.round(step.probabilities.astype(float), 4).tolist()
            message["probabilities"] = dict(zip(self._labels, rounded, strict=True))
        if "log_mel" in self._include:
            message["log_mel"] = encode_log_mel(step.log_mel, self._model_rate, LIVE_RANGE)
        return message

    async def _refuse(self, error: RequestError, code: int = CLOSE_REFUSED) -> None:
        """Send the problem and close. The client may have left already."""
        try:
            await self.socket.send_json(error.problem())
            await self.socket.close(code, error.detail.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))
        except (RuntimeError, WebSocketDisconnect):
            pass


def _end(stream: Stream, watch: Watch, rate: int) -> None:
    """Pass on the last events of a stream, unless that is done, and finish."""
    try:
        stream.finish()
        watch.take(stream, rate)
    finally:
        watch.close()
