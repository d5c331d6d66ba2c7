"""``ainext listen``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.audio.capture import Input


class Encoding(StrEnum):
    s16le = "s16le"
    f32le = "f32le"


def listen(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A file, a URL (http, https, rtsp, rtmp, rtp, udp), or - for raw samples on stdin.",
            show_default="the microphone",
        ),
    ] = None,
    model: options.ModelName = "kitchen20",
    threshold: options.Threshold = None,
    hop: Annotated[
        float | None, typer.Option("--hop", metavar="SECONDS", help="From one answer to the next.", show_default="0.16")
    ] = None,
    backend: options.Backend = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the CPU; one is enough to keep up.", show_default="all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each finished segment.")] = False,
    answers: Annotated[bool, typer.Option("--answers", help="With --json: also the likeliest label each hop.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Also append finished segments to a .csv or .jsonl file."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", help="Stop after so much sound.", show_default="at its end, or Ctrl-C")
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="When behind, skip ahead to now, and say how much.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="The file is still being written: wait for more.")] = False,
    device: Annotated[
        str | None, typer.Option(metavar="NAME|NUMBER", help="Which microphone.", show_default="the system's")
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="List the microphones and leave.")] = False,
    rate: Annotated[int | None, typer.Option(metavar="HZ", help="Of raw samples.", show_default="the model's")] = None,
    channels: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="Of raw samples.", show_default="1")
    ] = None,
    encoding: Annotated[Encoding | None, typer.Option(help="Of raw samples.", show_default="s16le")] = None,
) -> None:
    """Say which sounds are heard, as they are heard: from a microphone, a stream, a pipe or a file.

    A segment comes when it is over. Ctrl-C ends with what is open.

    Example: [bold]ainext listen rtsp://camera.local/1 --out kitchen.csv[/bold],
    [bold]arecord -f S16_LE -r 24000 | ainext listen - --json[/bold]
    """
    if list_devices:
        _list_devices(as_json)
        return
    kind = _kind(source, follow)
    _check(kind, {"--rate": rate, "--channels": channels, "--encoding": encoding}, device, drop, seconds)
    if follow and kind != "growing file":
        raise AinextError("--follow: is for a file that is still being written")
    if answers and not as_json:
        raise AinextError("--answers: goes with --json")

    from audioinceptionnext.audio.capture import named
    from audioinceptionnext.cli.live_loop import Journal, Listening, Printer
    from audioinceptionnext.inference.stream import Stream
    from audioinceptionnext.models.load import load

    settings = None if threshold is None else options.timeline_settings(threshold)
    recogniser = load(model, threads, backend, run="clips")
    ours = recogniser.sample_rate

    def stream(start: float) -> Stream:
        return Stream(recogniser, hop, settings, start=start)

    stream(0)  # complains of the hop before anything is opened
    journal = None if out is None else Journal(out, named(source or "microphone"))
    printer = Printer(as_json, answers, journal)
    try:
        if kind == "stdin":
            from audioinceptionnext.audio.capture import raw_input

            heard = raw_input(sys.stdin.fileno(), encoding or "s16le", channels or 1, rate or ours, ours)
        else:
            heard = _open(kind, source, ours, device, printer.say)
        complete = Listening(heard, stream, printer, ours, drop, seconds).run()
    finally:
        if journal is not None:
            journal.close()
    if not complete:
        raise typer.Exit(1)


def _kind(source: str | None, follow: bool) -> str:
    if source is None or source == "-":
        return "microphone" if source is None else "stdin"
    if "://" in source and not Path(source).exists():
        return "network"
    return "growing file" if follow else "file"


def _check(kind: str, raw: dict[str, object], device: str | None, drop: bool, seconds: float | None) -> None:
    """Options that fit nothing would otherwise be passed over."""
    for option, value in raw.items():
        if value is not None and kind != "stdin":
            raise AinextError(f"{option}: is for raw samples on stdin; give - as SOURCE")
    if device is not None and kind != "microphone":
        raise AinextError("--device: is for a microphone; leave SOURCE out")
    if drop and kind == "file":
        raise AinextError("--drop: a file waits until it is heard; leave it out")
    if kind == "stdin" and sys.stdin.isatty():
        raise AinextError("-: stdin is a terminal; pipe raw samples into it")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise AinextError(f"--seconds {seconds}: give a number above 0")


def _open(kind: str, source: str | None, rate: int, device: str | None, say: Callable[[str], None]) -> Input:
    """Any source but stdin."""

    def warn(line: str) -> None:
        say(f"warning: {line}")

    if source is None:
        from audioinceptionnext.audio.microphone import microphone_input

        return microphone_input(int(device) if device is not None and device.isdecimal() else device, rate, warn)
    if kind == "file":
        from audioinceptionnext.audio.capture import file_input

        return file_input(source, rate, warn)
    from audioinceptionnext.audio.network_stream import growing_input, network_input

    return network_input(source, rate, warn) if kind == "network" else growing_input(source, rate, warn)


def _list_devices(as_json: bool) -> None:
    from audioinceptionnext.audio.microphone import microphones

    found = microphones()
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for one in found:
        mark = "*" if one["default"] else " "
        print(f"{one['index']:>3} {mark} {one['name']} ({one['channels']} channels, {one['sample_rate']} Hz)")
