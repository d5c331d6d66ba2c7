"""What the tests compare with: sounds, and what Python says of them. python fixtures.py PART FOLDER"""

from __future__ import annotations

import json
import sys
import wave
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.resample import Resampler
from audioinceptionnext.audio.source import Source
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.results.segmentation import TimelineSettings, find_segments
from audioinceptionnext.results.segmenter import Segmenter

REPOSITORY = Path(__file__).resolve().parents[2]
SCENE = REPOSITORY / "examples" / "kitchen-scene.flac"  # 29 s


def main() -> None:
    part, folder = sys.argv[1], Path(sys.argv[2])
    PARTS[part](folder)


def write(folder: Path, name: str, samples: np.ndarray) -> None:
    (folder / name).write_bytes(np.ascontiguousarray(samples, "<f4").tobytes())


def resampling(folder: Path) -> None:
    """Noise of each rate, with steep edges at both ends, and the same at 24 kHz."""
    random = np.random.default_rng(0)
    cases = []
    for rate in (44100, 48000, 16000, 8000, 22050, 96000, 11025, 24000, 22255):
        for samples in (3 * rate + 17, 1000, 20):
            name = f"{rate}-{samples}"
            sound = (random.standard_normal(samples) * 0.2).clip(-1, 1).astype(np.float32)
            resampler = Resampler(rate, 24000)
            write(folder, f"{name}.in", sound)
            write(folder, f"{name}.out", np.concatenate([resampler.push(sound), resampler.finish()]))
            cases.append({"name": name, "rate": rate})
    (folder / "cases.json").write_text(json.dumps(cases))


def timelines(folder: Path) -> None:
    """Segments of random probabilities under random settings, of all at once and of steps as they come."""
    random = np.random.default_rng(1)
    cases = []
    for _ in range(300):
        steps, classes = int(random.integers(1, 60)), int(random.integers(2, 5))
        noise = random.standard_normal((steps, classes)).cumsum(axis=0) * random.uniform(0.2, 2)
        rows = np.exp(noise - noise.max(axis=1, keepdims=True))
        rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        rows[random.random(steps) < random.choice([0, 0.2])] = 0  # silence
        hop, window = float(random.choice([0.08, 0.16, 0.32, 1.0])), float(random.choice([0.8, 2.08, 0.3]))
        duration = max(0.05, (steps - 1) * hop + window - random.uniform(0, hop))
        upper = random.uniform(0.2, 0.95)
        settings = TimelineSettings(
            upper=upper,
            lower=upper * random.uniform(0.3, 1),
            smoothing=float(random.choice([0, 0.32, 0.5, 2])),
            shortest=float(random.choice([0, 0.3, 1])),
            gap=float(random.choice([0, 0.3, 1])),
            by_class=tuple(random.uniform(0.2, 0.9, classes)) if random.random() < 0.5 else (),
        )
        labels = [f"class {index}" for index in range(classes)]
        segmenter = Segmenter(labels, settings, hop, window)
        rest = int(random.integers(0, min(4, steps) + 1))
        live = [[asdict(one) for one in segmenter.push(row)] for row in rows[: steps - rest]]
        live.append([asdict(one) for one in segmenter.finish(list(rows[steps - rest :]), duration)])
        whole = [asdict(one) for one in find_segments(rows, hop, window, duration, labels, settings)]
        case = {"rows": rows.tolist(), "hop": hop, "window": window, "duration": duration, "labels": labels}
        cases.append({**case, "settings": asdict(settings), "rest": rest, "whole": whole, "live": live})
    (folder / "cases.json").write_text(json.dumps(cases))


def recordings(folder: Path) -> None:
    """The scene as WAV files of many kinds and a longer recording, and what each model hears in them."""
    scene = decode.read(SCENE, 24000)
    native = decode.read(SCENE, 44100)
    for rate in (44100, 48000, 16000):
        sound = native if rate == 44100 else decode.read(SCENE, rate)
        with wave.open(str(folder / f"scene-{rate}.wav"), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
            pair = np.stack([sound, 0.5 * sound], axis=1)
            file.writeframes((pair.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    # Two and a half minutes cross two joins of blocks; the stretches of silence and noise are not the scene's.
    noise = (np.random.default_rng(2).standard_normal(24000 * 5) * 0.01).astype(np.float32)
    parts = [scene, np.zeros(24000 * 4, np.float32), scene[::-1] * 0.5, noise, scene[24000 * 7 :], scene, scene * 2]
    write(folder, "long.f32", np.concatenate(parts))
    write(folder, "short.f32", scene[24000 * 3 : 24000 * 4])
    write(folder, "silent.f32", np.zeros(24000 * 5, np.float32))
    answers = {}
    for model in ("kitchen20", "kitchen20-small", "digits"):  # the last hears windows, at 8 kHz
        recogniser = load(model, threads=1)
        files = [folder / f"scene-{rate}.wav" for rate in (44100, 48000, 16000)]
        sounds = [np.frombuffer((folder / f"{name}.f32").read_bytes(), "<f4") for name in ("long", "short", "silent")]
        for name, source in zip([f.name for f in files] + ["long", "short", "silent"], [*files, *sounds], strict=True):
            heard = recogniser.predict(source)
            overview = {"shape": heard.log_mel.shape, "percentiles": np.percentile(heard.log_mel, (8, 99.7)).tolist()}
            others = {"probabilities": heard.probabilities.tolist(), "hop": heard.hop, "window": heard.window}
            answers[f"{model} {name}"] = {**heard.as_dict(), **others, "overview": overview}
    (folder / "answers.json").write_text(json.dumps(answers))


def live(folder: Path) -> None:
    """Streams of the scene at a microphone's rate, and of a sound that ends early."""
    answers = {}
    cases = [("kitchen20", 48000, 29.0), ("kitchen20-small", 44100, 12.345), ("kitchen20-small", 24000, 0.7)]
    for model, rate, seconds in cases:
        sound = decode.read(SCENE, rate)[: round(seconds * rate)]
        write(folder, f"{rate}.f32", sound)
        stream = Stream(load(model, threads=1), rate=rate)
        found = [*stream.push(sound), *stream.finish()]
        answers[f"{model} {rate}"] = [
            {
                "start": one.start,
                "end": one.end,
                "label": one.label,
                "probabilities": one.probabilities.tolist(),
                "log_mel": one.log_mel.tolist(),
                "segments": [asdict(segment) for segment in one.segments],
            }
            for one in found
        ]
    (folder / "answers.json").write_text(json.dumps(answers))


def files(folder: Path) -> None:
    """Files of many formats and rates, and what FFmpeg says that their rate is; of WAV files also their samples."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.audio_files import chirp, encode, write_video

    cases = {}

    def add(name: str, rate: int, samples: bool = False) -> None:
        sound = decode.read(folder / name, rate) if samples else None
        if sound is not None:
            write(folder, f"{name}.f32", sound)
        with closing(Source(folder / name)) as source:
            cases[name] = {"rate": source.stream.codec_context.sample_rate, "samples": samples}

    for suffix, rates in {
        ".flac": (8000, 22050, 44100, 96000, 192000),
        ".mp3": (8000, 12000, 22050, 24000, 32000, 44100, 48000),
        ".ogg": (16000, 44100),
        ".opus": (48000,),
        ".m4a": (8000, 22050, 44100, 96000),
        ".aac": (32000, 44100, 48000),
        ".mka": (44100, 96000),
        ".webm": (48000,),
    }.items():
        for rate in rates:
            pair = np.stack([chirp(1.5, rate)] * 2, axis=1)  # FFmpeg's own Vorbis is stereo alone
            encode(folder / f"{rate}{suffix}", pair, rate, metadata={"title": "a title " * 500})
            add(f"{rate}{suffix}", rate)
    write_video(folder / "video.mp4", rate=44100)
    add("video.mp4", 44100)
    write_video(folder / "fragments.mp4", rate=44100, options={"movflags": "frag_keyframe+empty_moov"})
    add("fragments.mp4", 44100)
    encode(folder / "covered.mp3", chirp(1.5, 44100), 44100, cover=True)
    add("covered.mp3", 44100)
    sound = np.stack([chirp(1.1, 22050), 0.3 * chirp(1.1, 22050)[::-1]], axis=1)
    for codec in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le"):
        encode(folder / f"{codec}.wav", sound, 22050, codec=f"pcm_{codec}")
        add(f"{codec}.wav", 22050, samples=True)
    encode(folder / "six.wav", np.repeat(sound, 3, axis=1), 22050)
    add("six.wav", 22050, samples=True)
    whole = (folder / "s16le.wav").read_bytes()
    at = whole.index(b"data") + 4
    (folder / "cut.wav").write_bytes(whole[:20001])
    (folder / "unknown.wav").write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
    (folder / "followed.wav").write_bytes(whole + b"LIST\x10\0\0\0" + bytes(16))
    for name in ("cut", "unknown", "followed"):
        add(f"{name}.wav", 22050, samples=True)
    encode(folder / "mulaw.wav", sound, 22050, codec="pcm_mulaw")
    add("mulaw.wav", 22050)
    (folder / "cases.json").write_text(json.dumps(cases))


def browser(folder: Path) -> None:
    """The scene in formats that browsers decode, ten minutes of it, and what the command line says of them."""
    sys.path.insert(0, str(REPOSITORY))
    from typer.testing import CliRunner

    from audioinceptionnext.cli.app import app
    from tests.audio_files import encode

    rate = 44100
    scene = decode.read(SCENE, rate)
    pair = np.stack([scene, 0.7 * scene], axis=1)
    names = ["scene.wav", "scene.flac", "scene.mp3", "scene.ogg", "scene.m4a", "scene.opus", "scene.webm"]
    for name in names:
        kind = 48000 if name.endswith(("opus", "webm")) else rate
        encode(folder / name, pair if kind == rate else decode.read(SCENE, kind), kind)
    encode(folder / "minutes.flac", np.tile(scene, 21)[: 600 * rate], rate)
    encode(folder / "minutes.wav", np.tile(scene, 21)[: 600 * rate], rate)
    found = CliRunner().invoke(app, ["predict", *(str(folder / name) for name in names), "--json", "--workers", "1"])
    (folder / "answers.json").write_text(found.stdout)
    whole = CliRunner().invoke(app, ["predict", str(folder / "minutes.flac"), "--json", "--workers", "1"])
    (folder / "minutes.json").write_text(whole.stdout)


PARTS = {
    "browser": browser,
    "files": files,
    "resampling": resampling,
    "timelines": timelines,
    "recordings": recordings,
    "live": live,
}

if __name__ == "__main__":
    main()
