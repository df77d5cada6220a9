# VARIANT: flask (its development server), granian, or gunicorn's sync (no keep-alive) or gthread
cd "$(dirname "$0")" || exit 1
case $MODEL_FILE in
*.keras) APP=keras_app ;;
*.txt | *.ubj) APP=booster_app ;;
*) APP=app ;;
esac
case $VARIANT in
flask) exec "$BIN/python" $APP.py ;;
granian) exec "$BIN/granian" --interface wsgi --host 127.0.0.1 --port "$PORT" --workers "$WORKERS" \
    --blocking-threads 64 --no-ws --no-access-log $APP:app ;;
*) exec "$BIN/gunicorn" $APP:app -b "127.0.0.1:$PORT" -w "$WORKERS" -k "$VARIANT" \
    --threads "$([ "$VARIANT" = gthread ] && echo 8 || echo 1)" ;;
esac
