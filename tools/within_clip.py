"""Keep the kernels of a dense model within a clip, so that nothing beyond it hides a sound.

    python tools/within_clip.py run/averaged.pt within/averaged.pt              # of `distil_on_cpu.py learn`
    python tools/within_clip.py model.safetensors within.safetensors

A network that learnt from short clips never met some distances: a clip of 2.4 s has six positions in the last stage, so
that kernels of 21 met nothing but padding beyond five of them. In a long recording, these taps, which learnt nothing
there, see what sounds seconds before and after, and hide what they should not (docs/accuracy.md, "Sounds among
others"). Here they become zero. The outputs for a clip are the same, and an export leaves the taps out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from distil_on_gpu import Student
from general_model import CLIP_FRAMES

from audioinceptionnext.network.base import Network
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import load_model, save_model


@torch.no_grad()
def keep_within_clip(net: Network, clip_frames: int) -> None:
    """Set to zero, in place, what each kernel has at distances in time that no two positions of a clip have."""
    if not isinstance(net, StagedNetwork):
        raise SystemExit("within_clip.py is for networks of stages only")
    for number, block in enumerate(net.blocks):
        positions = -(-clip_frames // 2 ** (2 + net.config.stage(number)))
        for conv in block.modules():
            if isinstance(conv, torch.nn.Conv2d) and (beyond := conv.kernel_size[0] // 2 - (positions - 1)) > 0:
                conv.weight[:, :, :beyond] = 0
                conv.weight[:, :, -beyond:] = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.weights.suffix == ".safetensors":
        model = load_model(args.weights)
        keep_within_clip(model.net, model.net.config.clip_frames)
        save_model(model, args.out)
    else:
        saved = torch.load(args.weights, map_location="cpu", weights_only=True)
        net = Student.of_run(saved).net
        keep_within_clip(net, CLIP_FRAMES)
        torch.save({**saved, "net": net.state_dict()}, args.out)


if __name__ == "__main__":
    main()
