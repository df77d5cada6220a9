cd "$(dirname "$0")" && exec "$BIN/uvicorn" app:app --port "$PORT" --workers "$WORKERS" --no-access-log --lifespan off
