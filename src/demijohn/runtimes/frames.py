"""Building what an estimator was fitted on, a DataFrame or an array, from tensors.

Rules of this room:
1. The DataFrame is what a user would pass: the model's column order, the example's dtypes, missing
   cells as the model knows them.
2. pandas is imported only here, and only for a model that takes a DataFrame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.messages import Array, Tensors
from demijohn.signature import TensorSpec


class FrameBuilder:
    """Builds DataFrames of one model.

    Args:
        specs: The model's columns, in its order.
        labels: The DataFrame's own column labels, where they are no strings.
        dtypes: pandas dtypes that an example had, by column name.
        missing: How a missing cell of text is written, by column name; default NaN.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        *,
        labels: Sequence[Any] | None = None,
        dtypes: Mapping[str, Any] | None = None,
        missing: Mapping[str, Any] | None = None,
    ) -> None:
        import pandas as pd

        self._specs = tuple(specs)
        self._index = pd.Index(list(labels) if labels is not None else [spec.name for spec in specs])
        self._dtypes = dict(dtypes or {})
        self._missing = dict(missing or {})
        self._is_plain = all(spec.dtype == "float64" and spec.name not in self._dtypes for spec in specs)

    def build(self, tensors: Tensors) -> Any:
        """Return a DataFrame of the rows in ``tensors``."""
        import pandas as pd

        if self._is_plain:
            # One block, column by column in memory, as a DataFrame made of columns has it: BLAS may
            # sum in another order for another layout, and the last bit must be the user's.
            block = np.array([tensors[spec.name] for spec in self._specs])
            return pd.DataFrame(block.T, columns=self._index, copy=False)
        columns = {index: self._column(spec, tensors[spec.name]) for index, spec in enumerate(self._specs)}
        frame = pd.DataFrame(columns)
        frame.columns = self._index
        return frame

    def _column(self, spec: TensorSpec, values: Array) -> Any:
        import pandas as pd

        dtype = self._dtypes.get(spec.name)
        if dtype is not None:
            return _with_dtype(values, dtype)
        if spec.dtype == "object":
            return natural(values)
        if values.dtype.kind == "O":
            return _fill(values, spec, self._missing.get(spec.name, float("nan")))
        return pd.Series(values)


def _with_dtype(values: Array, dtype: Any) -> Any:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        known = dtype.categories.tolist()
        cells = values.tolist()
        # pandas would make an unknown category missing in silence; the model is to meet it.
        unknown = [
            cell for cell in dict.fromkeys(cells) if cell == cell and cell is not None and cell not in known
        ]
        if unknown:
            dtype = pd.CategoricalDtype([*known, *unknown], ordered=dtype.ordered)
        return pd.Series(cells, dtype=dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values).tz_localize("UTC").astype(dtype)
    if values.dtype.kind == "O":
        return pd.Series(values.tolist(), dtype=dtype)
    return pd.Series(values).astype(dtype)


def _fill(values: Array, spec: TensorSpec, missing: Any) -> Any:
    """Write missing cells as the model knows them."""
    import pandas as pd

    if spec.dtype == "str":
        if missing is None:
            return pd.Series(values, dtype=object)
        return pd.Series([missing if cell is None else cell for cell in values], dtype=object)
    cells = [np.nan if cell is None else cell for cell in values]
    return pd.Series(cells, dtype=object if spec.dtype == "bool" else np.float64)


def natural(values: Array) -> Array:
    """Give cells of unknown dtype the dtype that their values have; missing numbers are NaN."""
    cells = values.tolist()
    known = {type(cell) for cell in cells if cell is not None}
    if known == {bool} and None not in cells:
        return np.array(cells, dtype=bool)
    if known == {int} and None not in cells:
        return _whole_numbers(cells, values)
    if known and known <= {int, float}:
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return values


def _whole_numbers(cells: list[int], values: Array) -> Array:
    try:
        return np.array(cells, dtype=np.int64)
    except OverflowError:
        return values
