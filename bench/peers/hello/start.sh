cd "$(dirname "$0")" && exec "$BIN/granian" --interface wsgi --host 127.0.0.1 --port "$PORT" \
    --workers "$WORKERS" --blocking-threads 64 --no-ws --no-access-log app:app
