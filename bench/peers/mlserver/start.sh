# VARIANT: pool (default: inference in separate worker processes) or inproc (parallel_workers=0)
case $MODEL_FILE in
*.txt) RUNTIME=mlserver_lightgbm.LightGBMModel ;;
*.ubj) RUNTIME=mlserver_xgboost.XGBoostModel ;;
*) RUNTIME=mlserver_sklearn.SKLearnModel ;;
esac
mkdir "$SCRATCH/m" && cd "$SCRATCH/m" || exit 1
echo "{\"name\": \"m\", \"implementation\": \"$RUNTIME\"}" >model-settings.json
export MLSERVER_HTTP_PORT=$PORT MLSERVER_GRPC_PORT=$((PORT + 1)) MLSERVER_METRICS_PORT=$((PORT + 2))
export MLSERVER_METRICS_DIR=$SCRATCH MLSERVER_MODEL_URI=$MODEL_FILE MLSERVER_HOST=127.0.0.1
MLSERVER_PARALLEL_WORKERS=$([ "$VARIANT" = inproc ] && echo 0 || echo "$WORKERS")
export MLSERVER_PARALLEL_WORKERS
exec "$BIN/mlserver" start .
