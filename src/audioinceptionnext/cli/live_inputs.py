"""The inputs of ``ainext listen``: what the words on the command line mean, and how each input is opened."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from audioinceptionnext.audio.capture import LiveInput, public_name
from audioinceptionnext.errors import MediaError, ParameterError, counted, printable

if TYPE_CHECKING:
    import numpy as np

_NAMED = re.compile(r"([^=:/\\?]+)=(.+)", re.DOTALL)  # a URL may have an = later on
_MICROPHONE = re.compile(r"microphone(?::(.+))?", re.DOTALL)


@dataclass(frozen=True)
class Input:
    """One input, as it was asked for.

    Attributes:
        kind: ``microphone``, ``stdin``, ``network``, ``file``, or ``growing file``, which is still being written.
        address: the file, the URL, or the microphone's name or number; None for the default one.
        given_name: what the user calls it.
    """

    kind: str
    address: str | None = None
    given_name: str | None = None

    @property
    def name(self) -> str:
        """What results call it."""
        if self.given_name is not None:
            return self.given_name
        if self.kind in ("stdin", "microphone"):
            return self.kind if self.address is None else f"{self.kind} {printable(self.address)}"
        return public_name(self.address or "")


@dataclass(frozen=True)
class RawSamples:
    """How raw samples on stdin are encoded; what is None was not stated."""

    sample_rate: int | None = None
    channels: int | None = None
    encoding: str | None = None


def read_inputs(words: Sequence[str], device: str | None, follow: bool) -> list[Input]:
    """The inputs that words stand for; without any, the microphone ``device``.

    Raises:
        ParameterError: two inputs have one name, or both are stdin or the default microphone; or ``device`` or
            ``follow`` does not fit them.
    """
    inputs = [_read(word, follow) for word in words] or [Input("microphone", device)]
    if device is not None and words:
        raise ParameterError(
            "device", device, "this is only for a microphone; leave INPUT out, or give microphone:NAME"
        )
    if follow and not any(one.kind == "growing file" for one in inputs):
        raise ParameterError("follow", None, "this is only for a file that is still being written")
    for kind in ("stdin", "microphone"):
        if sum(one.kind == kind and one.address is None for one in inputs) > 1:
            raise ParameterError("inputs", None, f"{kind} is given twice")
    twice = [name for name, number in Counter(one.name for one in inputs).items() if number > 1]
    if twice:
        reason = "two inputs are called so; give each a name, as in kitchen=rtsp://camera.local/1"
        raise ParameterError("inputs", twice[0], reason)
    return inputs


def _read(word: str, follow: bool) -> Input:
    name, address = None, word
    if (named := _NAMED.fullmatch(word)) and not Path(word).exists():
        name, address = printable(named[1].strip()) or None, named[2]
    if address == "-":
        return Input("stdin", None, name)
    if (microphone := _MICROPHONE.fullmatch(address)) and not Path(address).exists():
        return Input("microphone", microphone[1], name)
    if "://" in address and not Path(address).exists():
        return Input("network", address, name)
    return Input("growing file" if follow else "file", address, name)


def check_options(inputs: Sequence[Input], raw: RawSamples, drop: bool, stop_after: float | None) -> None:
    """Refuse options that fit none of the inputs, since they would be ignored otherwise. Raises `ParameterError`."""
    kinds = {one.kind for one in inputs}
    for name, value in vars(raw).items():
        if value is not None and "stdin" not in kinds:
            raise ParameterError(name, None, "this is only for raw samples on stdin; give - as INPUT")
    if drop and kinds == {"file"}:
        raise ParameterError("drop", None, "recognition of a file cannot fall behind; leave this out")
    if "stdin" in kinds and sys.stdin.isatty():
        raise ParameterError("inputs", "-", "stdin is a terminal; pipe raw samples into it")
    if stop_after is not None and not 0 < stop_after < float("inf"):
        raise ParameterError("stop_after", stop_after, "give a number above 0")


def open_inputs(
    inputs: Sequence[Input],
    rate: int,
    raw: RawSamples,
    warn: Callable[[str], None],
    note: Callable[[str], None],
    reconnect: bool,
) -> list[tuple[str, LiveInput]]:
    """Open the inputs, and return each with its name. Of several, a microphone that cannot be opened is left out.

    Args:
        rate: the model's, in Hz.
        raw: how samples on stdin are encoded.
        warn: called with one line for everything that is wrong with the sound but can be used.
        note: called with other lines.
        reconnect: whether to open a network stream again when it breaks off.

    Raises:
        AinextError: the only input cannot be opened; or one of several for a reason that will not go away.
    """
    several = len(inputs) > 1
    opened: list[tuple[str, LiveInput]] = []
    for one in inputs:
        try:
            source = _open(one, rate, raw, warn, note, reconnect, several)
        except (MediaError, ParameterError) as error:
            if not several or one.kind != "microphone":
                raise
            note(f"{one.name}: {error.reason}")
            continue
        if one.given_name is not None and one.kind != "network":  # which has it already
            source = replace(source, name=f"{one.given_name} ({source.name})")
        opened.append((one.name, source))
    return opened


def _open(
    one: Input,
    rate: int,
    raw: RawSamples,
    warn: Callable[[str], None],
    note: Callable[[str], None],
    reconnect: bool,
    among_others: bool,
) -> LiveInput:
    if one.kind == "microphone":
        from audioinceptionnext.audio.microphone import microphone_input

        device = one.address
        return microphone_input(int(device) if device is not None and device.isdecimal() else device, rate, warn)
    if one.kind == "stdin":
        return _open_stdin(rate, raw, warn, note)
    assert one.address is not None
    if one.kind == "file":
        from audioinceptionnext.audio.capture import file_input

        return file_input(one.address, rate, warn)
    from audioinceptionnext.audio.network_stream import growing_input, network_input

    if one.kind == "growing file":
        return growing_input(one.address, rate, warn)
    public = public_name(one.address)
    return network_input(
        one.address,
        rate,
        warn,
        name=public if one.given_name is None else f"{one.given_name} ({public})",
        note=note if reconnect else None,
        from_the_start=among_others,
    )


def _open_stdin(rate: int, raw: RawSamples, warn: Callable[[str], None], note: Callable[[str], None]) -> LiveInput:
    from audioinceptionnext.audio.capture import pcm_input

    form = raw.encoding or "s16le", raw.channels or 1, raw.sample_rate or rate
    source = pcm_input(sys.stdin.fileno(), *form, rate, warn)
    if raw.sample_rate is not None:
        return source
    what = f"{rate:,} Hz, {counted(form[1], 'channel')}, {form[0]}"
    line = f"stdin: {what}, unless --sample-rate, --channels and --encoding say otherwise"
    return replace(source, blocks=_noted(source.blocks, lambda: note(line)))


def _noted(blocks: Iterator[np.ndarray | None], note: Callable[[], None]) -> Iterator[np.ndarray | None]:
    """The blocks, with a note when the first one is there, which may turn out to be no sound."""
    for number, block in enumerate(blocks):
        if number == 0:
            note()
        yield block
