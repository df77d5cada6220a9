"""What the words after ``demijohn serve`` stand for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.model_files import iris, line, save, unprivileged

from demijohn.errors import ConfigurationError, LoadError, UnknownFormat
from demijohn.targets import Candidate, Target, find, is_app, parse, read_candidate, stamp, stem


def found(*words: str | Path) -> dict[tuple[str, str], str]:
    """Return what ``find`` finds: (name, version) -> file name."""
    return {file.key: file.path.name for file in find([parse(str(word)) for word in words]).files}


@pytest.mark.parametrize("word", ["app:app", "pkg.module:create_app()", "app:site.wsgi"])
def test_module_and_attribute_name_an_app(word: str) -> None:
    assert is_app(word)


@pytest.mark.parametrize("word", ["model.joblib", "a/b:c", "app:", ":app", "a:b:c", "x=app:app", "app:f(1)"])
def test_other_words_name_no_app(word: str) -> None:
    assert not is_app(word)


def test_a_file_that_looks_like_an_app_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(line(1), tmp_path / "app:app")
    assert not is_app("app:app")


def test_a_file_is_version_1_of_a_model_named_after_it(tmp_path: Path) -> None:
    assert found(save(line(1), tmp_path / "my price (new).joblib")) == {
        ("my-price-new", "1"): "my price (new).joblib"
    }


def test_a_name_may_stand_before_the_path(tmp_path: Path) -> None:
    path = save(line(1), tmp_path / "x.joblib")
    assert found(f"price={path}", f"cost={path}") == {("price", "1"): "x.joblib", ("cost", "1"): "x.joblib"}


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    path = save(line(1), tmp_path / "day=1" / "x.joblib")
    assert parse(str(path)) == Target(path)
    assert parse(f"a={path}") == Target(path, "a")


@pytest.mark.parametrize("word", ["", "name="])
def test_a_word_without_a_path_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        parse(word)


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "ü", "x" * 129])
def test_a_name_that_cannot_stand_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a model"):
        parse(f"{name}=model.joblib")


@pytest.mark.parametrize(("name", "expected"), [("a.b.pkl", "a.b"), ("_ü_.pkl", "model"), ("a  b", "a-b")])
def test_a_stem_can_name_a_model(name: str, expected: str) -> None:
    assert stem(Path(name)) == expected


# Folders ------------------------------------------------------------------------------------


def test_a_folder_holds_loose_files_and_models_with_versions(tmp_path: Path) -> None:
    for path in ["price.joblib", "iris/1/a.skops", "iris/10/b.joblib", "wine/w.joblib", ".hidden/1/x.joblib"]:
        save(line(1), tmp_path / path)
    assert found(tmp_path) == {
        ("price", "1"): "price.joblib",
        ("iris", "1"): "a.skops",
        ("iris", "10"): "b.joblib",
        ("wine", "1"): "w.joblib",
    }


def test_a_folder_of_numbered_versions_is_a_model_itself(tmp_path: Path) -> None:
    for version in ("1", "3"):
        save(line(1), tmp_path / "iris" / version / "m.joblib")
    assert set(found(tmp_path / "iris")) == {("iris", "1"), ("iris", "3")}
    assert set(found(f"flower={tmp_path / 'iris'}")) == {("flower", "1"), ("flower", "3")}


def test_the_working_directory_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(line(1), tmp_path / "iris" / "2" / "m.joblib")
    monkeypatch.chdir(tmp_path / "iris")
    assert set(found(".")) == {("iris", "2")}


def test_files_that_are_no_model_are_passed_over_and_told(tmp_path: Path) -> None:
    save(line(1), tmp_path / "price.joblib")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "__init__.py").touch()
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    there = find([Target(tmp_path)])
    assert [file.name for file in there.files] == ["price"]
    assert [path.name for path in there.passed_over] == ["README.md", "gone", "pipe", "rows.csv"]


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04"])
def test_a_file_called_a_model_must_be_one(tmp_path: Path, content: bytes) -> None:
    save(line(1), tmp_path / "price.joblib")
    (tmp_path / "broken.skops").write_bytes(content)
    with pytest.raises(LoadError, match=r"broken\.skops"):
        find([Target(tmp_path)])


def test_a_named_file_must_be_a_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnknownFormat, match=r"notes\.txt is of no known format"):
        find([Target(tmp_path / "notes.txt")])


def test_folders_that_are_no_versions_are_passed_over_and_told(tmp_path: Path) -> None:
    save(line(1), tmp_path / "models/line/1/model.joblib")
    save(line(2), tmp_path / "models/line/v2/model.joblib")
    save(line(2), tmp_path / "models/team/iris/1/model.joblib")
    (tmp_path / "models/line/__pycache__").mkdir()
    told = find([Target(tmp_path / "models")])
    assert [file.key for file in told.files] == [("line", "1")]
    assert told.passed_over == [tmp_path / "models/line/v2", tmp_path / "models/team/iris"]
    assert find([Target(tmp_path / "models/line", "mine")]).passed_over == [tmp_path / "models/line/v2"]


def test_a_folder_that_holds_only_others_is_refused_with_their_names(tmp_path: Path) -> None:
    save(line(2), tmp_path / "models/line/v2/model.joblib")
    (tmp_path / "models/README").write_text("hello")
    with pytest.raises(LoadError, match=r"no models are: .*models/README, .*models/line/v2$"):
        find([Target(tmp_path / "models")])


@pytest.mark.parametrize("word", ["app.py", "app", "app:", "other=app.py"])
def test_an_app_that_is_named_otherwise_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    with pytest.raises(LoadError, match=r"if app\.py holds a Flask app, write app:app$"):
        find([parse(word)])


def test_a_model_file_may_be_called_as_code_is(tmp_path: Path) -> None:
    model = save(line(1), tmp_path / "line.joblib").rename(tmp_path / "line.py")
    assert [file.key for file in find([Target(model)]).files] == [("line", "1")]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="there is no such file or folder"):
        find([Target(tmp_path / "gone.joblib")])


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_an_impossible_path_is_told(path: str) -> None:
    with pytest.raises(LoadError, match="cannot be read"):
        find([parse(path)])


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(LoadError, match="there is no model file in this folder"):
        find([Target(tmp_path)])


def test_an_unreadable_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    closed.chmod(0o000)
    with unprivileged(), pytest.raises(LoadError, match="closed cannot be read: permission denied"):
        Target(closed).candidates()


def test_two_files_for_one_version_are_refused(tmp_path: Path) -> None:
    for path in ["iris/1/a.joblib", "iris/1/b.joblib"]:
        save(line(1), tmp_path / path)
    with pytest.raises(
        ConfigurationError, match=r"a\.joblib and .*b\.joblib are both model 'iris', version '1'"
    ):
        find([Target(tmp_path)])


def test_one_name_for_two_targets_is_refused(tmp_path: Path) -> None:
    first, second = save(line(1), tmp_path / "a" / "m.joblib"), save(line(2), tmp_path / "b" / "m.joblib")
    with pytest.raises(ConfigurationError, match="name them apart"):
        find([Target(first), Target(second)])


# Model folders ------------------------------------------------------------------------------


def saved_model(path: Path) -> Path:
    """Make what is told to be a SavedModel; nobody here loads one."""
    (path / "variables").mkdir(parents=True)
    (path / "variables" / "variables.index").write_bytes(b"index")
    (path / "saved_model.pb").write_bytes(b"graph")
    return path


def test_a_model_folder_is_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved_model(tmp_path / "my iris.v2")
    assert found(path) == {("my-iris.v2", "1"): "my iris.v2"}
    assert found(f"iris={path}") == {("iris", "1"): "my iris.v2"}
    monkeypatch.chdir(path)
    assert set(found(".")) == {("my-iris.v2", "1")}


def test_a_version_may_be_a_model_folder_or_hold_one(tmp_path: Path) -> None:
    saved_model(tmp_path / "iris" / "3")
    saved_model(tmp_path / "iris" / "4" / "exported")
    save(line(1), tmp_path / "iris" / "5" / "m.joblib")
    expected = {("iris", "3"): "3", ("iris", "4"): "exported", ("iris", "5"): "m.joblib"}
    assert found(tmp_path) == expected
    assert found(tmp_path / "iris") == expected
    assert set(found(f"flower={tmp_path / 'iris'}")) == {("flower", "3"), ("flower", "4"), ("flower", "5")}


def test_a_folder_of_models_may_hold_model_folders(tmp_path: Path) -> None:
    saved_model(tmp_path / "iris")
    saved_model(tmp_path / "wine" / "exported")
    save(line(1), tmp_path / "price.joblib")
    there = find([Target(tmp_path)])
    assert {file.key for file in there.files} == {("iris", "1"), ("wine", "1"), ("price", "1")}
    assert there.passed_over == []
    (iris,) = (file for file in there.files if file.name == "iris")
    assert (iris.runs_code, iris.survives_fork) == (False, False)
    assert len(iris.sha256) == 64


def test_a_folder_called_a_model_must_be_one(tmp_path: Path) -> None:
    save(line(1), tmp_path / "price.joblib")
    (saved_model(tmp_path / "iris") / "variables" / "more").symlink_to("/etc/hostname")
    with pytest.raises(LoadError, match="more is a symbolic link"):
        find([Target(tmp_path)])


def test_the_stamp_of_a_model_folder_changes_with_any_of_its_files(tmp_path: Path) -> None:
    path = saved_model(tmp_path / "iris")
    before = stamp(path)
    assert stamp(path) == before
    (path / "variables" / "variables.index").write_bytes(b"other")
    assert stamp(path) != before


# One file -----------------------------------------------------------------------------------


def test_code_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    code = save(line(1), tmp_path / "a.joblib")
    data = save(iris(), tmp_path / "b.skops")
    code.rename(tmp_path / "c.skops")
    assert read_candidate(Candidate("c", "1", tmp_path / "c.skops")).runs_code
    assert not read_candidate(Candidate("b", "1", data)).runs_code


def test_a_stamp_changes_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = save(line(1), tmp_path / "a.joblib")
    before = stamp(path)
    assert stamp(path) == before
    save(line(2), path)
    assert stamp(path) != before
    assert stamp(tmp_path / "gone") is None
