# VARIANT: "", no-lane (through Flask), native (no compiled engine) or alone (no request shares a call)
case $VARIANT in
no-lane) export DEMIJOHN_FAST_LANE=0 ;;
native) export DEMIJOHN_ACCELERATION=off ;;
alone) export DEMIJOHN_BATCHING=off ;;
esac
exec "$DEMIJOHN" serve "m=$MODEL_FILE" --port "$PORT" --workers "$WORKERS"
