cd "$(dirname "$0")" || exit 1
dir=${MODEL_FILE%.joblib}.mlflow
test -d "$dir" || "$BIN/python" save.py
PATH=$BIN:$PATH
exec mlflow models serve -m "$dir" -h 127.0.0.1 -p "$PORT" -w "$WORKERS" --env-manager local
