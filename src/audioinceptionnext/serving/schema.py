"""Answers as the OpenAPI description has them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Label(BaseModel):
    label: str
    score: float = Field(description="Probability, 0 to 1.")


class Span(Label):
    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")


class LogMel(BaseModel):
    columns: int
    bands: int
    low: float = Field(description="The value of a byte 0.")
    high: float = Field(description="The value of a byte 255.")
    sample_rate: int
    data: str = Field(description="Base64 of a byte a value, column after column, the lowest band first.")


class Probabilities(BaseModel):
    labels: list[str]
    hop: float = Field(description="Seconds from one step to the next.")
    window: float = Field(description="Seconds that a step hears.")
    steps: list[list[float]] = Field(description="A row a step, all 0 in digital silence.")


class Prediction(BaseModel):
    """As `ainext predict --json`, and what was asked for by `include`."""

    file: str
    duration: float = Field(description="Seconds.")
    model: str
    clip: list[Label] = Field(description="The recording as a whole, best first.")
    segments: list[Span] = Field(description="By start.")
    warnings: list[str] = Field(description="What was wrong with the file, such as a damaged ending.")
    log_mel: LogMel | None = None
    probabilities: Probabilities | None = None

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "file": "dinner.mp4",
                    "duration": 5.0,
                    "model": "kitchen20",
                    "clip": [{"label": "blender", "score": 0.93}],
                    "segments": [{"start": 0.0, "end": 2.4, "label": "blender", "score": 0.95}],
                    "warnings": [],
                }
            ]
        }
    }


class Model(BaseModel):
    name: str
    labels: list[str]
    sample_rate: int
    run: str = Field(description="How it hears long audio: dense or windows.")
    parameters: int
    gmac: float
    bytes: int
    licence: str | None
    measured: str | None
    default: bool


class Limits(BaseModel):
    bytes: int = Field(description="Of an upload, at most.")
    seconds: float = Field(description="Of a recording, at most.")


class Models(BaseModel):
    models: list[Model]
    limits: Limits


class Health(BaseModel):
    status: str = "ok"
    version: str
    running: int = Field(description="Recordings that are being heard.")
    waiting: int = Field(description="Recordings that wait.")
    streams: int = Field(description="Live streams that are open.")


class Problem(BaseModel):
    error: str = Field(description="One line: what is wrong, what to do.")

    model_config = {"json_schema_extra": {"examples": [{"error": "notes.mp4: not an audio or video file …"}]}}
