"""A microphone, through PortAudio (extra: live)."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from audioinceptionnext.audio.capture import Input, Intake
from audioinceptionnext.errors import AinextError

_LOST_S = 5.0  # a microphone gives sound many times a second: after so long without any it is gone
_CLOSE_S = 2.0


def microphone_input(device: str | int | None, rate: int, warn: Callable[[str], None]) -> Input:
    """A microphone, at its own rate, up to two channels. ``warn`` is told once if the system loses sound.

    Raises AinextError: no sounddevice, no PortAudio, no such device, one that cannot be opened.
    """
    sounddevice = _sounddevice()
    queue: SimpleQueue[tuple[np.ndarray, bool] | None] = SimpleQueue()

    def came(block: np.ndarray, frames: int, clock: Any, status: Any) -> None:
        queue.put((block.copy(), bool(status.input_overflow)))

    try:
        found = sounddevice.query_devices(device, "input")
        own = int(found["default_samplerate"])
        stream = sounddevice.InputStream(
            samplerate=own,
            device=device,
            channels=min(2, found["max_input_channels"]),
            dtype="float32",
            callback=came,
            finished_callback=lambda: queue.put(None),
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AinextError(_no_device(device, error)) from None
    name = f"microphone {found['name']}"
    intake = Intake(own, rate)

    def pieces() -> Iterator[np.ndarray]:
        lost = False
        while True:
            try:
                item = queue.get(timeout=_LOST_S)
            except Empty:
                item = None
            if item is None:
                raise AinextError(f"{name}: gives no sound any more; is it still connected?")
            if item[1] and not lost:
                lost = True
                warn(f"{name}: the system lost some of its sound; something else keeps this machine busy")
            yield intake.push(item[0])

    def close() -> None:
        closing = Thread(target=stream.close, kwargs={"ignore_errors": True}, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():  # a device that is gone may never answer, and would be asked again at Python's end
            atexit.unregister(sounddevice._exit_handler)

    return Input(name, pieces(), waits=False, close=close)


def microphones() -> list[dict[str, Any]]:
    """The devices that sound can come from: index, name, channels, sample_rate, default. Raises AinextError."""
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
        raise AinextError(
            "the microphone needs more than is installed: pip install 'audioinceptionnext[live]'"
        ) from None
    except OSError as error:  # it is there, the library under it is not
        hint = "install it (Debian, Ubuntu: apt install libportaudio2)"
        raise AinextError(f"the microphone needs PortAudio: {str(error).lower()}; {hint}") from None
    return sounddevice


def _no_device(device: str | int | None, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if device is None:
        return f"no microphone that can be opened ({reason}); connect one, or give a file, a URL or - as SOURCE"
    return f"--device {device}: cannot be opened ({reason}); --list-devices names those there are"
