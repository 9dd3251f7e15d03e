"""What an encoder is: an ONNX file, how pictures are prepared for it, what becomes of its output.

A small TOML file says so; an index keeps the same as JSON, and so makes of a query what the build
made of the gallery.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kinfold.errors import InputError

MOST_SIDE = 4096
_MOST_BYTES = 1 << 16
_MOST_ERRORS = 3

Side = Annotated[int, Field(ge=1, le=MOST_SIDE)]
Three = Annotated[list[float], Field(min_length=3, max_length=3)]


class EncoderSpec(BaseModel):
    """An encoder; see docs/encoders.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100, description="What it is called.")
    file: str | None = Field(
        None, min_length=1, description="The ONNX file, seen from the folder of the TOML file."
    )
    size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] = Field(
        224, description="Pixels a side of what goes in; or height and width."
    )
    fit: Literal["pad", "crop", "stretch"] = Field(
        "pad",
        description="How a picture becomes so large. pad: whole, filled up to its shape with "
        "background; crop: the middle of it; stretch: whole, out of its proportions.",
    )
    resize: Side | None = Field(
        None,
        description="With crop: the shorter side before the middle is cut out. None: as large as "
        "what goes in.",
    )
    background: Annotated[list[int], Field(min_length=3, max_length=3)] = Field(
        [0, 0, 0], description="With pad: red, green and blue, 0 to 255."
    )
    interpolation: Literal["bicubic", "bilinear", "lanczos", "nearest"] = Field(
        "bicubic", description="How it is resized."
    )
    mean: Three = Field(
        [127.0, 127.0, 127.0],
        description="Taken from red, green and blue, which are 0 to 255, before the division.",
    )
    std: Three = Field([128.0, 128.0, 128.0], description="What they are divided by.")
    channels: Literal["RGB", "BGR"] = Field("RGB", description="Their order.")
    layout: Literal["NCHW", "NHWC"] = Field("NCHW", description="Of the network's input.")
    input: str | None = Field(None, description="The network's input; None: its only one.")
    output: str | None = Field(None, description="The output that is used; None: the first.")
    pooling: Literal["none", "average", "gem", "rmac"] = Field(
        "none",
        description="How a feature map (n, d, h, w) becomes vectors; none: the output is "
        "vectors (n, d) already.",
    )
    gem_p: float = Field(3.0, gt=0, le=100, description="The exponent of pooling = gem.")
    whitening: str | None = Field(
        None,
        min_length=1,
        description="An .npz of `mean` (d,) and `matrix` (d', d), seen from the folder of the TOML "
        "file: vectors x of length one become matrix · (x - mean).",
    )

    @field_validator("std")
    @classmethod
    def _divides(cls, value: list[float]) -> list[float]:
        if 0 in value:
            raise ValueError("nothing can be divided by 0")
        return value

    @field_validator("background")
    @classmethod
    def _is_colour(cls, value: list[int]) -> list[int]:
        if not all(0 <= part <= 255 for part in value):
            raise ValueError("expected numbers from 0 to 255")
        return value

    @model_validator(mode="after")
    def _crops(self) -> Self:
        if self.resize is not None and (self.fit != "crop" or self.resize < min(self.shape)):
            raise ValueError("resize goes with fit = 'crop', and is no smaller than size")
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what goes in."""
        if isinstance(self.size, int):
            return self.size, self.size
        return self.size[0], self.size[1]


def read_spec(path: Path) -> EncoderSpec:
    """Read the description of an encoder from a TOML file.

    Raises
    ------
    InputError
        The file cannot be read, is no TOML, or has a field that is unknown or wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InputError(f"{path}: expected at most {_MOST_BYTES} bytes of TOML, found more")
        values = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: expected TOML: {error}") from None
    values.setdefault("name", path.stem)
    try:
        spec = EncoderSpec.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {_described(error)}") from None
    if spec.file is None:
        raise InputError(f"{path}: file: expected the name of an ONNX file, found none")
    return spec


def _described(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False)[:_MOST_ERRORS]:
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = ", ".join(EncoderSpec.model_fields)
            lines.append(f"{where}: no field has this name; there are {known}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}, found {item['input']!r}" if where else message)
    return "; ".join(lines)
