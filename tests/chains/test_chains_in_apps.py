"""``models.chain``: made of what an app serves, and going on with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flask import Flask
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler
from tests.web.rig import check_problem

from demijohn import BadInput, Demijohn
from demijohn.errors import ConfigurationError, NotReady
from demijohn.runtimes import wrap
from demijohn.web.services import EXTENSION

X = np.random.default_rng(0).normal(size=(30, 3))


def scaler(factor: float = 1.0, width: int = 3) -> StandardScaler:
    return StandardScaler(with_mean=False).fit(X[:, :width] * factor)


def line(width: int = 3) -> LinearRegression:
    return LinearRegression().fit(X[:, :width], X[:, :width].sum(axis=1))


def made() -> tuple[Flask, Demijohn]:
    app = Flask("host")
    models = Demijohn(app)
    models.add("clean", scaler())
    models.add("score", line())
    models.chain("both", ["clean", "score"])
    return app, models


def ask(app: Flask, name: str = "both", rows: Any = ((1.0, 2.0, 3.0),)) -> Any:
    return app.test_client().post(f"/ml/models/{name}/predict", json=[list(row) for row in rows])


def told(app: Flask, name: str = "both") -> Any:
    return app.test_client().get(f"/ml/models/{name}").get_json()


def test_a_chain_is_a_model_like_any_other() -> None:
    app, models = made()
    wanted = line().predict(scaler().transform([[1.0, 2.0, 3.0]]))
    assert models["both"].predict([[1.0, 2.0, 3.0]]).tolist() == wanted.tolist()
    answer = ask(app).get_json()
    assert answer == {"predictions": wanted.tolist(), "model": "both", "version": "1"}
    shown = told(app)
    assert shown["framework"] == "chain"
    assert shown["members"] == [
        {"model": "clean", "version": "1", "method": "transform"},
        {"model": "score", "version": "1", "method": None},
    ]
    assert told(app, "clean")["members"] == []
    assert {"both", "clean", "score"} == {
        one["name"] for one in app.test_client().get("/ml/models").json["models"]
    }
    assert "/models/both/predict" in app.test_client().get("/ml/openapi.json").get_json()["paths"]
    assert ask(app, rows=((1.0,),)).status_code == 422


def test_a_chain_may_be_made_before_the_app_is_known_and_be_the_default() -> None:
    models = Demijohn()
    models.add("clean", scaler())
    models.add("score", line())
    models.chain("both", [("clean", "transform"), "score.predict"], version="7", default=True)
    models.chain("deeper", ["clean", "both"])
    first, second = Flask("first"), Flask("second")
    models.init_app(first)
    models.init_app(second)
    for app in (first, second):
        answer = app.test_client().post("/ml/predict", json=[[1.0, 2.0, 3.0]]).get_json()
        assert (answer["model"], answer["version"]) == ("both", "7")
        assert ask(app, "deeper").status_code == 200


@pytest.mark.parametrize(
    ("name", "members", "why"),
    [
        ("c", ["clean"], "has 1 members"),
        ("c", ["clean", "nobody"], "there is no model 'nobody'"),
        ("c", ["score", "clean"], "what 'score' returns does not fit 'clean'"),
        ("both", ["clean", "score"], "is already there"),
        ("c d", ["clean", "score"], "cannot name a model"),
        ("c", ["clean", 5], "no member"),
    ],
)
def test_what_is_wrong_is_said_when_a_chain_is_made(name: str, members: list[Any], why: str) -> None:
    _, models = made()
    with pytest.raises(ConfigurationError, match=why):
        models.chain(name, members)
    assert list(models) == ["clean", "score", "both"]


def test_a_chain_is_no_member_of_itself() -> None:
    _, models = made()
    models.chain("deeper", ["clean", "both"])
    for name in ("both", "clean"):
        with pytest.raises(ConfigurationError, match=f"chain '{name}' would be a member of itself"):
            models.chain(name, ["clean", "deeper"], version="2")


def test_a_chain_goes_on_with_a_members_new_version() -> None:
    app, models = made()
    models.chain("deeper", ["clean", "both"])
    before = ask(app).get_json()["predictions"]
    models.put_runtime("clean", wrap(scaler(2.0)))
    assert ask(app).get_json()["predictions"] == pytest.approx([before[0] / 2])
    assert ask(app, "deeper").get_json()["predictions"] == pytest.approx(
        line().predict(scaler(2.0).transform(scaler(2.0).transform([[1.0, 2.0, 3.0]])))
    )
    models.add("clean", scaler(4.0), version="2")
    assert ask(app).get_json()["predictions"] == pytest.approx([before[0] / 4])
    assert told(app)["members"][0]["version"] == "2"
    models.remove("clean", "2")
    assert ask(app).get_json()["predictions"] == pytest.approx([before[0] / 2])
    late = Flask("late")
    models.init_app(late)
    assert ask(late, "deeper").status_code == 200


def test_a_member_that_does_not_fit_leaves_the_chain_as_it_was_until_all_fit(caplog: Any) -> None:
    app, models = made()
    before = ask(app).get_json()["predictions"]
    models.put_runtime("clean", wrap(scaler(2.0, width=2)))
    assert "what 'clean' returns does not fit 'score'" in caplog.text
    assert ask(app).get_json()["predictions"] == before
    assert told(app)["warnings"][0].startswith("goes on with the members it had: chain 'both'")
    models.put_runtime("score", wrap(line(2)))
    assert ask(app, rows=((1.0, 2.0),)).status_code == 200
    assert told(app)["warnings"] == []


def test_a_chain_without_a_member_is_not_ready_until_it_is_back() -> None:
    app, models = made()
    models.remove("clean", "1")
    problem = check_problem(ask(app), 503, "not_ready")
    assert "there is no model 'clean'" in problem["detail"]
    assert app.test_client().get("/ml/readyz").get_json()["reasons"] == {"both/1": "the model is failed"}
    with pytest.raises(NotReady):
        models["both"].predict([[1.0, 2.0, 3.0]])
    models.add("clean", scaler())
    assert ask(app).status_code == 200
    late = Flask("late")  # by now the member was added after its chain
    models.init_app(late)
    assert ask(late).status_code == 200


def test_an_error_of_a_member_is_the_chains_and_names_it() -> None:
    app, models = made()

    @models.model("picky")
    def picky(x: float) -> float:
        if x < 0:
            raise BadInput("x must not be negative")
        return x

    models.chain("careful", ["picky", "picky"])
    problem = check_problem(ask(app, "careful", ((-1.0,),)), 422, "bad_input")
    assert problem["detail"] == "model 'picky': x must not be negative"


def test_a_chain_and_its_members_are_counted() -> None:
    app, models = made()
    for predictor in app.extensions[EXTENSION].pool.predictors():
        predictor.settle()
    ask(app)
    models["both"].predict([[1.0, 2.0, 3.0]])
    text = app.test_client().get("/ml/metrics").text
    for name, method, n in (("both", "predict", 2), ("clean", "transform", 2), ("score", "predict", 2)):
        labels = f'{{method="{method}",model="{name}",version="1"}}'
        assert f"demijohn_inference_duration_seconds_count{labels} {n}.0" in text
    labels = '{method="predict",model="both",status="200",version="1"}'
    assert f"demijohn_requests_total{labels} 1.0" in text
