"""How many scenes a core composes in a second, and what is in them.

    python benchmarks/scene_speed.py --data kitchen20 --root Kitchen20

As in training, clips are decoded once and kept in memory, and their bursts are found at their first use; neither is
measured. Times are of the CPU, in one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="kitchen20", help="set the kind of data set")
    parser.add_argument("--root", type=Path, required=True, help="set its folder")
    parser.add_argument("--rate", type=int, default=24_000, help="set the sample rate in Hz")
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.4, 5, 10.24, 60], help="compose these lengths")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help="change a setting")
    options = parser.parse_args()
    torch.set_num_threads(1)
    changes: dict[str, Any] = {k: yaml.safe_load(v) for k, _, v in (one.partition("=") for one in options.set)}
    waveforms = Waveforms(load_dataset(options.data, options.root).clips, Reader(options.rate))
    print("seconds   scenes/s   seconds/s   segments   left out")
    for seconds in options.seconds:
        compose = Composer(waveforms, SceneSettings.from_dict(changes | {"seconds": seconds}), 0, whole=False)
        numbers = range(max(20, round(2000 / seconds)))
        for number in numbers:
            compose(number)
        start = time.process_time()
        scenes = [compose(number) for number in numbers]
        each = (time.process_time() - start) / len(scenes)
        segments, left_out = np.mean([(len(scene.segments), scene.left_out) for scene in scenes], axis=0)
        print(f"{seconds:7g} {1 / each:10.0f} {seconds / each:11.0f} {segments:10.2f} {left_out:10.3f}")


if __name__ == "__main__":
    main()
