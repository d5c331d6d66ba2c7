"""``ainext listen``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import ParameterError, counted
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np

    from audioinceptionnext.audio.capture import LiveInput

_RAW = "Raw samples on stdin (INPUT is -)"


class Encoding(StrEnum):
    s16le = "s16le"
    f32le = "f32le"


def listen(
    input: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="Listen to this file or URL (http, https, rtsp, rtmp, rtp, udp), or with - to raw samples on stdin.",
            show_default="the microphone",
        ),
    ] = None,
    model: options.ModelName = DEFAULT_MODEL,
    labels: options.Labels = None,
    ignore: options.Ignore = None,
    onset_threshold: options.OnsetThreshold = None,
    offset_threshold: options.OffsetThreshold = None,
    smoothing: options.Smoothing = None,
    min_duration: options.MinDuration = None,
    merge_gap: options.MergeGap = None,
    step_seconds: options.StepSeconds = None,
    lookahead: options.Lookahead = None,
    early: Annotated[
        bool,
        typer.Option(
            "--early/--no-early",
            help="Announce segments while they begin, from five predictions a second of the sound so far. This takes "
            "more than twice the CPU time. Models without a fine timeline announce them some seconds later.",
        ),
    ] = True,
    backend: options.Backend = options.BackendName.auto,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Use this many CPU threads; one is enough to keep up.", show_default="all")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when a segment begins, ends or is withdrawn.")
    ] = False,
    steps: Annotated[
        bool, typer.Option("--steps", help="With --json, also print the most probable label of every step.")
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Also append the segments to this .csv or .jsonl file."),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop after this much sound.", show_default="at the end, or at Ctrl-C"),
    ] = None,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="If recognition falls behind, skip to the newest sound, and say how much is lost."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep reading a file that is still being written.")] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Use this microphone.", show_default="the system's default"),
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="List the microphones and exit.")] = False,
    sample_rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Set the sample rate.", show_default="the model's", rich_help_panel=_RAW),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=1024, help="Set the number of channels.", show_default="1",
            rich_help_panel=_RAW,
        ),
    ] = None,
    encoding: Annotated[
        Encoding | None, typer.Option(help="Set the sample format.", show_default="s16le", rich_help_panel=_RAW)
    ] = None,
) -> None:  # fmt: skip
    """Listen to a microphone, a stream, a pipe or a file, and print each segment some seconds after it ends.

    A prediction needs the sound around it, so with the model everyday it comes 4 s late, and a segment about 1 s after
    that. --lookahead sets how late. With --json, a segment is also announced when it begins, and withdrawn if it turns
    out to be none.

    Ctrl-C stops listening and prints the segments that are still open.

    Example: [bold]ainext listen rtsp://camera.local/1 --log kitchen.csv[/bold]

    With raw samples from another program: [bold]arecord -f S16_LE -r 24000 | ainext listen - --json[/bold]
    """
    if list_devices:
        _list_devices(as_json)
        return
    kind = _kind(input, follow)
    _check(kind, {"sample_rate": sample_rate, "channels": channels, "encoding": encoding}, device, drop, stop_after)
    if follow and kind != "growing file":
        raise ParameterError("follow", None, "this is only for a file that is still being written")
    if steps and not as_json:
        raise ParameterError("steps", None, "this needs --json")

    from audioinceptionnext.audio.capture import public_name
    from audioinceptionnext.cli.live_loop import Journal, LiveLoop, Printer
    from audioinceptionnext.inference.stream import Stream
    from audioinceptionnext.models.load import load

    recogniser = options.choose(load(model, threads=threads, backend=backend.value), labels, ignore)
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    rate = recogniser.sample_rate
    shown = as_json or sys.stderr.isatty()  # whether anybody sees what is announced

    said: set[str] = set()

    def warn(line: str) -> None:
        if line not in said:
            said.add(line)
            printer.print_note(f"warning: {line}")

    def stream(start: float, on_warning: Callable[[str], None] = warn) -> Stream:
        return Stream(
            recogniser,
            step_seconds=step_seconds,
            settings=settings,
            start=start,
            lookahead=lookahead,
            early=early and shown,
            on_warning=on_warning,
        )

    delay = stream(0, lambda line: None).delay  # complains about its parameters before anything is opened
    journal = None if log is None else Journal(log, public_name(input or "microphone"))
    printer = Printer(as_json, steps, journal, delay)
    try:
        if kind == "stdin":
            from audioinceptionnext.audio.capture import pcm_input

            form = encoding or "s16le", channels or 1, sample_rate or rate
            source = pcm_input(sys.stdin.fileno(), *form, rate, warn)
            if sample_rate is None:
                what = f"{rate:,} Hz, {counted(form[1], 'channel')}, {form[0]}"
                note = f"stdin: {what}, unless --sample-rate, --channels and --encoding say otherwise"
                source.blocks = _noted(source.blocks, lambda: printer.print_note(note))
        else:
            source = _open(kind, input, rate, device, warn)
        complete = LiveLoop(source, stream, printer, rate, drop, stop_after).run()
    finally:
        if journal is not None:
            journal.close()
    if not complete:
        raise typer.Exit(1)


def _kind(input: str | None, follow: bool) -> str:
    if input is None or input == "-":
        return "microphone" if input is None else "stdin"
    if "://" in input and not Path(input).exists():
        return "network"
    return "growing file" if follow else "file"


def _check(kind: str, raw: dict[str, object], device: str | None, drop: bool, stop_after: float | None) -> None:
    """Refuse options that do not fit the input; they would be ignored otherwise."""
    for name, value in raw.items():
        if value is not None and kind != "stdin":
            raise ParameterError(name, None, "this is only for raw samples on stdin; give - as INPUT")
    if device is not None and kind != "microphone":
        raise ParameterError("device", None, "this is only for a microphone; leave INPUT out")
    if drop and kind == "file":
        raise ParameterError("drop", None, "recognition of a file cannot fall behind; leave this out")
    if kind == "stdin" and sys.stdin.isatty():
        raise ParameterError("input", "-", "stdin is a terminal; pipe raw samples into it")
    if stop_after is not None and not 0 < stop_after < float("inf"):
        raise ParameterError("stop_after", stop_after, "give a number above 0")


def _open(kind: str, input: str | None, rate: int, device: str | None, warn: Callable[[str], None]) -> LiveInput:
    """Open any input but stdin."""
    if input is None:
        from audioinceptionnext.audio.microphone import microphone_input

        return microphone_input(int(device) if device is not None and device.isdecimal() else device, rate, warn)
    if kind == "file":
        from audioinceptionnext.audio.capture import file_input

        return file_input(input, rate, warn)
    from audioinceptionnext.audio.network_stream import growing_input, network_input

    return network_input(input, rate, warn) if kind == "network" else growing_input(input, rate, warn)


def _noted(blocks: Iterator[np.ndarray], note: Callable[[], None]) -> Iterator[np.ndarray]:
    """The blocks, with a note when the first one is there, which may turn out to be no sound."""
    for number, block in enumerate(blocks):
        if number == 0:
            note()
        yield block


def _list_devices(as_json: bool) -> None:
    from audioinceptionnext.audio.microphone import microphones

    devices = microphones()
    if as_json:
        print(json.dumps(devices, ensure_ascii=False))
        return
    for one in devices:
        mark = "*" if one["default"] else " "
        print(f"{one['index']:>3} {mark} {one['name']} ({one['channels']} channels, {one['sample_rate']} Hz)")
