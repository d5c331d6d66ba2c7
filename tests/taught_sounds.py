"""Sounds to teach: whistles, knocks, and the noise of a room; each seed gives another one."""

from __future__ import annotations

import numpy as np

RATE = 24_000


def whistle(seed: int, seconds: float = 1.5) -> np.ndarray:
    rng, time = np.random.default_rng(seed), np.arange(round(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (rng.uniform(1500, 2500) * time + 30 * np.sin(2 * np.pi * rng.uniform(2, 4) * time)))
    return (rng.uniform(0.1, 0.4) * tone).astype(np.float32)


def knocks(seed: int, seconds: float = 1.5) -> np.ndarray:
    rng, samples = np.random.default_rng(seed), round(RATE * seconds)
    strokes = np.zeros(samples)
    strokes[:: round(rng.uniform(0.2, 0.3) * RATE)] = 1
    decay = np.exp(-np.arange(2000) / 400) * rng.standard_normal(2000)
    return (0.3 * np.convolve(strokes, decay)[:samples]).astype(np.float32)


def room(seed: int, seconds: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = np.cumsum(rng.standard_normal(round(RATE * seconds)))
    noise = noise - np.convolve(noise, np.ones(2000) / 2000, "same")
    return (0.02 * noise / noise.std()).astype(np.float32)
