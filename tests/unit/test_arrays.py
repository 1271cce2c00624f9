"""Between numpy and Arrow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from segjob.arrays import as_arrow, as_numpy, as_texts

VALUES = [
    np.array([1, -2, 3], np.int64),
    np.array([1, 2, 3], np.uint8),
    np.array([0.5, np.nan, -np.inf], np.float32),
    np.array([], np.float64),
    np.array([True, False, True] * 5),
    np.arange(20, dtype=np.int32)[::2],
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.dtype))
def test_values_come_back_as_they_were(values: np.ndarray) -> None:
    array = as_arrow(values)
    array.validate(full=True)
    assert array.equals(pa.array(values)) or np.isnan(values).any()
    np.testing.assert_array_equal(as_numpy(array), values)
    np.testing.assert_array_equal(as_numpy(array[1:]), values[1:])
    assert as_numpy(array).dtype == values.dtype


@pytest.mark.filterwarnings("ignore:Exporting an unversioned DLPack capsule")
def test_a_null_is_no_number() -> None:
    with pytest.raises(pa.ArrowException):
        as_numpy(pa.array([1, None]))


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "Ж", "naïve"]])
def test_texts(texts: list[str]) -> None:
    array = as_texts(texts)
    array.validate(full=True)
    assert array.to_pylist() == texts


def test_pandas_is_not_loaded_for_it() -> None:
    script = """
import sys, numpy
from segjob.arrays import as_arrow, as_numpy, as_texts
as_numpy(as_arrow(numpy.arange(3.0))), as_numpy(as_arrow(numpy.array([True]))), as_texts(["a"])
print("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"
