"""The extension: wiring only; nothing of the host app is shadowed, replaced or configured."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from flask import Flask, jsonify, request
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

import demijohn
from demijohn import BadInput, Demijohn, DemijohnError
from demijohn.errors import ConfigurationError, LoadError, QueueFull, SignatureMismatch
from demijohn.runtimes import wrap

IRIS, SPECIES = load_iris(return_X_y=True)
FRAME, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)
CLASSIFIER = LogisticRegression(max_iter=2_000).fit(IRIS, SPECIES)
REGRESSION = LinearRegression().fit(FRAME, PROGRESS)
ROWS = IRIS[:2].tolist()


def line(slope: float) -> Any:
    return LinearRegression().fit([[0.0], [1.0]], [0.0, slope])


def predict(app: Flask, path: str = "/ml/predict", rows: Any = None) -> Any:
    return app.test_client().post(path, json=[[1.0]] if rows is None else rows)


# Wiring -----------------------------------------------------------------------------------


def test_models_may_be_added_before_and_after_the_app_is_known() -> None:
    models = Demijohn()
    models.add("before", line(2))
    app = Flask("host")
    models.init_app(app)
    models.add("after", line(3))
    assert predict(app, "/ml/models/before/predict").get_json()["predictions"] == pytest.approx([2.0])
    assert predict(app, "/ml/models/after/predict").get_json()["predictions"] == pytest.approx([3.0])


def test_aliases_and_the_default_may_be_given_before_the_app_is_known() -> None:
    models = Demijohn()
    models.add("line", line(2), version="1")
    models.add("line", line(3), version="2")
    models.add("other", line(4))
    models.alias("line", "champion", "1")
    models.set_default("line")
    app = Flask("host")
    models.init_app(app)
    assert predict(app).get_json()["version"] == "2"
    assert predict(app, "/ml/models/line/aliases/champion/predict").get_json()["version"] == "1"


def test_a_second_demijohn_on_one_app_is_refused() -> None:
    app = Flask("host")
    models = Demijohn(app)
    for second in (lambda: Demijohn(app), lambda: Demijohn().init_app(app), lambda: models.init_app(app)):
        with pytest.raises(RuntimeError, match="already has a Demijohn"):
            second()


def test_several_apps_in_one_process_know_nothing_of_each_other() -> None:
    apps = [Flask(f"host{index}") for index in range(2)]
    for index, app in enumerate(apps):
        Demijohn(app, api_key=f"key-{index}", max_elements=10 + index).add("line", line(index + 1.0))
    for index, app in enumerate(apps):
        client = app.test_client()
        for key in range(2):
            answer = client.post("/ml/predict", json=[[1.0]], headers={"X-API-Key": f"key-{key}"})
            assert answer.status_code == (200 if key == index else 401)
            if key == index:
                assert answer.get_json()["predictions"] == pytest.approx([index + 1.0])


def test_one_demijohn_serves_several_apps_each_by_its_own_settings() -> None:
    models = Demijohn()
    models.add("line", line(2))
    apps = [Flask("first"), Flask("second")]
    apps[1].config["DEMIJOHN_MAX_ELEMENTS"] = 1
    for app in apps:
        models.init_app(app)
    models.add("late", line(3))
    rows = [[1.0], [2.0]]
    assert [predict(app, "/ml/models/late/predict", rows).status_code for app in apps] == [200, 413]
    with pytest.raises(RuntimeError, match="app context"):
        models["line"].predict([[1.0]])
    with apps[1].app_context():
        assert models["line"].predict(rows) == pytest.approx([2.0, 4.0])


def test_without_an_app_a_model_cannot_be_called() -> None:
    models = Demijohn()
    with pytest.raises(RuntimeError, match="serves no app"):
        models.add("line", line(2)).predict([[1.0]])


def test_settings_come_from_code_then_the_app_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIJOHN_MAX_DEPTH", "5")
    monkeypatch.setenv("DEMIJOHN_DEADLINE_S", "5")
    app = Flask("host")
    app.config.update(DEMIJOHN_DEADLINE_S=6, DEMIJOHN_MAX_ELEMENTS=6)
    Demijohn(app, max_elements=7)
    settings = app.extensions["demijohn"].settings
    assert (settings.max_depth, settings.deadline_s, settings.max_elements) == (5, 6, 7)


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="no setting colour"):
        Demijohn(Flask("host"), colour="red")
    app = Flask("host")
    app.config["DEMIJOHN_API_KEYS"] = "secret"
    with pytest.raises(ConfigurationError, match="did you mean DEMIJOHN_API_KEY"):
        Demijohn(app)


@pytest.mark.parametrize("prefix", ["/ml", ""])
def test_nothing_of_the_host_app_is_changed(prefix: str) -> None:
    app = Flask("host")
    app.errorhandler(404)(lambda _: ("mine", 404))
    app.before_request(lambda: None)
    before = _snapshot(app)
    Demijohn(app, url_prefix=prefix).add("line", line(2))
    assert predict(app, f"{prefix}/predict").status_code == 200
    assert app.test_client().get("/nowhere").text == "mine"
    assert _snapshot(app) == before


def _snapshot(app: Flask) -> dict[str, Any]:
    errors = {
        name: {code: dict(kinds) for code, kinds in codes.items() if kinds}
        for name, codes in app.error_handler_spec.items()
        if name != "demijohn"
    }
    return {
        "config": dict(app.config),
        "errors": errors,
        "before": copy.copy(app.before_request_funcs.get(None)),
        "after": copy.copy(app.after_request_funcs.get(None)),
        "teardown": copy.copy(app.teardown_request_funcs.get(None)),
        "context": list(app.template_context_processors[None]),
        "filters": dict(app.jinja_env.filters),
        "json": app.json,
        "merge": app.url_map.merge_slashes,
        "host": app.url_map.host_matching,
        "converters": dict(app.url_map.converters),
        "session": app.session_interface,
        "classes": (app.request_class, app.response_class),
        "commands": list(app.cli.commands),
    }


def test_the_hosts_own_handlers_and_hooks_do_not_see_our_errors() -> None:
    app = Flask("host")
    seen: list[str] = []

    @app.errorhandler(Exception)
    def mine(error: Exception) -> Any:
        seen.append(type(error).__name__)
        return "mine", 418

    Demijohn(app).add("line", line(2))
    assert predict(app, rows=[["x"]]).get_json()["code"] == "signature_mismatch"
    assert predict(app, "/ml/nowhere").get_json()["code"] == "route_not_found"
    assert seen == []


def test_an_app_under_test_answers_as_any_other() -> None:
    app = Flask("host")
    app.testing = True

    def fail(x: float) -> float:
        raise KeyError(x)

    Demijohn(app).add("fail", fail)
    answer = predict(app, rows=[{"x": 1.0}])
    assert (answer.status_code, answer.get_json()["detail"]) == (500, "The model failed with KeyError")


# The tutorial -----------------------------------------------------------------------------


def test_a_tutorial_app_gains_the_extension_and_keeps_its_own_routes() -> None:
    app = Flask("tutorial")
    model = REGRESSION

    @app.post("/predict")
    def predict_own() -> Any:
        return jsonify(prediction=model.predict([request.json["features"]]).tolist())

    client = app.test_client()
    body = {"features": FRAME.iloc[0].tolist()}
    with pytest.warns(UserWarning, match="feature names"):
        before = client.post("/predict", json=body).data
    app = Flask("tutorial")
    app.add_url_rule("/predict", view_func=predict_own, methods=["POST"])
    Demijohn(app).add("diabetes", model)
    client = app.test_client()
    with pytest.warns(UserWarning, match="feature names"):
        assert client.post("/predict", json=body).data == before
    assert client.post("/ml/predict", json=[body["features"]]).status_code == 200


def test_a_view_of_ones_own_may_use_the_models() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("diabetes", REGRESSION, example=FRAME.head(5))

    @app.post("/price")
    def price() -> Any:
        return {"price": models["diabetes"].predict(request.json).tolist()}

    records = FRAME.head(2).to_dict("records")
    for body in (records, {"instances": records}, FRAME.head(2).to_numpy().tolist()):
        answer = app.test_client().post("/price", json=body)
        assert answer.get_json()["price"] == pytest.approx(REGRESSION.predict(FRAME.head(2)).tolist())


def app_of_a_view(error: Exception | None = None) -> Flask:
    """Return an app that has registered our handler, and whose view predicts, or raises what is given."""
    app = Flask("host")
    models = Demijohn(app)
    models.add("diabetes", REGRESSION, example=FRAME.head(5))
    app.register_error_handler(DemijohnError, demijohn.answer_error)

    @app.post("/price")
    def price() -> Any:
        if error is not None:
            raise error
        return {"price": models["diabetes"].predict(request.json).tolist()}

    return app


def test_a_view_of_ones_own_may_refuse_rows_as_our_routes_do() -> None:
    client = app_of_a_view().test_client()
    headers = {"X-Request-Id": "mine"}
    own = client.post("/price", json=[[1.0]], headers=headers)
    ours = client.post("/ml/predict", json=[[1.0]], headers=headers)
    assert (own.status_code, own.content_type, own.data) == (422, "application/problem+json", ours.data)
    assert (own.headers["X-Request-Id"], own.get_json()["code"]) == ("mine", "signature_mismatch")
    again = client.post("/price", json=[[1.0]])
    assert again.headers["X-Request-Id"] == again.get_json()["request_id"] != "mine"


def test_a_refusal_in_a_view_says_when_to_come_back() -> None:
    app = app_of_a_view(QueueFull("full", headers={"Retry-After": "3"}))
    answer = app.test_client().post("/price")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")


def test_what_is_the_operators_matter_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    answer = app_of_a_view(LoadError("/srv/secret.joblib is broken")).test_client().post("/price")
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "secret.joblib" in caplog.text


def test_a_decorator_without_a_name_is_refused_at_once() -> None:
    models = Demijohn(Flask("host"))
    with pytest.raises(ConfigurationError, match="cannot name a model"):

        @models.model  # type: ignore[arg-type]  # it should be models.model("shout")
        def shout(text: str) -> str:
            return text.upper()


def test_a_decorated_function_is_a_model_and_stays_a_function() -> None:
    app = Flask("host")
    models = Demijohn(app)

    @models.model("shout", version="2")
    def shout(text: str) -> str:
        if not text:
            raise BadInput("say something")
        return text.upper()

    assert shout("a") == "A"
    answer = predict(app, "/ml/models/shout/predict", [{"text": "a"}, {"text": "ß"}]).get_json()
    assert answer == {"predictions": ["A", "SS"], "model": "shout", "version": "2"}
    assert predict(app, "/ml/predict", [{"text": ""}]).get_json()["detail"] == "say something"


# Names ------------------------------------------------------------------------------------


def test_a_demijohn_knows_its_models_by_name() -> None:
    models = Demijohn(Flask("host"))
    models.add("b", line(1))
    models.add("a", line(1), version="1")
    models.add("a", line(1), version="2")
    assert list(models) == ["b", "a"]
    assert "a" in models
    assert "c" not in models
    assert models["a"].version == "2"
    with pytest.raises(KeyError, match="models: b, a"):
        models["c"]
    with pytest.raises(KeyError, match="models: none"):
        Demijohn()["c"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "a" * 129, "é"])
def test_a_name_that_no_url_may_hold_is_refused(name: str) -> None:
    models = Demijohn(Flask("host"))
    for add in (
        lambda: models.add(name, line(1)),
        lambda: models.add("line", line(1), version=name),
        lambda: models.add_runtime(name, wrap(line(1))),
    ):
        with pytest.raises(ConfigurationError, match="cannot name"):
            add()


def test_a_version_that_is_taken_is_refused() -> None:
    models = Demijohn(Flask("host"))
    models.add("line", line(1))
    with pytest.raises(ConfigurationError, match="already there"):
        models.add("line", line(2))


def test_a_version_may_be_given_as_a_number() -> None:
    app = Flask("host")
    models = Demijohn(app)
    for version in (9, 10):
        models.add("line", line(version), version=version)
    models.alias("line", "champion", 9)
    with pytest.raises(ConfigurationError, match=r"Version '10' .* already there"):
        models.add("line", line(1), version=10)
    for unfit in (True, -1, 1.5, None):
        with pytest.raises(ConfigurationError, match="cannot name a version"):
            models.add("line", line(1), version=unfit)  # type: ignore[arg-type]
    client = app.test_client()
    assert client.get("/ml/models/line").get_json()["versions"] == ["9", "10"]
    champion = client.post("/ml/models/line/aliases/champion/predict", json=[[1.0]])
    assert champion.get_json()["version"] == "9"
    models.remove("line", 10)
    assert client.get("/ml/models/line").get_json()["version"] == "9"


def test_an_alias_or_default_of_what_is_not_there_is_refused() -> None:
    models = Demijohn(Flask("host"))
    models.add("line", line(1))
    with pytest.raises(ConfigurationError, match="no version '2'"):
        models.alias("line", "champion", "2")
    with pytest.raises(ConfigurationError, match="no model 'other'"):
        models.set_default("other")
    with pytest.raises(ConfigurationError, match="cannot name"):
        models.alias("line", "a b", "1")


def test_an_alias_moves_and_a_default_is_named_while_it_serves() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("line", line(1), version="1", default=True)
    models.add("line", line(2), version="2")
    models.add("other", line(3))
    for version in ("1", "2"):
        models.alias("line", "champion", version)
        assert predict(app, "/ml/models/line/aliases/champion/predict").get_json()["version"] == version
    assert predict(app).get_json()["model"] == "line"
    models.set_default("other")
    assert predict(app).get_json()["model"] == "other"


def test_a_version_may_be_swapped_and_removed_while_it_serves() -> None:
    app = Flask("host")
    models = Demijohn(app)
    handle = models.add("line", line(1))
    models.add("line", line(5), version="5")
    models.alias("line", "champion", "1")
    models.put_runtime("line", wrap(line(2)), version="1")
    assert predict(app, "/ml/models/line/versions/1/predict").get_json()["predictions"] == pytest.approx(
        [2.0]
    )
    assert handle.predict([[1.0]]) == pytest.approx([5.0])
    models.remove("line", "1")
    assert predict(app, "/ml/models/line/versions/1/predict").status_code == 404
    late = Flask("late")
    models.init_app(late)
    assert predict(late).status_code == 200
    assert predict(late, "/ml/models/line/aliases/champion/predict").status_code == 404
    with pytest.raises(KeyError):
        models.remove("line", "1")


# Models -----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "iris.joblib"
    joblib.dump(CLASSIFIER, path)
    return path


@pytest.mark.parametrize("kind", [Path, str])
def test_a_model_may_be_a_file(file: Path, kind: Any) -> None:
    app = Flask("host")
    Demijohn(app).add("iris", kind(file), concurrency=2)
    assert predict(app, rows=ROWS).get_json()["predictions"] == CLASSIFIER.predict(ROWS).tolist()
    assert app.extensions["demijohn"].pool.find("iris").runtime.concurrency == 2
    assert (demijohn.load(kind(file)).predict(ROWS) == CLASSIFIER.predict(ROWS)).all()


def test_what_is_no_model_is_refused(tmp_path: Path, file: Path) -> None:
    models = Demijohn(Flask("host"))
    for model in (tmp_path / "nothing.joblib", LogisticRegression(), LogisticRegression, 5):
        with pytest.raises(LoadError):
            models.add("m", model)
    for model in (file, CLASSIFIER):
        with pytest.raises(ConfigurationError, match="batch=True"):
            models.add("m", model, batch=True)
    assert list(models) == []


def test_an_example_completes_the_signature() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("iris", CLASSIFIER, example=[{"a": 1, "b": 2, "c": 3, "d": 4}])
    assert models["iris"].signature.columns == ("a", "b", "c", "d")
    with app.app_context(), pytest.raises(SignatureMismatch, match="'d'"):
        models["iris"].predict([{"a": 1, "b": 2, "c": 3}])


def test_a_function_of_arrays_takes_many_rows() -> None:
    app = Flask("host")
    Demijohn(app).add(
        "sum", lambda rows: rows.sum(axis=1), example=np.ones((1, 2)), batch=True, batching=False
    )
    assert predict(app, rows=[[1.0, 2.0], [3.0, 4.0]]).get_json()["predictions"] == [3.0, 7.0]


def test_models_are_proved_in_the_background_when_told_to_start() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("line", line(1), batching=False)
    predictor = app.extensions["demijohn"].pool.find("line")
    models.start()
    while not predictor.not_joined:
        pass
    assert predictor.not_joined == {"predict": "batching is off"}


def test_the_deadline_of_a_model_is_that_of_the_app_it_is_called_in() -> None:
    models = Demijohn()
    handle = models.add("line", line(1))
    app = Flask("host")
    app.config["DEMIJOHN_DEADLINE_S"] = 7
    models.init_app(app)
    assert handle._resolve().deadline_s == 7
