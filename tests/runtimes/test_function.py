import asyncio
import contextvars
import datetime
import functools
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Optional

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from demijohn.errors import (
    BadInput,
    ConfigurationError,
    DeadlineExceeded,
    LoadError,
    ModelError,
    SignatureMismatch,
)
from demijohn.lifecycle import call_deadline
from demijohn.messages import Records, Rows
from demijohn.runtimes import event_loop, framework_of, wrap

if TYPE_CHECKING:
    from nowhere import Unknown


def answer(runtime, inputs):
    outputs = runtime.run("predict", runtime.signature.validate(inputs), {})
    return {name: array.tolist() for name, array in outputs.items()}


def columns_of(runtime):
    return [(s.name, s.dtype, s.nullable, s.is_optional) for s in runtime.signature.inputs]


def shout(text: str) -> str:
    return text.upper()


def test_a_function_of_scalars_is_called_once_per_row():
    runtime = wrap(shout)
    assert runtime.framework == "function"
    assert runtime.methods == ("predict",)
    assert runtime.joining == "never"
    assert runtime.concurrency == 1
    assert not runtime.is_callable_unasked
    assert columns_of(runtime) == [("text", "str", False, False)]
    assert answer(runtime, Records([{"text": "a"}, {"text": "b"}])) == {"predict": ["A", "B"]}
    assert answer(runtime, Rows([["a"]])) == {"predict": ["A"]}
    assert runtime.example_rows() == [{"text": "a text"}]
    assert runtime.parameters("predict") == ()
    assert runtime.classes("predict") is None


def test_a_function_is_never_called_before_a_request():
    def explode(x: float) -> float:
        raise AssertionError("nobody asked")

    wrap(explode)
    wrap(explode, example=[{"x": 1.0}])


def test_hints_become_columns_and_cells_become_what_the_hints_promise():
    seen = []

    def model(  # noqa: PLR0917  - a function of a user's has as many as it has
        s: str,
        i: int,
        f: float,
        b: bool,
        when: datetime.datetime,
        day: datetime.date,
        maybe: Optional[str],  # noqa: UP045  - the older way to write it is a hint too
        kind: Literal["a", "b"],
        either: int | float,
        any_of: int | str,
        whatever,
        n: int = 7,
    ) -> None:
        seen.append((s, i, f, b, when, day, maybe, kind, either, any_of, whatever, n))

    runtime = wrap(model)
    assert columns_of(runtime) == [
        ("s", "str", False, False),
        ("i", "int64", False, False),
        ("f", "float64", False, False),
        ("b", "bool", False, False),
        ("when", "datetime64[ns]", False, False),
        ("day", "datetime64[ns]", False, False),
        ("maybe", "str", True, False),
        ("kind", "str", False, False),
        ("either", "float64", False, False),
        ("any_of", "object", True, False),
        ("whatever", "object", True, False),
        ("n", "int64", True, True),
    ]
    row = {
        "s": "x", "i": 2, "f": 3, "b": True, "when": "2024-01-02T03:04:05", "day": "2024-01-02",
        "maybe": None, "kind": "b", "either": 1.5, "any_of": "z", "whatever": 9,
    }  # fmt: skip
    assert answer(runtime, Records([row])) == {"predict": [None]}
    assert seen == [
        (
            "x", 2, 3.0, True, datetime.datetime.fromisoformat("2024-01-02T03:04:05"),
            datetime.date(2024, 1, 2), None, "b", 1.5, "z", 9, 7,
        )
    ]  # fmt: skip
    assert [type(cell) for cell in seen[0][:4]] == [str, int, float, bool]
    with pytest.raises(SignatureMismatch, match="one of 'a', 'b'"):
        runtime.signature.validate(Records([row | {"kind": "c"}]))


def test_a_missing_cell_gets_the_default():
    def model(x: float = 2.0, y: float | None = None, day: datetime.date | None = None) -> list[Any]:
        return [x, y, day]

    runtime = wrap(model)
    assert answer(runtime, Records([{}, {"x": None, "y": None, "day": None}, {"x": 1, "y": 3}])) == {
        "predict": [[2.0, None, None], [2.0, None, None], [1.0, 3.0, None]]
    }


def test_arguments_by_position_and_by_name_are_given_as_the_function_wants_them():
    def model(a: int, /, b: int, *rest: int, c: int, **more: int) -> int:
        return 100 * a + 10 * b + c

    assert answer(wrap(model), Records([{"a": 1, "b": 2, "c": 3}])) == {"predict": [123]}


def test_callable_objects_partials_and_builtins_are_functions():
    class Scorer:
        def __call__(self, x: float) -> float:
            return x + 1

    assert answer(wrap(Scorer()), Records([{"x": 1}])) == {"predict": [2.0]}
    bound = functools.partial(lambda x, y: x + y, y=5)
    assert answer(wrap(bound), Records([{"x": 1}])) == {"predict": [6]}
    assert answer(wrap(os.path.basename), Records([{"p": "a/b"}])) == {"predict": ["b"]}
    assert framework_of(len) == "function"


def test_a_hint_that_cannot_be_resolved_says_nothing():
    def model(x: "Unknown") -> Any:
        return x

    assert columns_of(wrap(model)) == [("x", "object", True, False)]


def test_an_error_of_the_function_passes_through():
    def picky(x: float) -> float:
        raise BadInput("too cold")

    with pytest.raises(BadInput, match="too cold"):
        answer(wrap(picky), Records([{"x": 1}]))


@pytest.mark.parametrize(
    ("results", "outputs"),
    [
        ([1, 2], {"predict": [1, 2]}),
        ([1, 2.5], {"predict": [1, 2.5]}),
        ([True, 2], {"predict": [True, 2]}),
        ([1, "a"], {"predict": [1, "a"]}),
        (["a\0", "b"], {"predict": ["a\0", "b"]}),
        ([2**70, 1], {"predict": [2**70, 1]}),
        ([[1.0, 2.0], [3.0, 4.0]], {"predict": [[1.0, 2.0], [3.0, 4.0]]}),
        ([(1, "a"), (2, "b")], {"predict": [[1, "a"], [2, "b"]]}),
        ([[1], [1, 2]], {"predict": [[1], [1, 2]]}),
        ([{"p": 0.5, "q": "a"}, {"p": 1.5, "q": "b"}], {"p": [0.5, 1.5], "q": ["a", "b"]}),
        ([{"p": 1}, {"q": 2}], {"predict": [{"p": 1}, {"q": 2}]}),
        ([{"p": 1}, 5], {"predict": [{"p": 1}, 5]}),
        ([np.float32(1.5), np.float32(2.5)], {"predict": [1.5, 2.5]}),
        ([np.ones(2), np.zeros(2)], {"predict": [[1.0, 1.0], [0.0, 0.0]]}),
        ([None, 1.0], {"predict": [None, 1.0]}),
    ],
)
def test_what_a_function_returns_keeps_its_types(results, outputs):
    def model(i: int):
        return results[i]

    got = answer(wrap(model), Records([{"i": 0}, {"i": 1}]))
    assert got == outputs
    assert [type(value) for value in got[next(iter(got))]] == [type(v) for v in outputs[next(iter(outputs))]]


def test_arrays_of_several_shapes_stay_one_array_per_row():
    def model(i: int):
        return np.zeros(i)

    outputs = wrap(model).run("predict", {"i": np.array([1, 2])}, {})
    assert [len(row) for row in outputs["predict"]] == [1, 2]


# All rows at once -------------------------------------------------------------------------


def total(rows: np.ndarray) -> np.ndarray:
    return rows.sum(axis=1)


def test_a_function_of_an_array_gets_all_rows_at_once():
    runtime = wrap(total)
    assert str(runtime.signature) == "inputs: float64? (n_rows, any)"
    assert runtime.joining == "never"
    assert runtime.example_rows() == [[0.0]]
    assert answer(runtime, Rows([[1, 2], [3, 4.5]])) == {"predict": [3.0, 7.5]}
    assert wrap(total, batch=True).joining == "always"


def test_an_array_takes_its_shape_and_type_from_the_hint_and_the_example():
    def typed(rows: npt.NDArray[np.float64]) -> Any:
        return rows[:, 0]

    runtime = wrap(typed, example=np.array([[1, 2]]))
    assert str(runtime.signature) == "inputs: int64? (n_rows, 2)"
    assert answer(wrap(lambda rows: rows[:, 0], example=[[1.0, 2.0]]), Rows([[5, 6]])) == {"predict": [5.0]}
    assert answer(wrap(lambda rows: rows[:, 0], batch=True), Rows([[5, 6]])) == {"predict": [5.0]}


def test_an_array_may_have_names_from_its_example():
    runtime = wrap(total, example=[{"a": 1.0, "b": 2.0}])
    assert runtime.signature.columns == ("a", "b")
    assert answer(runtime, Records([{"b": 5, "a": 1}])) == {"predict": [6.0]}


def test_a_function_of_a_data_frame_gets_one_like_its_example():
    seen = []

    def model(frame: pd.DataFrame) -> pd.DataFrame:
        seen.append(frame)
        return frame.assign(double=frame["n"] * 2)

    example = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["u", "v"])})
    runtime = wrap(model, example=example)
    assert answer(runtime, Records([{"n": 1, "c": "u"}, {"n": None, "c": "v"}])) == {
        "n": [1, None],
        "c": ["u", "v"],
        "double": [2, None],
    }
    pd.testing.assert_frame_equal(seen[0], example)
    assert answer(wrap(lambda frame: frame["n"], example=example), Records([{"n": 1, "c": "u"}])) == {
        "predict": [1]
    }


def test_scalars_may_be_completed_by_an_example():
    assert columns_of(wrap(lambda text: text, example=["hello"])) == [("text", "str", True, False)]
    assert wrap(lambda text: text, example=["hello"]).example_rows() == [{"text": "hello"}]
    assert columns_of(wrap(lambda a, b: [a, b], example=[{"a": 1, "b": "x"}])) == [
        ("a", "float64", True, False),
        ("b", "str", True, False),
    ]


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        ([1.0, 2.0], {"predict": [1.0, 2.0]}),
        ({"p": [1, 2], "q": ["a", "b"]}, {"p": [1, 2], "q": ["a", "b"]}),
        ((np.ones(2), [3, 4]), {"output_0": [1.0, 1.0], "output_1": [3, 4]}),
        ((1.5, 2.5), {"predict": [1.5, 2.5]}),
        (pd.Series([1, 2]), {"predict": [1, 2]}),
        ([[1], [1, 2]], {"predict": [[1], [1, 2]]}),
    ],
)
def test_a_function_of_all_rows_may_return_one_or_several_columns(result, outputs):
    def model(rows: np.ndarray):
        return result

    assert answer(wrap(model), Rows([[1], [2]])) == outputs


@pytest.mark.parametrize("result", [[1.0], 5, np.float64(1), {"p": [1, 2], "q": [1]}, None])
def test_another_number_of_rows_is_an_error_of_the_model(result):
    def model(rows: np.ndarray):
        return result

    with pytest.raises(ModelError, match="for 2"):
        answer(wrap(model), Rows([[1], [2]]))


# What cannot be served --------------------------------------------------------------------


def test_what_no_column_can_be_is_refused_when_it_is_added():
    def no_arguments():
        return 1

    def of_a_list(rows: list[float]):
        return rows

    def of_several(rows: np.ndarray, scale: float):
        return rows

    def of_a_frame(frame: pd.DataFrame):
        return frame

    for function, complaint in [
        (no_arguments, "takes no arguments"),
        (of_a_list, "'rows' is hinted list"),
        (of_several, "takes an array beside other arguments"),
        (of_a_frame, "needs example="),
        (dict.update, "cannot be read"),
    ]:
        with pytest.raises(ConfigurationError, match=complaint):
            wrap(function)
    with pytest.raises(ConfigurationError, match="batch=True is for functions of one array"):
        wrap(shout, batch=True)
    with pytest.raises(LoadError, match="A int is no model"):
        wrap(5)


# async def --------------------------------------------------------------------------------


async def slow(x: float) -> float:
    await asyncio.sleep(0)
    return x * 2


def test_an_async_function_runs_on_one_loop_for_all_its_rows_and_requests():
    loops = set()

    async def model(x: float) -> float:
        loops.add(id(asyncio.get_running_loop()))
        assert threading.current_thread() is not threading.main_thread()
        return x

    runtime = wrap(model)
    assert runtime.concurrency == 64
    assert wrap(model, concurrency=3).concurrency == 3
    for _ in range(2):
        assert answer(runtime, Rows([[1], [2], [3]])) == {"predict": [1.0, 2.0, 3.0]}
    assert len(loops) == 1


def test_rows_of_one_request_wait_together_but_not_too_many():
    running, most = 0, 0

    async def model(x: float) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return x

    assert answer(wrap(model, concurrency=4), Rows([[float(i)] for i in range(20)]))["predict"][-1] == 19.0
    assert most == 4


def test_the_first_error_of_a_row_ends_the_others():
    cancelled = []

    async def model(x: float) -> float:
        if x == 0:
            raise BadInput("zero")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(x)
            raise
        return x

    with pytest.raises(BadInput, match="zero"):
        answer(wrap(model), Rows([[1.0], [0.0]]))
    assert answer(wrap(slow), Rows([[1.0]])) == {"predict": [2.0]}
    assert cancelled == [1.0]


def test_an_async_function_may_take_all_rows_and_be_an_object():
    class Model:
        async def __call__(self, rows: np.ndarray) -> Any:
            return rows[:, 0]

    assert answer(wrap(Model()), Rows([[1, 2]])) == {"predict": [1.0]}
    assert answer(wrap(functools.partial(slow)), Rows([[1]])) == {"predict": [2.0]}


def within(seconds, call, *arguments):
    """Call something whose deadline comes so soon."""

    def call_in_time():
        call_deadline.set(time.monotonic() + seconds)
        return call(*arguments)

    return contextvars.copy_context().run(call_in_time)


def test_a_coroutine_is_cancelled_at_the_deadline_of_its_call():
    cancelled = []

    async def model(x: float) -> float:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(x)
        return x

    with pytest.raises(DeadlineExceeded, match="was started and did not finish"):
        within(0.05, answer, wrap(model), Rows([[1.0], [2.0]]))
    assert sorted(cancelled) == [1.0, 2.0]
    assert within(60, answer, wrap(slow), Rows([[1.0]])) == {"predict": [2.0]}


def test_a_timeout_of_a_coroutines_own_is_its_error():
    async def model(x: float) -> float:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
        return x

    with pytest.raises(TimeoutError):
        within(60, answer, wrap(model), Rows([[1.0]]))


def test_a_call_goes_on_while_one_of_its_coroutines_is_not_cancelled():
    refused = threading.Event()
    stop = []

    async def model(x: float) -> float:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if x == 0:
                raise
            refused.set()
            while not stop:
                await asyncio.sleep(0.001)
        return x

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(within, 0.05, answer, wrap(model), Rows([[0.0], [1.0]]))
        assert refused.wait(30)
        for _ in range(10):  # the loop had its turns
            answer(wrap(slow), Rows([[1.0]]))
        assert not asked.done()
        stop.append(True)
        with pytest.raises(DeadlineExceeded):
            asked.result(30)


def test_a_forked_child_starts_a_loop_of_its_own():
    runtime = wrap(slow)
    assert answer(runtime, Rows([[1]])) == {"predict": [2.0]}
    with event_loop._loop._lock:  # as if another thread held it at the fork
        child = os.fork()
        if child == 0:
            os._exit(0 if answer(runtime, Rows([[4]])) == {"predict": [8.0]} else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_array_of_any_dimensions_is_known_from_its_example():
    def brightness(images: npt.NDArray[np.float64]) -> Any:
        return images.mean(axis=(1, 2))

    runtime = wrap(brightness, example=np.ones((2, 2, 3)))
    assert str(runtime.signature) == "inputs: float64? (n_rows, 2, 3)"
    assert runtime.example_rows() == [[[1.0] * 3] * 2] * 2
    assert answer(runtime, Rows(runtime.example_rows())) == {"predict": [1.0, 1.0]}


def test_an_example_of_named_tensors_is_refused_where_a_model_takes_none():
    for example in ({"image": np.ones((2, 2)), "age": np.ones(2)}, [{"image": [[1]], "age": 3}]):
        with pytest.raises(ConfigurationError, match="tensors by name, and the model takes none"):
            wrap(lambda rows: rows, example=example, batch=True)


# Item by item -----------------------------------------------------------------------------


def words(text: str):
    yield from text.split()


async def ticks(n: int):
    for number in range(n):
        await asyncio.sleep(0)
        yield number


def stream(runtime, inputs):
    return runtime.stream("predict", runtime.signature.validate(inputs), {})


def hinted(text: str) -> Iterator[str]:
    return iter(text.split())


async def awaited(n: int) -> AsyncIterator[int]:
    return ticks(n)


class Speaker:
    def __call__(self, text: str):
        yield from text.split()


@pytest.mark.parametrize("function", [words, functools.partial(words), hinted, Speaker()])
def test_a_generator_is_streamed_or_gathered_for_each_row(function):
    runtime = wrap(function)
    assert runtime.streams == ("predict",)
    assert not runtime.is_async
    rows = Records([{"text": "a b"}, {"text": "c"}])
    assert list(stream(runtime, rows)) == ["a", "b", "c"]
    assert answer(runtime, rows) == {"predict": [["a", "b"], ["c"]]}


@pytest.mark.parametrize("function", [ticks, awaited])
def test_an_async_generator_is_streamed_or_gathered_for_each_row(function):
    runtime = wrap(function)
    assert runtime.streams == ("predict",)
    assert runtime.is_async
    assert runtime.concurrency == 64
    assert list(stream(runtime, Rows([[2], [1]]))) == [0, 1, 0]
    assert answer(runtime, Rows([[2], [1]])) == {"predict": [[0, 1], [0]]}


def test_a_generator_of_all_rows_is_streamed_and_gathered_if_it_has_an_item_for_each_row():
    def sums(rows: np.ndarray):
        for row in rows:
            yield row.sum()

    def steps(rows: np.ndarray):
        yield from range(3)

    runtime = wrap(sums)
    assert list(stream(runtime, Rows([[1, 2], [3, 4]]))) == [3.0, 7.0]
    assert answer(runtime, Rows([[1, 2], [3, 4]])) == {"predict": [3.0, 7.0]}
    assert list(stream(wrap(steps), Rows([[1]]))) == [0, 1, 2]
    with pytest.raises(ModelError, match="returned 3 rows in 'predict' for 1"):
        answer(wrap(steps), Rows([[1]]))


def test_a_function_that_is_no_generator_streams_nothing():
    assert wrap(shout).streams == ()
    assert wrap(slow).streams == ()
    assert wrap(len).streams == ()


@pytest.mark.parametrize("is_async", [False, True])
def test_who_stops_asking_closes_the_generator(is_async):
    closed = []

    def plain(n: int):
        try:
            yield from range(n)
        finally:
            closed.append("plain")

    async def waiting(n: int):
        try:
            for number in range(n):
                yield number
        finally:
            closed.append("waiting")

    items = stream(wrap(waiting if is_async else plain), Rows([[5]]))
    assert next(items) == 0
    items.close()
    assert closed == ["waiting" if is_async else "plain"]


def test_an_asynchronous_generator_is_cancelled_where_its_next_item_is_late():
    closed = []

    async def stuck(n: int):
        try:
            yield n
            await asyncio.Event().wait()
        finally:
            closed.append(n)

    items = stream(wrap(stuck), Rows([[5]]))
    assert within(60, next, items) == 5
    with pytest.raises(DeadlineExceeded):
        within(0.05, next, items)
    assert closed == [5]


def test_an_error_of_a_generator_passes_through_between_items():
    async def picky(n: int):
        yield n
        raise BadInput("no more")

    items = stream(wrap(picky), Rows([[5]]))
    assert next(items) == 5
    with pytest.raises(BadInput, match="no more"):
        next(items)


@pytest.mark.parametrize(
    ("hint", "promised"),
    [
        (str, ("str", False)),
        (int, ("int64", False)),
        (float | None, ("float64", True)),
        (Literal["a", "b"], ("str", False)),
        (Any, None),
        (None, None),
        (dict, None),
        (list[float], None),
        (int | str, None),
        (np.ndarray, None),
        (pd.DataFrame, None),
        (Iterator[str], None),
    ],
)
def test_a_return_hint_is_a_promise(hint, promised):
    def model(text: str):
        return text

    model.__annotations__["return"] = hint
    found = wrap(model).promises("predict")
    assert wrap(model).signature.outputs == {}
    assert [(spec.name, spec.dtype, spec.nullable) for spec in found] == (
        [] if promised is None else [("predict", *promised)]
    )
