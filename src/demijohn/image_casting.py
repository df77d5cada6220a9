"""Casting of rows that are images to one tensor: of the size that the spec says, in its channels.

Rules of this room:
1. An image is never resized, cropped or turned: one of another size does not fit. A free size (-1) is
   what the first row has, and the same in all rows of a request.
2. Channels are converted to those of the spec: 1 is grey, 3 are red, green and blue, 4 these and how
   opaque they are. Values stay 0 to 255 in every dtype: scaling is the model's own.
3. No pixel is decoded before the sizes of all images are known to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .casting import Caster, Problems
from .errors import DecodeError, Problem, UnsupportedMediaType
from .messages import Array, Image, ImageBody, ImageReader, Records, Rows, WrittenInputs
from .nested_lists import cast_nested
from .tensor_spec import Layout, TensorSpec

_CHANNELS = (1, 3, 4)
_BRIGHTEST = 255


@dataclass(frozen=True, slots=True)
class Axes:
    """Where an image's sizes stand in the shape of a row."""

    height: int
    width: int
    channels: int | None  #: None: one channel, without an axis of its own.


def image_axes(spec: TensorSpec) -> Axes | None:
    """Return how a row of an input can be an image: (H, W), (H, W, C) or (C, H, W); None where it cannot."""
    if spec.categories is not None or spec.ragged_rank or not _holds_pixels(spec.dtype):
        return None
    sizes = spec.shape[1:]
    if len(sizes) == 2:
        return Axes(0, 1, None)
    if len(sizes) != 3:
        return None
    if sizes[2] not in _CHANNELS and sizes[0] in _CHANNELS:
        return Axes(1, 2, 0)
    return Axes(0, 1, 2) if sizes[2] in (*_CHANNELS, -1) else None


def takes_image_body(layout: Layout, specs: Sequence[TensorSpec]) -> bool:
    """Say whether a body that is one image can be a row of a model."""
    required = [spec for spec in specs if not spec.is_optional]
    return layout in {"matrix", "tensors"} and [bool(image_axes(spec)) for spec in required] == [True]


def as_written(body: ImageBody, layout: Layout, specs: Sequence[TensorSpec]) -> Rows | Records:
    """Put a body that is an image into the place of the input that is one.

    Raises:
        UnsupportedMediaType: no input is.
    """
    places = [spec.name for spec in sorted(specs, key=_is_optional) if image_axes(spec)]
    if not places:
        raise UnsupportedMediaType("The model takes no image; send its rows as JSON or CSV")
    if layout == "matrix":
        return Rows([body.image], images=body.images)
    return Records([{places[0]: body.image}], images=body.images)


def _is_optional(spec: TensorSpec) -> bool:
    return spec.is_optional


def without_names(inputs: WrittenInputs, specs: Sequence[TensorSpec]) -> WrittenInputs:
    """Take what looks like records for rows, where a model of one image gets images."""
    if not isinstance(inputs, Records) or inputs.images is None or len(specs) != 1:
        return inputs
    is_image = bool(inputs.records) and inputs.images.is_image(inputs.records[0])
    if not is_image or image_axes(specs[0]) is None:
        return inputs
    rows: list[Any] = inputs.records
    return Rows(rows, images=inputs.images)


def cast_images(
    rows: Sequence[Any],
    spec: TensorSpec,
    axes: Axes,
    caster: Caster,
    images: ImageReader,
    name: str | None,
    problems: Problems,
) -> Array:
    """Cast rows of which some are images, and the others nested lists.

    Args:
        rows: At least one.
        spec: Of the tensor.
        axes: What ``image_axes`` says of it.
        caster: Of that spec.
        images: Knows images among the cells.
        name: Of the tensor, for the problems; None where the model has only this one.
        problems: Gains what does not fit.

    Returns:
        The tensor; its content is meaningless if problems were added.

    Raises:
        DecodeError: an image cannot be read; says in which row.
        BodyTooLarge: they have more pixels than a request may.
    """
    frame = _Frame(spec, axes, name, problems)
    found = [
        frame.fit_image(row, _open(images, cell, row, name))
        if images.is_image(cell)
        else frame.fit_array(row, cell, caster)
        for row, cell in enumerate(rows)
    ]
    if problems:
        return np.empty(0)
    tensor = np.empty((len(rows), *frame.sizes), dtype=np.dtype(spec.dtype))
    for row, one in enumerate(found):
        tensor[row] = _decode(one, frame, row, name) if isinstance(one, Image) else one
    return tensor


class _Frame:
    """The sizes that all rows have."""

    def __init__(self, spec: TensorSpec, axes: Axes, name: str | None, problems: Problems) -> None:
        self.axes = axes
        self.sizes = list(spec.shape[1:])  #: -1 until a row says it.
        self._spec = spec
        self._name = name
        self._problems = problems

    def fit_image(self, row: int, image: Image) -> Image:
        """Note an image of another size; one that fits says what is free."""
        height, width = self.sizes[self.axes.height], self.sizes[self.axes.width]
        if height not in (-1, image.height) or width not in (-1, image.width):
            expected = f"an image {_size(height)} pixels high and {_size(width)} wide"
            received = f"one {image.height} high and {image.width} wide"
            self._problems.add(row, self._name, expected, received)
            return image
        self.sizes[self.axes.height], self.sizes[self.axes.width] = image.height, image.width
        if self.axes.channels is not None and self.sizes[self.axes.channels] < 0:
            self.sizes[self.axes.channels] = image.n_channels
        return image

    def fit_array(self, row: int, cell: Any, caster: Caster) -> Array | None:
        spec = replace(self._spec, shape=(-1, *self.sizes))
        n_before = len(self._problems)
        array = cast_nested([cell], spec, caster, self._name, self._problems, row)
        if len(self._problems) > n_before:
            return None
        self.sizes = list(array.shape[1:])
        row_of_one: Array = array[0]
        return row_of_one


def _size(size: int) -> str:
    return "any number of" if size < 0 else str(size)


def _decode(image: Image, frame: _Frame, row: int, name: str | None) -> Array:
    """Return the pixels of an image, in the order of the spec's axes."""
    axis = frame.axes.channels
    try:
        pixels = image.pixels(1 if axis is None else frame.sizes[axis])
    except DecodeError as error:
        raise _misread(error, row, name) from error
    if axis is None:
        return pixels[:, :, 0]
    return np.moveaxis(pixels, 2, axis)


def _open(images: ImageReader, cell: Any, row: int, name: str | None) -> Image:
    try:
        return images.open(cell)
    except DecodeError as error:
        raise _misread(error, row, name) from error


def _misread(error: DecodeError, row: int, name: str | None) -> DecodeError:
    problem = Problem(row, name, "an image that can be read", error.detail)
    where = f"row {row}" + ("" if name is None else f", column {name!r}")
    return DecodeError(f"{where}: {error.detail}", errors=[problem])


def _holds_pixels(dtype: str) -> bool:
    if dtype in {"str", "object"}:
        return False
    kind = np.dtype(dtype)
    return kind.kind == "f" or (kind.kind in "iu" and np.iinfo(kind).max >= _BRIGHTEST)
