"""``ainext data render``: clips of synthetic sounds, or scenes of recordings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.errors import ParameterError, counted, printable

CLIPS, CLIP_SECONDS = 24_000, 3.28
_scene_option = {"rich_help_panel": "Scenes of recordings"}


def render(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Write to this folder: one subfolder per label, or scenes and times.csv."),
    ],
    clips: Annotated[int | None, typer.Option(min=1, help="Render this many clips.", show_default=f"{CLIPS:,}")] = None,
    clip_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, max=60, help="Set the duration of each clip.", show_default=str(CLIP_SECONDS)),
    ] = None,
    sample_rate: Annotated[
        int, typer.Option(min=4_000, max=192_000, metavar="HZ", help="Set the sample rate of the files.")
    ] = 24_000,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="With --scenes, set the random seed. Otherwise set the number of the first clip: each number gives a "
            "different one, so --seed 100 --clips 50 renders the clips 100 to 149.",
        ),
    ] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Render in this many processes.", show_default="one per core")
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Compose this many scenes of the recordings of --data, and no clips.", **_scene_option
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Choose the kind of data set: {shared.DATA_SETS}.", **_scene_option),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Read the data set from this folder.", **_scene_option)
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Read the recordings from this folder or HDF5 file, if they are not below --root.",
            **_scene_option,
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(help="Use only recordings of these folds, such as 5.", show_default="all", **_scene_option),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Use only recordings of these splits, such as test.", show_default="all", **_scene_option),
    ] = None,
    unseen_sources: Annotated[
        bool,
        typer.Option(
            "--unseen-sources",
            help="Leave out recordings whose source also occurs in the other folds or splits.",
            **_scene_option,
        ),
    ] = False,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the settings of scenes from this YAML.", **_scene_option)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING=VALUE",
            help="Change a setting, such as events_per_minute=10. May be repeated.",
            **_scene_option,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Remove the scenes of another call in DIR, and start over.", **_scene_option),
    ] = False,
) -> None:
    """Render data to train on and to test with: synthetic clips, or scenes of recordings whose times are known.

    Clips are knocks, water, motors, voices and more, to pretrain on. Scenes are single recordings of a data set at
    random times over a background; times.csv says what sounds when.

    Existing files are kept. To continue an interrupted run, give the same command again.

    Example: [bold]ainext data render rendered --clips 24000[/bold]

    Example: [bold]ainext data render scenes --scenes 20 --data kitchen20 --root Kitchen20 --folds 5[/bold]
    """
    jobs = jobs or os.cpu_count() or 1
    of_scenes = {
        "data": data, "root": root, "audio": audio, "folds": folds, "split": split, "settings": settings,
        "changes": changes, "overwrite": overwrite or None, "unseen_sources": unseen_sources or None,
    }  # fmt: skip
    if scenes is None:
        if given := next((name for name, value in of_scenes.items() if value is not None), None):
            raise ParameterError(given, None, "is for scenes of recordings; give the number of scenes too")
        _render_clips(folder, clips or CLIPS, clip_seconds or CLIP_SECONDS, sample_rate, seed, jobs)
        return
    if clips is not None or clip_seconds is not None:
        name = "clips" if clips is not None else "clip_seconds"
        raise ParameterError(name, None, "is for synthetic clips; leave it out (scenes have a setting `seconds`)")
    if data is None or root is None:
        reason = "scenes are made of the recordings of a data set; name it and its folder"
        raise ParameterError("data" if data is None else "root", None, reason)
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.data.waveforms import Waveforms
    from audioinceptionnext.evaluation.evaluate import unseen_sources as of_unseen_sources
    from audioinceptionnext.rendering.scene_folder import TIMES, render_scenes
    from audioinceptionnext.rendering.scene_settings import load_scene_settings
    from audioinceptionnext.rendering.scenes import Composer, open_backgrounds

    chosen = load_scene_settings(settings, shared.read_changes(changes))
    dataset = load_dataset(data, root, audio)
    dataset.check_one_task("composing scenes")
    reader = Reader(sample_rate, dataset.sample_rate)
    selected, others = dataset.select(folds, split)
    used = of_unseen_sources(selected, others) if unseen_sources else selected
    waveforms = Waveforms(used, reader, keep="nothing")
    composer = Composer(waveforms, chosen, seed, backgrounds=open_backgrounds(chosen, sample_rate, keep="nothing"))
    shared.print_problems(dataset)
    for _, reason in composer.unreadable:
        print(f"left out: {printable(reason)}", file=sys.stderr)
    found = render_scenes(
        folder,
        composer,
        dataset.labels,
        scenes,
        made_of={"data": data, "folds": folds, "split": split},
        read_from=[place for place in (root, audio) if place],
        overwrite=overwrite,
        jobs=jobs,
        progress=lambda done: print_progress(done, scenes, "scenes"),
    )
    if found.left_out:
        why = "silent, softer than the background, or without a place"
        print(f"left out of scenes: {counted(found.left_out, 'recording')} ({why})", file=sys.stderr)
    if found.empty:
        print(f"ainext: warning: {counted(found.empty, 'scene')} without any event, not written", file=sys.stderr)
    what = f"{counted(scenes - found.empty, 'scene')} of {chosen.seconds:g} s with {counted(found.events, 'event')}"
    print(f"{printable(folder)}: {what}, of which {counted(found.new, 'scene')} new; what sounds when: {TIMES}")
    print(f"next: ainext train --data csv --root {printable(folder)} --recipe timeline --out runs/scenes")


def _render_clips(folder: Path, clips: int, clip_seconds: float, sample_rate: int, seed: int, jobs: int) -> None:
    from audioinceptionnext.rendering import LABELS
    from audioinceptionnext.rendering.folder import render_folder

    new = render_folder(
        folder,
        clips,
        clip_seconds=clip_seconds,
        sample_rate=sample_rate,
        seed=seed,
        jobs=jobs,
        progress=lambda done: print_progress(done, clips, "clips"),
    )
    print(f"{printable(folder)}: {counted(clips, 'clip')} of {counted(len(LABELS), 'label')}, of which {new:,} are new")
    print(f"next: ainext train --data folder --root {printable(folder)} --recipe rendered --out runs/rendered")


def print_progress(done: int, of: int, what: str = "recordings") -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{of} {what}", end="\n" if done == of else "", file=sys.stderr)
