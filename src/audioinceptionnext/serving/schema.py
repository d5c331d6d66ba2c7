"""The JSON of the API, as its OpenAPI description shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Label(BaseModel):
    label: str
    name: str | None = Field(default=None, description="Of the label, if a language is asked for.")
    score: float = Field(description="Probability, 0 to 1.")
    task: str | None = Field(default=None, description="Of a model with several tasks, the one of the label.")


class Segment(Label):
    start: float = Field(description="Seconds.")
    end: float = Field(description="Seconds.")


class LogMel(BaseModel):
    columns: int
    bands: int
    low: float = Field(description="The value that a byte of 0 stands for.")
    high: float = Field(description="The value that a byte of 255 stands for.")
    sample_rate: int
    data: str = Field(description="Base64 of one byte per value, column after column, the lowest band first.")


class Probabilities(BaseModel):
    labels: list[str]
    step_seconds: float = Field(description="Seconds from one step to the next.")
    window_seconds: float = Field(description="Length of the window that each step sees.")
    steps: list[list[float]] = Field(description="One row per step, with one probability per label; 0 in silence.")


class LikelySteps(BaseModel):
    """The probabilities from which segments can be found at any onset threshold from `lowest` on; times in seconds."""

    labels: list[str] = Field(description="The labels that are likely at some time.")
    tasks: list[str] | None = Field(None, description="Of a model with several tasks, those of the labels.")
    steps: int
    block: int = Field(description="Steps that are kept or left out together.")
    step_seconds: float
    window_seconds: float
    duration: float
    lowest: float
    offset_share: float = Field(description="The offset threshold as a share of the onset threshold.")
    smoothing: list[float] = Field(description="One value per label, as for min_duration.")
    min_duration: list[float]
    merge_gap: float
    places: list[int] = Field(
        description="The blocks that are kept: the label's place times the number of blocks, plus the block's place."
    )
    data: str = Field(description="Base64 of their probabilities as float32, little-endian, one block after another.")


class Kept(BaseModel):
    """Where a result can be found again."""

    id: str = Field(description="For `GET /v1/results/{id}`. Nobody can guess it.")
    until: str = Field(description="The time until which the server keeps the result, if it runs and has the room.")


class Prediction(BaseModel):
    """The JSON object that `ainext predict` prints for a file, with `warnings` and what was asked for besides."""

    file: str
    duration: float = Field(description="Seconds.")
    model: str
    clip: list[Label] = Field(description="The most probable labels of the recording as a whole, best first.")
    segments: list[Segment] = Field(description="Ordered by start.")
    warnings: list[str] = Field(description="What was wrong with the file, such as a damaged end.")
    log_mel: LogMel | None = None
    probabilities: Probabilities | None = None
    likely_steps: LikelySteps | None = None
    kept: Kept | None = Field(None, description="If `keep` is true.")

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "file": "dinner.mp4",
                    "duration": 5.0,
                    "model": "everyday",
                    "clip": [{"label": "Blender", "score": 0.93}],
                    "segments": [{"start": 0.0, "end": 2.4, "label": "Blender", "score": 0.95}],
                    "warnings": [],
                }
            ]
        }
    }


class ProgressMembers(BaseModel):
    state: str = Field(description="`waiting` for a worker, or `running`.")
    seconds: float = Field(description="Of sound that have been recognised.")
    duration: float | None = Field(description="Of the recording in seconds, as its header states it.")


class Progress(BaseModel):
    """How far a recording is. With `Accept: application/x-ndjson`, such objects come before the last line."""

    progress: ProgressMembers


class Model(BaseModel):
    name: str
    labels: list[str]
    sample_rate: int
    mode: str = Field(description="How the model processes long audio: dense or windows.")
    parameters: int
    gmac: float
    bytes: int
    licence: str | None
    measured: str | None
    kind: str = Field(description="Whether one label or several can be true at a time: single-label or multi-label.")
    identifiers: list[str] = Field(description="One per label, such as AudioSet's /m/09x0r; empty if there are none.")
    groups: dict[str, list[str]] = Field(description="Groups of labels by name, for labels and ignore.")
    names: dict[str, str] | None = Field(
        default=None, description="Names of labels and groups, if a language is asked for."
    )
    default: bool
    taught: bool = Field(description="Whether it was taught here, so that its file can be downloaded and deleted.")


class Limits(BaseModel):
    bytes: int = Field(description="The largest upload.")
    seconds: float = Field(description="The longest recording.")
    result_seconds: float = Field(description="The time for which a result is kept at most.")


class Models(BaseModel):
    models: list[Model]
    limits: Limits
    offers: list[str] = Field(description="What the server does besides recognising, such as results.")


class Health(BaseModel):
    status: str = "ok"
    version: str
    running: int = Field(description="Recordings that are being recognised.")
    waiting: int = Field(description="Recordings that wait for a worker.")
    streams: int = Field(description="Open live streams.")


class Problem(BaseModel):
    """Problem details of RFC 9457: the body of every error, and the last message of a live stream that fails."""

    type: str = Field(description="Always about:blank: the status says what kind of problem it is.")
    title: str = Field(description="The phrase of the HTTP status.")
    status: int
    detail: str = Field(description="One line that says what is wrong, and what to do.")
    parameter: str | None = Field(None, description="The parameter or form field that is wrong, if one is.")

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "hop is 0.123: everyday has a step every 0.4 s; give that, or a multiple of it",
                    "parameter": "hop",
                }
            ]
        }
    }
