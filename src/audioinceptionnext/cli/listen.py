"""``ainext listen``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.cli.live_storage import ClipForm, Storage
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.inference.events import Observer

_RAW = "Raw samples on stdin (INPUT is -)"
_STORED = "What is stored"


class Encoding(StrEnum):
    s16le = "s16le"
    f32le = "f32le"


def listen(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Listen to these files, URLs (http, https, rtsp, rtmp, rtp, udp) and microphones (microphone, "
            "microphone:NAME), and with - to raw samples on stdin. Each may have a name: kitchen=rtsp://camera.local/1.",
            show_default="the microphone",
        ),
    ] = None,
    model: options.ModelName = DEFAULT_MODEL,
    labels: options.Labels = None,
    ignore: options.Ignore = None,
    language: options.Language = None,
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
        int | None,
        typer.Option(
            min=1,
            help="Use this many CPU threads; one is enough to keep up.",
            show_default="all; one for each of several inputs",
        ),
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
    history: Annotated[
        Path | None,
        typer.Option(
            "--history", metavar="FILE.db", help="Also store the segments in this database (SQLite).",
            rich_help_panel=_STORED,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the sound of each segment in this folder, and no other sound.",
            rich_help_panel=_STORED,
        ),
    ] = None,
    form: Annotated[
        ClipForm | None,
        typer.Option(
            "--keep-format", help="Set the format of these files.", show_default="flac", rich_help_panel=_STORED
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--keep-margin", metavar="SECONDS", help="Keep this much sound before and after each segment.",
            show_default="1", rich_help_panel=_STORED,
        ),
    ] = None,
    max_mb: Annotated[
        float | None,
        typer.Option(
            "--keep-max-mb", metavar="MB", help="Delete the oldest files when all together are larger than this.",
            show_default="no limit", rich_help_panel=_STORED,
        ),
    ] = None,
    max_days: Annotated[
        float | None,
        typer.Option(
            "--keep-max-days", metavar="DAYS", help="Delete files of segments that are older than this.",
            show_default="no limit", rich_help_panel=_STORED,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Raise alerts as this YAML file says: print, append to a file, run a command, call a webhook, publish "
            "by MQTT. ainext rules check shows what it means.",
        ),
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
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Open a live network stream again when it breaks off, however long that takes.",
        ),
    ] = True,
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
    """Listen to microphones, streams, a pipe or files, and print each segment some seconds after it ends.

    A prediction needs the sound around it, so with the model everyday it comes 4 s late, and a segment about 1 s after
    that. --lookahead sets how late. With --json, a segment is also announced when it begins, and withdrawn if it turns
    out to be none.

    Ctrl-C stops listening and prints the segments that are still open.

    Example: [bold]ainext listen rtsp://camera.local/1 --log kitchen.csv[/bold]

    All day, with several inputs: [bold]ainext listen kitchen=rtsp://camera.local/1 microphone --history home.db[/bold]

    With raw samples from another program: [bold]arecord -f S16_LE -r 24000 | ainext listen - --json[/bold]
    """
    if list_devices:
        _list_devices(as_json)
        return

    from audioinceptionnext.cli.journal import Journal
    from audioinceptionnext.cli.live_inputs import RawSamples, check_options, open_inputs, read_inputs
    from audioinceptionnext.cli.live_loop import LiveLoop, run_all, turns
    from audioinceptionnext.cli.live_printer import Printer
    from audioinceptionnext.cli.signals import stop_signals
    from audioinceptionnext.inference.events import Observers
    from audioinceptionnext.inference.stream import Stream
    from audioinceptionnext.models.load import load

    chosen = read_inputs(inputs or [], device, follow)
    raw = RawSamples(sample_rate, channels, encoding)
    check_options(chosen, raw, drop, stop_after)
    storage = Storage(history, keep, form, margin, max_mb, max_days)
    storage.check()
    if steps and not as_json:
        raise ParameterError("steps", None, "this needs --json")
    several = len(chosen) > 1
    # One thread for each of several inputs: they are recognised side by side.
    recogniser = load(model, threads=1 if several and threads is None else threads, backend=backend.value)
    recogniser = options.choose(recogniser, labels, ignore, language)
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    read = None
    if rules is not None:
        from audioinceptionnext.alerts import load_rules

        read = load_rules(rules, recogniser.label_set, [one.name for one in chosen])
    rate = recogniser.sample_rate
    shown = as_json or rules is not None or sys.stderr.isatty()  # whether anybody takes what is announced

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

    first = stream(0, lambda line: None)  # complains about its parameters before anything is opened
    named = several or any(one.given_name for one in chosen)
    printer = Printer(as_json, steps, first.delay, [one.name for one in chosen] if named else (), recogniser.names)
    observers: list[Observer] = []  # the printer comes after them: what is printed has been stored
    with ExitStack() as open_files, stop_signals() as stop:
        if log is not None:
            observers.append(Journal(log, printer.fail))
        recorder = storage.open(open_files, recogniser.name, rate, first.lag, printer.print_note)
        if recorder is not None:
            observers.append(recorder)
        if read is not None:
            from audioinceptionnext.alerts import Alerts

            observers.append(
                Alerts(read, warn=lambda line: printer.print_note(f"warning: {line}"), show=printer.print_alert)
            )
        observer, turn = Observers(observers), turns()
        open_files.callback(observer.close)
        opened = open_inputs(chosen, rate, raw, warn, printer.print_note, reconnect)
        loops = [
            LiveLoop(
                source, stream, printer, rate, drop, stop_after, name=name, observer=observer, stop=stop, turn=turn
            )
            for name, source in opened
        ]
        complete = (run_all(loops) if several else loops[0].run()) and len(opened) == len(chosen)
    if printer.failed is not None:
        printer.print_note(str(printer.failed))
    lost = 0 if recorder is None else recorder.rows_lost + recorder.clips_lost
    if printer.failed is not None or lost or not complete:
        raise typer.Exit(1)


def _list_devices(as_json: bool) -> None:
    from audioinceptionnext.audio.microphone import microphones

    devices = microphones()
    if as_json:
        print(json.dumps(devices, ensure_ascii=False))
        return
    for one in devices:
        mark = "*" if one["default"] else " "
        print(f"{one['index']:>3} {mark} {one['name']} ({one['channels']} channels, {one['sample_rate']} Hz)")
