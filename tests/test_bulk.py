"""``demijohn predict``: file in, file out."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather
from pyarrow import parquet as pq
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.accelerated import FEATURES, Line, offer, predictor, regression
from tests.images import png
from tests.model_files import hostile, hostile_table, iris, iris_rows, line, save
from tests.servers import DEMIJOHN
from tests.web.rig import brightness

from demijohn import bulk, cli, runtimes
from demijohn.cli import main
from demijohn.protocols import arrow_columns, native


class Ran:
    """What one command did."""

    def __init__(self, status: int, out: bytes, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def table(self) -> list[list[str]]:
        """The rows of CSV output, the header first."""
        return list(csv.reader(io.StringIO(self.out.decode(), newline="")))

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def own_plans(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no plan from one test to the next: the framework itself answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Run ``demijohn predict`` in this process."""

    def run(*words: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["demijohn", "predict", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        return Ran(int(ended.value.code or 0), out, err.decode())

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(iris(), tmp_path / "iris.joblib")


def rows_csv(path: Path, rows: Any = None, header: str = "a,b,c,d") -> Path:
    cells = iris_rows() if rows is None else rows
    path.write_text("\n".join([header, *(",".join(map(repr, row.tolist())) for row in cells)]))
    return path


# Answers ------------------------------------------------------------------------------------


def test_csv_rows_are_answered_as_csv(predict: Any, model: Path, tmp_path: Path) -> None:
    ran = predict(model, rows_csv(tmp_path / "rows.csv"))
    assert (ran.status, ran.err) == (0, "")
    assert ran.table == [["predict"], *([label] for label in iris().predict(iris_rows()))]


def test_probabilities_are_the_estimators_to_the_last_bit(predict: Any, model: Path, tmp_path: Path) -> None:
    ran = predict(model, rows_csv(tmp_path / "rows.csv"), "--method", "predict_proba")
    header, *cells = ran.table
    assert header == ["predict_proba_0", "predict_proba_1", "predict_proba_2"]
    assert np.array_equal(np.array(cells, dtype=float), iris().predict_proba(iris_rows()))


def test_json_rows_are_answered_as_json(predict: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text(json.dumps({"instances": iris_rows()[:3].tolist()}))
    document = predict(model, tmp_path / "rows", "--method", "predict_proba").document
    assert document["classes"] == list(iris().classes_)
    assert document["predictions"] == iris().predict_proba(iris_rows()[:3]).tolist()
    assert (document["model"], document["version"]) == ("iris", "1")


def test_an_image_is_a_file_of_one_row(predict: Any, tmp_path: Path) -> None:
    model = save(brightness, tmp_path / "brightness.joblib")
    (tmp_path / "example.json").write_text(json.dumps(np.zeros((1, 2, 2, 3)).tolist()))
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    (tmp_path / "picture.PNG").write_bytes(png(pixels))
    ran = predict(model, tmp_path / "picture.PNG", "--example", tmp_path / "example.json")
    assert ran.document["predictions"] == [5.5]
    (tmp_path / "picture.jpg").write_bytes(png(pixels))
    ran = predict(model, tmp_path / "picture.jpg", "--example", tmp_path / "example.json")
    assert ran.status != 0
    assert "The body is no image/jpeg, but image/png" in ran.err
    assert "an image says too little" in predict(model, "-", "--example", tmp_path / "picture.PNG").err


@pytest.mark.parametrize(("form", "start"), [("csv", b"predict\r\n"), ("json", b'{"predictions":')])
def test_the_form_of_the_answer_can_be_chosen(
    predict: Any, model: Path, tmp_path: Path, form: str, start: bytes
) -> None:
    assert predict(model, rows_csv(tmp_path / "rows.csv"), "--to", form).out.startswith(start)


def test_hostile_texts_reach_the_model_unharmed(predict: Any, tmp_path: Path) -> None:
    model, table = save(hostile(), tmp_path / "m.joblib"), hostile_table()
    rows = tmp_path / "rows.csv"
    table.to_csv(rows, index=False)
    expected = [str(label) for label in hostile().predict(table)]
    assert [row[0] for row in predict(model, rows).table[1:]] == expected


def test_a_file_with_dates_is_an_example_of_itself(predict: Any, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "since": pd.date_range("2020-01-01", periods=4),
            "x": [1.0, 2.0, 3.0, 4.0],
            "y": [3.0, 4.0, 1.0, 0.0],
        }
    )
    columns = ColumnTransformer([("numbers", "passthrough", ["x", "y"])])
    model = save(make_pipeline(columns, LinearRegression()).fit(table, table["x"]), tmp_path / "m.joblib")
    table.to_parquet(rows := tmp_path / "rows.parquet")
    document = predict(model, rows, "--example", rows, "--to", "json").document
    assert document["predictions"] == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_a_file_without_header_is_data_from_the_first_row(predict: Any, model: Path, tmp_path: Path) -> None:
    rows = rows_csv(tmp_path / "rows.csv", iris_rows()[1:2], header="5.1,3.5,1.4,0.2")
    refused = predict(model, rows)
    assert (refused.status, refused.out) == (2, b"")
    assert "say --no-header if it is data" in refused.err
    assert len(predict(model, rows, "--no-header").table) == 3


def test_the_numbered_header_of_a_nameless_table_is_a_header(
    predict: Any, model: Path, tmp_path: Path
) -> None:
    assert len(predict(model, rows_csv(tmp_path / "rows.csv", header="0,1,2,3")).table) == 151


def test_parameters_of_a_json_file_reach_the_method(predict: Any, tmp_path: Path) -> None:
    fitted = GaussianProcessRegressor().fit([[0.0], [1.0]], [0.0, 1.0])
    model, rows = save(fitted, tmp_path / "gp.joblib"), tmp_path / "rows.json"
    rows.write_text('{"instances": [[0.5]], "params": {"return_std": true}}')
    (answer,) = predict(model, rows).document["predictions"]
    mean, std = fitted.predict([[0.5]], return_std=True)
    assert sorted(answer.values()) == sorted([mean[0], std[0]])
    rows.write_text('{"instances": [[0.5]], "params": {"nope": 1}}')
    assert "takes no parameter 'nope'" in predict(model, rows).err


# Large files --------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7], ids="in pieces of {}".format)
def test_a_plan_that_was_kept_is_used_and_nothing_is_proved(
    predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr(bulk, "PIECE_ROWS", 442 // pieces)
    engine = Line()
    offer(monkeypatch, engine)
    model = save(regression(), tmp_path / "m.joblib")
    rows = rows_csv(tmp_path / "rows.csv", FEATURES, ",".join("abcdefghij"))
    expected = regression().predict(FEATURES)
    answers = {}
    for option in ("--exact", "--fast"):
        engine.n_calls = 0
        cells = predict(model, rows, option).table[1:]
        assert engine.n_calls == 0
        answers[option] = np.array(cells, dtype=float)[:, 0]
        known = predictor(acceleration=option.removeprefix("--"))
        known.runtime.sha256 = runtimes.inspect(model).sha256
        known.settle()
        engine.n_calls = 0
        assert np.array(predict(model, rows, option).table[1:], dtype=float)[:, 0] == pytest.approx(
            expected, rel=1e-12
        )
        assert engine.n_calls == -(-442 // bulk.PIECE_ROWS)
    assert (answers["--exact"] == answers["--fast"]).all()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PIECE_ROWS", 7)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_pieces_give_the_answer_of_the_whole(
    predict: Any, tmp_path: Path, form: str, small_pieces: None
) -> None:
    fitted = StandardScaler().fit(iris_rows())
    model, rows = save(fitted, tmp_path / "s.joblib"), rows_csv(tmp_path / "rows.csv")
    if form == "json":
        rows = tmp_path / "rows.json"
        rows.write_text(json.dumps(iris_rows().tolist()))
    cells = predict(model, rows, "--method", "transform", "--to", "csv").table[1:]
    assert np.array_equal(np.array(cells, dtype=float), fitted.transform(iris_rows()))


def test_a_method_that_may_not_be_joined_gets_the_whole_file(
    predict: Any, tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(Birch(n_clusters=3).fit(iris_rows()), tmp_path / "birch.joblib")
    calls: list[int] = []
    answer = bulk.Predictor.answer

    def counted(self: Any, method: str, tensors: Any, *rest: Any) -> Any:
        calls.append(len(next(iter(tensors.values()))))
        return answer(self, method, tensors, *rest)

    monkeypatch.setattr(bulk.Predictor, "answer", counted)
    monkeypatch.setenv("DEMIJOHN_BATCHING", "off")
    assert predict(model, rows_csv(tmp_path / "rows.csv")).status == 0
    assert calls == [len(iris_rows())]


def test_a_bad_row_of_a_later_piece_is_counted_from_the_files_start(
    predict: Any, model: Path, tmp_path: Path, small_pieces: None
) -> None:
    rows = rows_csv(tmp_path / "rows.csv")
    text = rows.read_text().splitlines()
    text[1 + 100] = "1,2,x,4"
    rows.write_text("\n".join(text))
    ran = predict(model, rows)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.count("\n") == 1
    assert 'rows.csv: row 100, column 2: expected float64, received the string "x"' in ran.err


# Refusals -----------------------------------------------------------------------------------


def test_each_bad_row_is_one_line_and_nothing_is_written(predict: Any, model: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,c,d\n1,2,3,4\n1,x,3,4\n1,2,3,\n")
    ran = predict(model, rows, "--output", tmp_path / "out.csv")
    assert (ran.status, ran.out) == (2, b"")
    first, second = ran.err.splitlines()
    assert first.startswith("demijohn: ")
    assert "row 1, column 1" in first
    assert "row 2, column 3" in second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iris.joblib", "rows.csv"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"a,b,c,d\n", "There are no rows"),
        (b"a,b,c,d\n\xff\xfe,2,3,4\n", "not UTF-8"),
        (b'a,b,c,d\n"1,2,3,4\n', "not valid CSV"),
        (b"[[1, 2, 3, NaN]]", "not valid JSON"),
        (b'{"rows": 1}', "not a form of request"),
        (b"a,b,c\n1,2,3\n", "expected 4 values, received 3 values"),
    ],
)
def test_rows_that_cannot_be_read_are_one_line(
    predict: Any, model: Path, tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "rows").write_bytes(content)
    ran = predict(model, tmp_path / "rows")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert ran.err.startswith(f"demijohn: {tmp_path}/rows: ")
    assert why in ran.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["gone.joblib", "rows.csv"], "gone.joblib: there is no such file"),
        (["rows.csv", "rows.csv"], "rows.csv is of no known format"),
        (["iris.joblib", "gone.csv"], "gone.csv: there is no such file"),
        (["iris.joblib", "."], ".: is a directory"),
        (["iris.joblib", "rows.csv", "--method", "fit"], "has no method 'fit'; it has: predict,"),
        (["iris.joblib", "rows.csv", "-o", "no/out.csv"], "no/out.csv cannot be written: no such file"),
        (["iris.joblib", "rows.csv", "--to", "xml"], "'xml' is not one of 'csv', 'json'"),
        (["iris.joblib", "rows.csv", "--example", "gone.csv"], "gone.csv: there is no such file"),
        (["iris.joblib"], "Missing argument 'ROWS'"),
    ],
)
def test_what_the_operator_can_mend_is_one_line(
    predict: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    rows_csv(tmp_path / "rows.csv")
    monkeypatch.chdir(tmp_path)
    ran = predict(*words)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert ran.err.startswith("demijohn: ")
    assert why in ran.err


# Output -------------------------------------------------------------------------------------


def test_output_goes_to_the_named_file_whole(predict: Any, model: Path, tmp_path: Path) -> None:
    rows, out = rows_csv(tmp_path / "rows.csv"), tmp_path / "out.csv"
    out.write_text("old")
    ran = predict(model, rows, "-o", out)
    assert (ran.status, ran.out) == (0, b"")
    assert out.read_text().splitlines()[1] == "setosa"
    assert {path.name for path in tmp_path.iterdir()} == {"iris.joblib", "rows.csv", "out.csv"}


def test_a_link_keeps_standing_where_output_goes_through_it(
    predict: Any, model: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "target.csv")
    predict(model, rows_csv(tmp_path / "rows.csv"), "-o", link)
    assert link.is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("predict")


def test_a_pipe_is_written_to_and_not_replaced(predict: Any, model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    assert predict(model, rows_csv(tmp_path / "rows.csv"), "-o", pipe).status == 0
    reader.join()
    assert pipe.is_fifo()
    assert got[0].startswith("predict\n")


def test_standard_input_is_read_and_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    model = save(line(2), tmp_path / "line.joblib")
    rows = "x\n" + "".join(f"{number}\n" for number in range(30_000))
    command = [*DEMIJOHN, "predict", str(model), "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(rows.encode())
    process.stdin.close()
    head = [process.stdout.readline() for _ in range(3)]
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)
    assert head == [b"predict\r\n", b"0.0\r\n", b"2.0\r\n"]


# Other forms ----------------------------------------------------------------------------------


def write_rows(path: Path) -> Path:
    """Write the rows in the form that the name says."""
    rows = iris_rows()
    table = pa.table(dict(zip("abcd", rows.T, strict=True)))
    writers: dict[str, Any] = {
        ".parquet": lambda: pq.write_table(table, path),
        ".arrow": lambda: feather.write_feather(table, path, "zstd"),
        ".arrows": lambda: _write_stream(table, path),
        ".npy": lambda: np.save(path, rows),
        ".npz": lambda: np.savez(path, rows=rows),
        ".jsonl": lambda: path.write_text("\n".join(json.dumps(row) for row in rows.tolist())),
    }
    writers[path.suffix]()
    return path


def _write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def read_answer(path: Path) -> Any:
    """Read the labels in one of our answers."""
    suffix = path.suffix
    if suffix == ".jsonl":
        return list(map(json.loads, path.read_text().splitlines()))
    if suffix == ".npy":
        return np.load(path).tolist()
    if suffix == ".npz":
        return dict(np.load(path))["predict"].tolist()
    tables = {".parquet": pq.read_table, ".arrow": feather.read_table, ".arrows": _read_stream}
    return tables[suffix](path)["predict"].to_pylist()


def _read_stream(path: Path) -> pa.Table:
    return pa.ipc.open_stream(path.read_bytes()).read_all()


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.jsonl.gz", "rows.npy.gz", "rows.gz"])
def test_a_gzip_file_is_read_as_what_is_in_it(predict: Any, model: Path, tmp_path: Path, name: str) -> None:
    suffix = Path(name).with_suffix("").suffix
    plain = (rows_csv if suffix in {"", ".csv"} else write_rows)(tmp_path / f"plain{suffix}")
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    ran = predict(model, tmp_path / name, "--to", "csv")
    assert [row[0] for row in ran.table[1:]] == iris().predict(iris_rows()).tolist()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda _: b"a,b,c,d\n1,2,3,4\n", "not a gzipped file"),
        (lambda whole: whole[:-20], "ended before"),
        (lambda whole: whole[:200] + bytes(50) + whole[250:], "error"),
    ],
)
def test_a_broken_gzip_file_is_one_line(
    predict: Any, model: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], why: str
) -> None:
    many = rows_csv(tmp_path / "rows.csv", np.random.default_rng(0).normal(size=(40_000, 4)))
    (tmp_path / "rows.csv.gz").write_bytes(spoil(gzip.compress(many.read_bytes())))
    ran = predict(model, tmp_path / "rows.csv.gz")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert ran.err.startswith(f"demijohn: {tmp_path}/rows.csv.gz: ")
    assert why in ran.err


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows", ".npy", ".npz", ".jsonl"])
def test_rows_in_any_form_are_answered_in_any(predict: Any, model: Path, tmp_path: Path, suffix: str) -> None:
    rows = write_rows(tmp_path / f"rows{suffix}")
    expected = iris().predict(iris_rows()).tolist()
    assert [row[0] for row in predict(model, rows, "--to", "csv").table[1:]] == expected
    answer = tmp_path / f"answer{suffix}"
    assert predict(model, rows_csv(tmp_path / "rows.csv"), "-o", answer).status == 0
    assert read_answer(answer) == expected
    plain = tmp_path / "plain"
    assert predict(model, rows, "-o", plain).status == 0  # a name that says nothing: as the rows
    assert plain.read_bytes() == answer.read_bytes()
    nameless = rows.rename(tmp_path / "rows") if suffix != ".jsonl" else rows
    assert predict(model, nameless, "--to", "json").document["predictions"] == expected


def test_the_forms_of_the_command_line_are_those_that_are_written() -> None:
    assert set(cli._FORMS) == set(bulk.FORMS)
    assert set(bulk.FORMS.values()) == set(native.ANSWERS)


def test_a_form_that_needs_an_extra_says_which(
    predict: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_columns, "is_available", lambda: False)
    run = predict(model, rows_csv(tmp_path / "rows.csv"), "-o", tmp_path / "answer.parquet")
    assert run.status == 2
    assert "demijohn[arrow]" in run.err
    assert len(run.err.splitlines()) == 1
