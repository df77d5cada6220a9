"""XGBoost, LightGBM and CatBoost through a real server: by themselves, and by what took their place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from tests import boosters
from tests.servers import Server, serving, until

#: Framework -> file and fitted model, its rows as the framework takes them, and which the file answers as.
MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "xgb.ubj": (boosters.xgb_table, lambda: boosters.table()[0]),
    "lgb.joblib": (boosters.lgb_table, lambda: boosters.table()[0]),
    "cat.cbm": (boosters.cat_binary, lambda: boosters.tumours()[0]),
}
BOUNDS = {"xgb.ubj": 1e-5, "lgb.joblib": 1e-9, "cat.cbm": 1e-9}


def saved(name: str, folder: Path) -> Path:
    path = folder / name
    model = MODELS[name][0]()
    if path.suffix == ".joblib":
        joblib.dump(model, path)
    else:
        model.save_model(str(path))
    return path


def written(name: str, rows: Any) -> list[Any]:
    """Write rows as a client would."""
    if not hasattr(rows, "columns"):
        return [[None if cell != cell else cell for cell in row] for row in rows.tolist()]
    if name.startswith("lgb"):  # it does not remember that a column was one of bools
        rows = rows.assign(is_new=rows["is_new"].astype(float))
    return boosters.records(rows)


def answers(server: Server, name: str, method: str, rows: list[Any]) -> Any:
    reply = server.post(f"/models/{Path(name).stem}/{method}", rows, connection="close")
    assert reply.status == 200, reply.data
    return np.array(reply.json()["predictions"])


@pytest.fixture(scope="module", params=["off", "exact"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("boosters")
    files = [saved(name, folder) for name in MODELS]
    with serving(files, "--workers", "2", DEMIJOHN_ACCELERATION=request.param) as server:
        server.await_workers(2)
        if request.param == "exact":
            for name in MODELS:
                until(lambda name=name: _is_settled(server, name), within_s=120)  # type: ignore[misc]
        yield server


def _is_settled(server: Server, name: str) -> bool:
    # Several times, since any worker may answer.
    plans = [server.get(f"/models/{Path(name).stem}", connection="close").json()["plan"] for _ in range(8)]
    return all(plan["state"] == "settled" for plan in plans)


@pytest.mark.parametrize("n_rows", boosters.N_ROWS)
@pytest.mark.parametrize("name", list(MODELS))
def test_the_answers_are_the_models_own(server: Server, name: str, n_rows: int) -> None:
    make, data = MODELS[name]
    model, rows = make(), data()[:n_rows]
    plan = server.get(f"/models/{Path(name).stem}").json()["plan"]["methods"]
    bound = 0.0 if plan["predict_proba"][0]["engine"] == "native" else BOUNDS[name]
    body = written(name, rows)
    for _ in range(4):  # whichever worker
        assert answers(server, name, "predict", body).tolist() == model.predict(rows).tolist()
        found = answers(server, name, "predict_proba", body)
        assert np.allclose(found, model.predict_proba(rows), rtol=bound, atol=0 if not bound else 1e-12)
        assert answers(server, name, "contributions", body).shape[0] == n_rows


@pytest.mark.parametrize("name", list(MODELS))
def test_something_proved_runs_a_row_where_it_may(server: Server, name: str) -> None:
    plan = server.get(f"/models/{Path(name).stem}").json()["plan"]["methods"]["predict"]
    expected = {"native"} if plan[0]["us"] is None else {"kernel", "onnx", "treelite", "unchecked"}
    assert plan[0]["engine"] in expected


def test_a_category_that_xgboost_refuses_names_its_row_and_column(server: Server) -> None:
    record = boosters.records(boosters.table()[0][1:2])[0]
    reply = server.post("/models/xgb/predict", [record, record | {"color": "violet"}])
    assert reply.status == 422
    assert reply.json()["errors"][0]["row"] == 1
    assert reply.json()["errors"][0]["column"] == "color"


def test_a_file_that_would_end_its_reader_is_refused_and_nothing_starts(tmp_path: Path) -> None:
    path = saved("xgb.ubj", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AssertionError, match="cannot be read"), serving([path]):
        pass


def test_a_hostile_file_in_a_watched_folder_costs_nobody_anything(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    saved("xgb.ubj", folder)
    document = json.loads(bytes(boosters.xgb_table().get_booster().save_raw("json")))
    document["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = 10**6
    with serving([folder], "--reload", "--workers", "1") as server:
        workers = server.await_workers(1)
        (folder / ".hostile.json").write_text(json.dumps(document))
        (folder / ".hostile.json").rename(folder / "hostile.json")
        until(lambda: "hostile.json cannot be read" in server.log)
        rows = boosters.table()[0][:1]
        found = answers(server, "xgb.ubj", "predict", written("xgb.ubj", rows))
        assert found.tolist() == boosters.xgb_table().predict(rows).tolist()
        assert server.get("/models/hostile").status == 404
        assert server.workers == workers
