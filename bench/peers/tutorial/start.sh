# VARIANT: flask (its development server), granian, or gunicorn's sync (no keep-alive) or gthread
cd "$(dirname "$0")" || exit 1
case $VARIANT in
flask) exec "$BIN/python" app.py ;;
granian) exec "$BIN/granian" --interface wsgi --host 127.0.0.1 --port "$PORT" --workers "$WORKERS" \
    --blocking-threads 64 --no-ws --no-access-log app:app ;;
*) exec "$BIN/gunicorn" app:app -b "127.0.0.1:$PORT" -w "$WORKERS" -k "$VARIANT" \
    --threads "$([ "$VARIANT" = gthread ] && echo 8 || echo 1)" ;;
esac
