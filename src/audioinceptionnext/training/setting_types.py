"""The types of a recipe's settings: what pydantic takes for them, and how a wrong value is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.rendering.scene_settings import SceneSettings


def wanted(phrase: str) -> WrapValidator:
    """Say in these words what to give instead of a value that has another type."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if error.errors()[0]["type"] in ("missing", "too_long"):
                raise ParameterError(str(info.field_name), tuple(value), "give two numbers") from None
            raise ParameterError(str(info.field_name), value, f"give {phrase}") from None

    return WrapValidator(check)


def require(holds: Callable[[Any], bool], phrase: str) -> AfterValidator:
    """Refuse a value for which ``holds`` is false, and say in these words what to give instead."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if not holds(value):
            raise ParameterError(str(info.field_name), value, phrase)
        return value

    return AfterValidator(check)


def rising(low: float, high: float, ends: str) -> AfterValidator:
    """Refuse a pair that is not in order, or not between two limits."""
    return require(lambda pair: low <= pair[0] <= pair[1] <= high, f"give {ends}, from {low:g} to {high:g}")


def _no_bool(value: Any) -> Any:
    return str(value) if isinstance(value, bool) else value  # to Python, True is a number; its text is none


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return value.split(",")
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def _scenes(values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    try:
        SceneSettings.from_dict(values)
    except ParameterError as error:
        raise ParameterError(str(info.field_name), values, str(error)) from None
    return values


Whole = Annotated[int, Strict()]
Number = Annotated[float, BeforeValidator(_no_bool)]  # not strict, because YAML reads 1e-3 as text
Settings = Annotated[dict[str, Any], wanted("settings, {key: value}")]
Factors = Annotated[
    dict[Annotated[int, Field(ge=0)], Annotated[float, Field(ge=0, allow_inf_nan=False)]],
    wanted("{epoch: factor}, such as {30: 0.1, 40: 0.01}"),
]
Lengths = Annotated[tuple[float, ...], BeforeValidator(_split), wanted("numbers such as 2.08,3.2")]
Blocks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_split)]
Pair = Annotated[tuple[float, float], BeforeValidator(_split), wanted("numbers such as 2.08,3.2")]
Masks = Annotated[
    tuple[int, int],
    BeforeValidator(_split),
    wanted("whole numbers such as 2,27"),
    require(lambda masks: min(masks) >= 0, "give the number of masks and their largest length, 0 or more"),
]
Folder = Annotated[str, require(lambda name: Path(name).is_dir(), "no such folder; check the name")]

Scenes = Annotated[dict[str, Any], wanted("settings of scenes, {key: value}"), AfterValidator(_scenes)]

Positive = Field(gt=0, le=768_000)
Share = Field(ge=0, le=0.99)
