"""Microphones, through PortAudio (extra: live)."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from audioinceptionnext.audio.capture import LiveInput, SampleConverter
from audioinceptionnext.errors import AinextError, MediaError, MissingDependencyError, ParameterError

_GONE_S = 5.0  # a microphone gives samples many times a second; after this long without any, it is gone
_CLOSE_S = 2.0  # how long closing may take


def microphone_input(device: str | int | None, target_rate: int, warn: Callable[[str], None]) -> LiveInput:
    """A microphone, read at its own rate with up to two channels.

    Args:
        device: its name or number, see `microphones`; the system's default if None.
        target_rate: of the blocks, in Hz.
        warn: called with one line if the system loses samples, or the channels cancel each other; once for each.

    Raises:
        MissingDependencyError: sounddevice is not installed.
        AinextError: PortAudio is not installed.
        ParameterError: there is no such device, or it cannot be opened.
        MediaError: the default device cannot be opened.
    """
    sounddevice = _sounddevice()
    queue: SimpleQueue[tuple[np.ndarray, bool] | None] = SimpleQueue()

    def on_block(block: np.ndarray, frames: int, clock: Any, status: Any) -> None:
        queue.put((block.copy(), bool(status.input_overflow)))

    try:
        info = sounddevice.query_devices(device, "input")
        own_rate = int(info["default_samplerate"])
        stream = sounddevice.InputStream(
            samplerate=own_rate,
            device=device,
            channels=min(2, info["max_input_channels"]),
            dtype="float32",
            callback=on_block,
            finished_callback=lambda: queue.put(None),
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise _cannot_open(device, error) from None
    name = f"microphone {info['name']}"
    converter = SampleConverter(own_rate, target_rate, lambda line: warn(f"{name}: {line}"))

    def blocks() -> Iterator[np.ndarray]:
        overflowed = False
        while True:
            try:
                item = queue.get(timeout=_GONE_S)
            except Empty:
                item = None
            if item is None:
                raise MediaError(name, "no longer gives any sound; is it still connected?")
            block, overflow = item
            if overflow and not overflowed:
                overflowed = True
                warn(f"{name}: the system lost some of its sound, because other programs keep this computer busy")
            yield converter.push(block)

    def close() -> None:
        closing = Thread(target=stream.close, kwargs={"ignore_errors": True}, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():  # closing a device that is gone may hang, and Python's exit would try it again
            atexit.unregister(sounddevice._exit_handler)

    return LiveInput(name, blocks(), waits=False, close=close)


def microphones() -> list[dict[str, Any]]:
    """List the microphones. Each has index, name, channels, sample_rate (Hz) and default (a bool).

    Raises:
        MissingDependencyError: sounddevice is not installed.
        AinextError: PortAudio is not installed.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    return [
        {
            "index": number,
            "name": one["name"],
            "channels": one["max_input_channels"],
            "sample_rate": int(one["default_samplerate"]),
            "default": number == default,
        }
        for number, one in enumerate(sounddevice.query_devices())
        if one["max_input_channels"] > 0
    ]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError:
        raise MissingDependencyError("the microphone", "audioinceptionnext[live]") from None
    except OSError as error:  # sounddevice is installed, but not the library that it needs
        hint = "install it (Debian, Ubuntu: apt install libportaudio2)"
        raise AinextError(f"the microphone needs PortAudio: {str(error).lower()}; {hint}") from None
    return sounddevice


def _cannot_open(device: str | int | None, error: Exception) -> AinextError:
    cause = " ".join(str(error).split())
    if device is None:
        return MediaError("microphone", f"cannot be opened ({cause}); connect one, or give a file, a URL or a pipe")
    return ParameterError("device", device, f"cannot be opened ({cause}); list the devices to see which ones there are")
