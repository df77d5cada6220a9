"""What the tests of translations share: an engine's answers beside the framework's own."""

import warnings

import numpy as np

from demijohn.acceleration.engine import EXACT, Backend, StepAside
from demijohn.acceleration.sklearn import program
from demijohn.messages import Records
from demijohn.runtimes import wrap

NUMPY = Backend("numpy")


def same(got, wanted, tolerance=EXACT):
    """Check outputs: names, dtypes, shapes, labels; numbers within a relative error."""
    assert list(got) == list(wanted)
    for name, want in wanted.items():
        one = got[name]
        assert one.dtype == want.dtype, f"{name}: {one.dtype}, not {want.dtype}"
        assert one.shape == want.shape
        if want.dtype.kind == "f":
            scale = np.abs(want[np.isfinite(want)]).max(initial=0.0)
            np.testing.assert_allclose(one, want, rtol=tolerance, atol=tolerance * scale)
        else:
            np.testing.assert_array_equal(one, want)


def answers_alike(estimator, rows, *, method="predict", backend=NUMPY, example=None, tolerance=EXACT):
    """Build an engine, compare it on batches of several sizes, and return it with its runtime.

    Args:
        rows: A matrix, or a DataFrame whose missing cells are None or NaN.
        tolerance: 0 is equal to the last bit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the framework says of unknown categories and names
        runtime = wrap(estimator, example=example)
        engine = program.build(runtime, method, backend)
        n_answered = 0
        for n_rows in (1, 3, 64, 1000):
            tensors = tensors_of(runtime, repeated(rows, n_rows))
            wanted = runtime.run(method, tensors, {})
            try:
                got = engine.run(tensors)
            except StepAside:
                continue
            n_answered += 1
            same(got, wanted, tolerance)
    assert n_answered, "ordinary rows are answered"
    return engine, runtime


def answers_all_alike(estimator, matrix):
    """Compare every method that an estimator of finite numbers has."""
    for method in wrap(estimator).methods:
        engine, _ = answers_alike(estimator, matrix, method=method)
        assert engine.is_whole
        assert steps_aside(engine, {"inputs": np.full((1, matrix.shape[1]), np.nan)})


def repeated(rows, n_rows):
    places = np.arange(n_rows) % len(rows)
    return rows.iloc[places] if hasattr(rows, "iloc") else rows[places]


def tensors_of(runtime, rows):
    """Return rows as a request brings them."""
    if not hasattr(rows, "columns"):
        return {"inputs": np.ascontiguousarray(rows)}
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return runtime.signature.validate(Records(records))


def steps_aside(engine, tensors):
    try:
        engine.run(tensors)
    except StepAside:
        return True
    return False
