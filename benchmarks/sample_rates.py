"""Recognises the same clips at several sample rates, to see what is lost with the sound above half of each rate.

    python benchmarks/sample_rates.py --root Kitchen20 --rates 24000 16000 8000

The shipped models were trained on all clips of Kitchen20, so that only the differences between the rates count.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.data import load_dataset
from audioinceptionnext.models.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="kitchen20", help="use this model: a name or an ONNX file")
    parser.add_argument("--data", default="kitchen20", help="use this data set, with labels of the model")
    parser.add_argument("--root", type=Path, required=True, help="set its folder")
    parser.add_argument("--clips", type=int, default=120, help="take so many clips at random")
    parser.add_argument(
        "--rates", type=int, nargs="+", default=[24_000, 22_050, 16_000, 8_000], help="try these, in Hz"
    )
    parser.add_argument("--seed", type=int, default=0, help="set the seed of the choice of clips")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of low sample rates: that is what is measured
    model, dataset = load(options.model, threads=1), load_dataset(options.data, options.root)
    chosen = np.random.default_rng(options.seed).permutation(len(dataset.clips))[: options.clips]
    rows = []
    for rate in options.rates:
        top = found = wrong = 0
        for index in chosen:
            clip = dataset.clips[index]
            label = dataset.labels[clip.label]
            result = model.predict(decode.read(clip.path, rate), sample_rate=rate, top_k=1)
            labels = {segment.label for segment in result.segments}
            top += result.clip[0].label == label
            found += label in labels
            wrong += bool(labels - {label})
        shares = [round(100 * count / len(chosen), 1) for count in (top, found, wrong)]
        rows.append({"rate": rate, "clips": len(chosen), "top": shares[0], "segment": shares[1], "wrong": shares[2]})
    print(json.dumps(rows, indent=2) if options.json else as_text(rows))


def as_text(rows: list[dict[str, float]]) -> str:
    lines = [f"{'rate, Hz':>8}{'clips':>7}{'right top label, %':>20}{'right segment, %':>18}{'wrong segment, %':>18}"]
    lines += [
        f"{row['rate']:8}{row['clips']:7}{row['top']:20.1f}{row['segment']:18.1f}{row['wrong']:18.1f}" for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
