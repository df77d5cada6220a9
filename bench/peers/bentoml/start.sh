cd "$(dirname "$0")" && export BENTOML_DO_NOT_TRACK=True BENTOML_HOME=$SCRATCH &&
exec "$BIN/bentoml" serve service:Predictor --host 127.0.0.1 -p "$PORT"
