"""Makes the recordings and Python's results that the tests compare with: python fixtures.py PART FOLDER"""

from __future__ import annotations

import json
import sys
import wave
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from choosing import labels
from fine import fine
from mixing import mixing
from outcomes import result_of, steps_of, write
from teaching import teaching

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.resample import Resampler
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import DEFAULT_MODEL, model_entries
from audioinceptionnext.results.segmentation import Segmenter, find_segments
from audioinceptionnext.results.settings import SegmentationSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SCENE = REPOSITORY / "examples" / "kitchen-scene.flac"  # 29 s


def main() -> None:
    part, folder = sys.argv[1], Path(sys.argv[2])
    PARTS[part](folder)


def resampling(folder: Path) -> None:
    """Noise at many rates, with steep edges at both ends, and the same at 24 kHz."""
    random = np.random.default_rng(0)
    cases = []
    for rate in (44100, 48000, 16000, 8000, 22050, 96000, 11025, 24000, 22255):
        for samples in (3 * rate + 17, 1000, 20):
            name = f"{rate}-{samples}"
            noise = (random.standard_normal(samples) * 0.2).clip(-1, 1).astype(np.float32)
            resampler = Resampler(rate, 24000)
            write(folder, f"{name}.in", noise)
            write(folder, f"{name}.out", np.concatenate([resampler.push(noise), resampler.finish()]))
            cases.append({"name": name, "rate": rate})
    (folder / "cases.json").write_text(json.dumps(cases))


def segmentation(folder: Path) -> None:
    """Segments of random probabilities with random settings, from all steps at once and from one after another."""
    random = np.random.default_rng(1)
    cases = []
    for _ in range(300):
        steps, classes = int(random.integers(1, 60)), int(random.integers(2, 5))
        noise = random.standard_normal((steps, classes)).cumsum(axis=0) * random.uniform(0.2, 2)
        rows = np.exp(noise - noise.max(axis=1, keepdims=True))
        rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        rows[random.random(steps) < random.choice([0, 0.2])] = 0  # silence
        step, window = float(random.choice([0.08, 0.16, 0.32, 1.0])), float(random.choice([0.8, 2.08, 0.3]))
        duration = max(0.05, (steps - 1) * step + window - random.uniform(0, step))
        onset = random.uniform(0.2, 0.95)
        settings = SegmentationSettings(
            onset_threshold=onset,
            offset_threshold=onset * random.uniform(0.3, 1),
            smoothing=float(random.choice([0, 0.32, 0.5, 2])),
            min_duration=float(random.choice([0, 0.3, 1])),
            merge_gap=float(random.choice([0, 0.3, 1])),
            class_thresholds=tuple(random.uniform(0.2, 0.9, classes)) if random.random() < 0.5 else (),
            class_smoothing=tuple(random.choice([0, 0.32, 2.0], classes).tolist()) if random.random() < 0.3 else (),
            class_min_durations=tuple(random.choice([0, 0.3, 1.0], classes).tolist()) if random.random() < 0.3 else (),
        )
        labels = [f"class {index}" for index in range(classes)]
        segmenter = Segmenter(labels, settings, step, window)
        rest = int(random.integers(0, min(4, steps) + 1))
        live, unfinished = [], []
        for row in rows[: steps - rest]:
            live.append([asdict(one) for one in segmenter.push(row[None])])
            unfinished.append([asdict(one) for one in segmenter.open_segments()])
        live.append([asdict(one) for one in segmenter.finish(rows[steps - rest :], duration)])
        unfinished.append([])
        whole = [asdict(one) for one in find_segments(rows, step, window, duration, labels, settings)]
        times = {"step_seconds": step, "window_seconds": window, "duration": duration}
        case = {"rows": rows.tolist(), **times, "labels": labels, "open": unfinished}
        cases.append({**case, "settings": asdict(settings), "rest": rest, "whole": whole, "live": live})
    (folder / "cases.json").write_text(json.dumps(cases))


def recordings(folder: Path) -> None:
    """The scene as WAV files at several rates, other recordings, and each model's results for them."""
    scene = decode.read(SCENE, 24000)
    native = decode.read(SCENE, 44100)
    for rate in (44100, 48000, 16000):
        scene_at_rate = native if rate == 44100 else decode.read(SCENE, rate)
        with wave.open(str(folder / f"scene-{rate}.wav"), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
            pair = np.stack([scene_at_rate, 0.5 * scene_at_rate], axis=1)
            file.writeframes((pair.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    # Two and a half minutes cross several boundaries of dense blocks, with stretches of silence and noise.
    noise = (np.random.default_rng(2).standard_normal(24000 * 5) * 0.01).astype(np.float32)
    parts = [scene, np.zeros(24000 * 4, np.float32), scene[::-1] * 0.5, noise, scene[24000 * 7 :], scene, scene * 2]
    write(folder, "long.f32", np.concatenate(parts))
    write(folder, "short.f32", scene[24000 * 3 : 24000 * 4])
    write(folder, "offset.f32", scene[: 24000 * 5] + np.float32(0.05))
    write(folder, "silent.f32", np.zeros(24000 * 5, np.float32))
    results = {}
    everything = ["scene-44100.wav", "scene-48000.wav", "scene-16000.wav", "long", "short", "offset", "silent"]
    # digits has the mode windows, at 8 kHz: it is slow, and the scene itself crosses the boundaries of its blocks.
    windows = ["scene-48000.wav", "short", "silent"]
    recordings_of = dict.fromkeys((DEFAULT_MODEL, "kitchen20", "kitchen20-small"), everything) | {"digits": windows}
    (folder / "names.json").write_text(json.dumps(recordings_of))
    for model, names in recordings_of.items():
        recogniser = load(model, threads=1)
        for name in names:
            path = folder / name
            wave_file = name.endswith(".wav")
            recording = path if wave_file else np.fromfile(path.with_suffix(".f32"), "<f4")
            results[f"{model} {name}"] = result_of(recogniser, recording)
    (folder / "results.json").write_text(json.dumps(results))


def models(folder: Path) -> None:
    """Silence, noise and a clip at the rates of the shipped models, and each model's probabilities for them."""
    found: dict[str, dict[str, object]] = {}
    for entry in model_entries():
        recogniser = load(entry.name, threads=1)
        rate = recogniser.sample_rate
        noise = 0.1 * np.random.default_rng(0).standard_normal(4 * rate).astype(np.float32)
        waveforms = {
            "zeros": np.zeros(3 * rate, np.float32),
            "noise": noise,
            "clip": decode.read(SCENE, rate)[: 5 * rate],
        }
        for kind, waveform in waveforms.items():
            write(folder, f"{rate}-{kind}.f32", waveform)
            probabilities = recogniser.predict(waveform).window_probabilities
            found.setdefault(entry.name, {})[kind] = probabilities.astype(float).tolist()
    (folder / "probabilities.json").write_text(json.dumps(found))


def live(folder: Path) -> None:
    """The steps of streams of the scene at a microphone's rate, and of a very short stream."""
    steps = {}
    cases = [("kitchen20", 48000, 29.0), ("kitchen20-small", 44100, 12.345), ("kitchen20-small", 24000, 0.7)]
    cases += [("digits", 8000, 4.0)]  # in the mode windows
    for model, rate, seconds in cases:
        waveform = decode.read(SCENE, rate)[: round(seconds * rate)]
        write(folder, f"{rate}.f32", waveform)
        steps[f"{model} {rate}"] = steps_of(Stream(load(model, threads=1), sample_rate=rate), waveform)
    (folder / "steps.json").write_text(json.dumps(steps))


def files(folder: Path) -> None:
    """PCM in many forms with what Python decodes, and compressed files with what their encoders added."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.audio_files import CODECS, chirp, encode, write_piped, write_video, write_with_pause
    from tests.containers import CONTAINERS, SITUATIONS, mux

    stereo = np.stack([chirp(1.1, 22050), 0.3 * chirp(1.1, 22050)[::-1]], axis=1)
    for codec in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "mulaw", "alaw"):
        encode(folder / f"{codec}.wav", stereo, 22050, codec=f"pcm_{codec}")
    encode(folder / "six.wav", np.repeat(stereo, 3, axis=1), 22050)
    sound, quiet = stereo[:, 0], np.zeros(5000, np.float32)
    opposite = np.stack([sound, -0.97 * sound], axis=1)
    parts = [np.stack([quiet] * 2, axis=1), opposite, stereo, stereo, opposite]  # the choice changes several times
    encode(folder / "opposite.wav", np.concatenate(parts), 22050)
    encode(folder / "one-of-eight.wav", np.stack([0 * sound] * 5 + [sound] + [0 * sound] * 2, axis=1), 22050)
    encode(folder / "s16be.mov", stereo, 22050, codec="pcm_s16be")
    whole = (folder / "s16le.wav").read_bytes()
    riff, at = 4, whole.index(b"data") + 4
    for name, size in (("unknown", b"\xff\xff\xff\xff"), ("zero", bytes(4))):
        changed = whole[:riff] + size + whole[riff + 4 : at] + size + whole[at + 4 :]
        (folder / f"{name}.wav").write_bytes(changed)
    (folder / "cut.wav").write_bytes(whole[:20001])
    (folder / "followed.wav").write_bytes(whole + b"LIST\x10\0\0\0" + bytes(16))
    CODECS[".mkv"] = "pcm_s16le"
    write_video(folder / "late.mkv", samples=stereo, rate=22050, seconds=4.5, delay=3)
    write_video(folder / "early.mkv", samples=stereo, rate=22050, seconds=1)
    write_with_pause(folder / "pause.mkv", np.tile(stereo, (6, 1)), 22050, start=3, seconds=2.5)
    for name in ("late", "pause"):
        write_piped(folder / f"{name}-piped.mkv", folder / f"{name}.mkv")
    half = (len(whole) - at - 4) // 4 * 2
    (folder / "half-stated.wav").write_bytes(whole[:at] + half.to_bytes(4, "little") + whole[at + 4 :])
    (folder / "two.wav").write_bytes(whole + whole)
    (folder / "zeros.wav").write_bytes(whole + bytes(100_000))
    tags, samples = b"LIST\x10\0\0\0" + bytes(16), whole[at + 4 :]
    picture = b"id3 " + (100_000).to_bytes(4, "little") + np.random.default_rng(0).bytes(100_000)
    never, stated_half = (folder / "zero.wav").read_bytes(), (folder / "half-stated.wav").read_bytes()
    other_rate = whole.replace((22050).to_bytes(4, "little"), (24000).to_bytes(4, "little"))
    chunks = {
        "two-with-tags": whole + tags + whole + tags,
        "never-with-tags": never + picture + tags,
        "half-stated-with-tags": stated_half + picture,
        "half-stated-and-another": stated_half + whole,
        "two-chunks": whole + whole[at - 4 : at + 4] + samples,
        "two-never": never + tags + never,
        "never-and-another-rate": never + other_rate,
        "another-rate": whole + tags + other_rate,
        "samples-after-tags": whole + tags + samples,
        "empty-chunk": whole + b"JUNK" + bytes(4) + whole,
        "the-second-cut": whole + whole[: len(whole) // 4 * 2],
        "silent-never": never[: at + 4] + bytes(40_000),
        "many": whole[: at - 4] + (b"data\x04\0\0\0" + samples[:4]) * 1500,
    }
    for name, content in chunks.items():
        (folder / f"chunks-{name}.wav").write_bytes(content)
    matroska = replace(CONTAINERS["mkv"], codec="pcm_s16le", rate=22050)
    for name in ("lead", "lead, no length", "pause", "pause, no length", "no length", "silent track first"):
        SITUATIONS[name].write(folder / f"situation-{name.replace(', ', '-').replace(' ', '-')}.mkv", matroska, stereo)
    mux(folder / "absurd.mkv", matroska, [stereo], time_of=lambda time: time + 90_000, piped=True)
    mux(folder / "jump.mkv", matroska, [stereo], time_of=lambda time: time + 90_000 * (time >= 0.5), piped=True)
    decoded = {}
    for path in sorted(folder.glob("*.*")):
        warnings: list[str] = []
        blocks = decode.read_blocks(path, 24000, on_warning=warnings.append)
        write(folder, f"{path.name}.f32", np.concatenate(list(blocks)))
        decoded[path.name] = warnings
    decoded["cut.wav"] = []  # the browser takes the length that is there for the one that is stated
    paddings = {}
    for rate in (8000, 22050, 44100, 48000):
        name = f"{rate}.mp3"
        encode(folder / name, chirp(1.5, rate), rate, metadata={"title": "a title " * 500})
        paddings[name] = {"samples": round(1.5 * rate), "samplesPerFrame": 1152 if rate > 24000 else 576}
    delays = {}
    for name, codec, samples in (("aac.mka", "aac", 1024), ("opus.webm", "libopus", 312), ("flac.mka", "flac", 0)):
        encode(folder / name, chirp(1.5, 48000), 48000, codec=codec)
        delays[name] = samples
    for name in ("44100.flac", "44100.ogg", "44100.m4a", "48000.webm"):
        rate = int(name.split(".")[0])
        encode(folder / name, np.stack([chirp(1.5, rate)] * 2, axis=1), rate)
    (folder / "cases.json").write_text(json.dumps({"decoded": decoded, "paddings": paddings, "delays": delays}))


def browser(folder: Path) -> None:
    """The scene in formats that browsers decode, 100 s of it, and the command line's results for them."""
    sys.path.insert(0, str(REPOSITORY))
    from typer.testing import CliRunner

    from audioinceptionnext.cli.app import app
    from tests.audio_files import encode, write_piped, write_video, write_with_pause
    from tests.containers import CONTAINERS, SITUATIONS

    rate = 44100
    scene = decode.read(SCENE, rate)
    pair = np.stack([scene, 0.7 * scene], axis=1)
    names = ["scene.wav", "scene.flac", "scene.mp3", "scene.ogg", "scene.m4a", "scene.opus", "scene.webm"]
    for name in names:
        file_rate = 48000 if name.endswith(("opus", "webm")) else rate
        encode(folder / name, pair if file_rate == rate else decode.read(SCENE, file_rate), file_rate)
    at_48000 = decode.read(SCENE, 48000)
    for name in ("late.mp4", "late.webm"):
        write_video(folder / name, samples=at_48000, seconds=32, delay=3)
    for name in ("pause.webm", "pause.m4a", "pause.mkv"):
        write_with_pause(folder / name, at_48000, 48000, start=9, seconds=2.5)
    for name in ("late.webm", "pause.webm", "pause.mkv", "scene.webm"):
        write_piped(folder / f"piped-{name}", folder / name)
        names.append(f"piped-{name}")
    encode(folder / "opposite.m4a", np.stack([scene, -scene], axis=1), rate)
    encode(folder / "offset.flac", scene + np.float32(0.05), rate)
    names += ["opposite.m4a", "offset.flac"]
    content = (folder / "scene.wav").read_bytes()
    at = content.index(b"data") + 4
    (folder / "piped.wav").write_bytes(content[:4] + b"\xff" * 4 + content[8:at] + b"\xff" * 4 + content[at + 4 :])
    content = (folder / "scene.mp3").read_bytes()
    (folder / "cut.mp3").write_bytes(content[: 2 * len(content) // 3 + 100])
    for name in ("lead", "silent track first"):
        SITUATIONS[name].write(folder / f"{name.split()[0]}.m4a", CONTAINERS["m4a"], at_48000)
        names.append(f"{name.split()[0]}.m4a")
    names += ["late.mp4", "late.webm", "pause.webm", "pause.m4a", "pause.mkv", "piped.wav", "cut.mp3"]
    encode(folder / "minutes.flac", np.tile(scene, 4)[: 100 * rate], rate)
    encode(folder / "minutes.wav", np.tile(scene, 4)[: 100 * rate], rate)
    options = ("--model", "kitchen20", "--json", "--workers", "1")
    found = CliRunner().invoke(app, ["predict", *(str(folder / name) for name in names), *options])
    (folder / "results.json").write_text(found.stdout)
    whole = CliRunner().invoke(app, ["predict", str(folder / "minutes.flac"), *options])
    (folder / "minutes.json").write_text(whole.stdout)


BROWSER_CONTAINERS = (
    "mp4",
    "mov",
    "mkv",
    "mka",
    "webm",
    "ts",
    "m4a",
    "ogg",
    "opus",
    "wav",
    "rf64",
    "flac",
    "mp3",
    "aac",
)


def situations(folder: Path) -> None:
    """Twelve seconds of the scene in every container that browsers read, in every situation, and the results."""
    sys.path.insert(0, str(REPOSITORY))
    from audioinceptionnext.errors import MediaError
    from tests.containers import CONTAINERS, SITUATIONS

    recogniser, results = load("kitchen20", threads=1), []
    for name in BROWSER_CONTAINERS:
        kind = CONTAINERS[name]
        sound = decode.read(SCENE, kind.rate, 6.0, 12.0)
        for situation, how in SITUATIONS.items():
            if how.fits(kind):
                path = folder / f"{name}-{situation.replace(', ', '-').replace(' ', '-')}{kind.suffix}"
                how.write(path, kind, sound)
                try:
                    found = recogniser.predict(path)
                    results.append(found.as_dict() | {"file": str(path), "warnings": found.warnings})
                except MediaError as error:
                    results.append({"file": str(path), "error": str(error)})
    (folder / "results.json").write_text(json.dumps(results))


PARTS = {
    "browser": browser,
    "files": files,
    "fine": fine,
    "labels": labels,
    "mixing": mixing,
    "resampling": resampling,
    "segmentation": segmentation,
    "recordings": recordings,
    "live": live,
    "models": models,
    "situations": situations,
    "teaching": teaching,
}

if __name__ == "__main__":
    main()
