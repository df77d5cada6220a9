"""One environment per peer, the same scikit-learn in each: build/bench/environments/<name>.

An environment that cannot be made is told, with the reason, beside the results.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build/bench"
ENVIRONMENTS = PLACE / "environments"
PYTHON = "3.11"  # BentoML, MLServer and pytriton have wheels for it

_COMMON = ["scikit-learn==1.9.1", "scipy==1.17.1", "pandas==2.3.3", "joblib==1.5.3"]
_NUMPY = "numpy==2.4.6"
#: Beside scikit-learn; the oldest numpy comes first: it writes the models that all read.
PACKAGES: dict[str, list[str]] = {
    "pytriton": ["numpy==1.26.4", "nvidia-pytriton"],
    "flask": [_NUMPY, "flask", "gunicorn", "granian"],
    "fastapi": [_NUMPY, "fastapi", "uvicorn[standard]", "orjson"],
    "mlserver": [
        _NUMPY,
        "mlserver==1.7.1",
        "mlserver-sklearn==1.7.1",
        "uvloop<0.22",
    ],  # else dies
    "mlserver-boosters": [  # a gigabyte, most of it xgboost's for GPUs
        _NUMPY,
        "mlserver==1.7.1",
        "mlserver-lightgbm==1.7.1",
        "mlserver-xgboost==1.7.1",
        "uvloop<0.22",
    ],
    "bentoml": [_NUMPY, "bentoml"],
    "litserve": [_NUMPY, "litserve"],
    "ray": [_NUMPY, "ray[serve]"],
    "mlflow": [_NUMPY, "mlflow"],
    "kserve": [_NUMPY, "kserve"],
}


def prepare(names: list[str]) -> dict[str, str]:
    """Make what is not there yet; returns, for each environment that could not be made, why."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        return dict.fromkeys(names, "uv is not there: pip install uv")
    failed = {}
    for name in names:
        why = None if (ENVIRONMENTS / name / ".ok").exists() else _make(uv, name)
        if why:
            failed[name] = why
            print(f"not installed: {name}: {why}", flush=True)
    return failed


def oldest() -> Path:
    """The first of the environments there are: what its numpy has written, every other reads."""
    return next(ENVIRONMENTS / name for name in PACKAGES if (ENVIRONMENTS / name / ".ok").exists())


def _make(uv: str, name: str) -> str | None:
    folder = ENVIRONMENTS / name
    print(f"installing {name} ...", flush=True)
    commands = [
        [uv, "venv", "-q", "--clear", "--python", PYTHON, folder],
        [uv, "pip", "install", "-q", "--compile-bytecode", "--python", folder / "bin/python",
         *_COMMON, *PACKAGES[name]],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            return lines[-1].strip()
    (folder / ".ok").touch()
    return None
