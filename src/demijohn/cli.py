"""The command line: ``serve``, ``predict``, ``inspect``, ``models``.

Rules of this room:
1. Flask loads this module on every ``flask`` call: it imports nothing but click at its top.
2. What the operator can mend is one line on stderr and exit status 2; never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

USAGE_ERROR = 2
#: Forms of an answer, as ``bulk`` knows them.
_FORMS = ("csv", "json", "jsonl", "ndjson", "arrow", "arrows", "feather", "parquet", "npy", "npz")
_INTERRUPTED = 130  # 128 + SIGINT, as shells write it


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into a line, one more for each problem of a row, and exit status 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from .errors import DemijohnError

        try:
            return command(*args, **kwargs)
        except DemijohnError as error:
            _tell(error.detail)
            for problem in error.errors:
                is_located = problem.row is not None or problem.column is not None
                if is_located and str(problem) not in error.detail:
                    click.echo(f"  {problem}", err=True)
            sys.exit(USAGE_ERROR)

    return run


def _tell(text: str) -> None:
    click.echo(f"demijohn: {' '.join(text.split())}", err=True)


@click.group("demijohn", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="demijohn", prog_name="demijohn")
def cli() -> None:
    """Give fitted models a REST API."""


def _acceleration(context: click.Context, parameter: click.Parameter, is_exact: bool | None) -> str | None:
    del context, parameter  # click's callbacks get them
    return None if is_exact is None else "exact" if is_exact else "fast"


_ACCELERATION = click.option(
    "--exact/--fast", "acceleration", default=None, callback=_acceleration,
    help="Engines proved equal to the framework, or also those that round to float32.  [default: exact]",
)  # fmt: skip
_TRUST = click.option(
    "--trust", "is_trusted", is_flag=True,
    help="Let model files run code of their authors: Lambda layers, layers of your own.",
)  # fmt: skip
_EXAMPLE = click.option(
    "--example", type=click.Path(path_type=Path), help="Rows that complete the signature."
)


@cli.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one."
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Worker processes.  [default: the cores]")
@click.option(
    "--threads", type=click.IntRange(1, 8192), help="Most threads per worker.  [default: queue + 64]"
)
@click.option("--name", help="Name of the model, where one file or folder is given.")
@click.option(
    "--example", "examples", multiple=True, metavar="[NAME=]FILE",
    help="Rows that complete the signature; the first is shown as the example.",
)  # fmt: skip
@click.option("--default", "default", metavar="NAME", help="The model that answers POST /predict.")
@click.option(
    "--alias", "aliases", multiple=True, metavar="NAME@ALIAS=VERSION", help="A movable name for a version."
)
@click.option(
    "--chain", "chains", multiple=True, metavar="NAME=MODEL,MODEL...",
    help="Models one after another, as one; MODEL.METHOD takes another method than the default.",
)  # fmt: skip
@_ACCELERATION
@click.option(
    "--device",
    metavar="DEVICE",
    help="Of ONNX and PyTorch: cpu, cuda, cuda:1.  [default: a GPU if there is one]",
)
@click.option("--reload", is_flag=True, help="Watch the files; load changed ones beside, then swap.")
@click.option(
    "--model-control", is_flag=True, help="Let clients load and unload the models that stand here (/v2)."
)
@click.option(
    "--strict-versions", is_flag=True, help="Refuse models saved by another version of their framework."
)
@_TRUST
@click.option(
    "--batching/--no-batching", default=None, help="Join waiting requests into one call.  [default: on]"
)
@click.option(
    "--deadline", "deadline_s", type=float, metavar="SECONDS", help="Longest answer.  [default: 30]"
)
@click.option("--max-batch-size", type=int, metavar="ROWS", help="Most rows in one call.  [default: 256]")
@click.option(
    "--max-queue-rows", type=click.IntRange(1), metavar="ROWS",
    help="Most rows that wait for a model.  [default: 4 x batch]",
)  # fmt: skip
@click.option("--max-body-bytes", type=int, metavar="BYTES", help="Largest body.  [default: 64 MiB]")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, metavar="HOST", help="Host names that are answered for."
)
@click.option(
    "--allow-origin", "allowed_origins", multiple=True, metavar="ORIGIN", help="Pages that may call."
)
@click.option("--trusted-proxies", type=int, metavar="N", help="Proxies whose X-Forwarded-* headers count.")
@click.option("--access-log", is_flag=True, help="Write one line per request to stderr.")
@click.option("--open", "is_open", is_flag=True, help="Serve other machines without a key; you mean it.")
@_told
def serve(targets: tuple[str, ...], **options: Any) -> None:
    """Serve models: files, NAME=FILE, folders of model files, or a Flask app (module:app).

    \b
    demijohn serve model.joblib
    demijohn serve iris=iris.skops price=price.joblib
    demijohn serve models/
    demijohn serve app:app

    Naming a joblib or pickle file runs the code in it: name only files whose author you trust. Off
    loopback a key is needed: set DEMIJOHN_API_KEY, or say --open. What no option sets is taken from
    the environment: DEMIJOHN_MAX_ELEMENTS and others.
    """  # noqa: D301  - click takes the character itself for "do not wrap", not a backslash and a b
    from .serving import run

    sys.exit(run(targets, **options))


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("rows", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--method", default="predict", show_default=True, help="Prediction method.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write here instead of standard output."
)
@click.option(
    "--to",
    "form",
    type=click.Choice(_FORMS),
    help="Form of the answer.  [default: as -o is called, else as ROWS]",
)
@click.option("--no-header", is_flag=True, help="The first row of the CSV is data.")
@_EXAMPLE
@_ACCELERATION
@click.option(
    "--strict-versions", is_flag=True, help="Refuse a model saved by another version of its framework."
)
@_TRUST
@_told
def predict(model: Path, rows: Path, **options: Any) -> None:
    """Predict the rows of a file with a model file, without a server.

    ROWS is CSV, JSON, JSON lines, Parquet, Arrow, npy, npz or an image, or "-" for standard input. Nothing
    is written unless every row could be predicted.
    Naming a joblib or pickle file as MODEL runs the code in it.
    """
    from .bulk import predict_file

    predict_file(model, rows, **options)


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@_EXAMPLE
@_ACCELERATION
@_TRUST
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@_told
def inspect(model: Path, example: Path | None, **options: Any) -> None:
    """Show a model file: format, signature, methods, what runs it and how fast.

    Naming a joblib or pickle file runs the code in it; of a skops or .keras file none is run.
    """
    from .inspection import inspect_file

    inspect_file(model, example, **options)


@cli.command()
@_told
def models() -> None:
    """List the models of a Flask app: flask --app APP demijohn models."""
    from flask.cli import ScriptInfo

    from .errors import ConfigurationError
    from .web.services import EXTENSION

    app = click.get_current_context().ensure_object(ScriptInfo).load_app()
    if EXTENSION not in app.extensions:
        raise ConfigurationError("this Flask app has no Demijohn; add one: models = Demijohn(app)")
    pool = app.extensions[EXTENSION].pool
    for name in pool:
        predictor = pool.find(name)
        click.echo(f"{name}  version {predictor.version}  {', '.join(predictor.runtime.methods)}")


def main() -> None:
    """Run the ``demijohn`` command."""
    try:
        status = cli.main(sys.argv[1:] or ["--help"], prog_name="demijohn", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "demijohn"
        _tell(f"{error.format_message()} (see '{command} --help')")
        sys.exit(USAGE_ERROR)
    except click.ClickException as error:
        _tell(error.format_message())
        sys.exit(USAGE_ERROR)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    except OSError as error:  # a broken pipe click has seen to; this is a full disk or the like
        _tell(f"{error.filename or 'standard output'}: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
        sys.exit(USAGE_ERROR)
    sys.exit(status)
