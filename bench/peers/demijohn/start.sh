# VARIANT: "", no-lane (through Flask) or native (no compiled engine)
case $VARIANT in
no-lane) export DEMIJOHN_FAST_LANE=0 ;;
native) export DEMIJOHN_ACCELERATION=off ;;
esac
exec "$DEMIJOHN" serve "m=$MODEL_FILE" --port "$PORT" --workers "$WORKERS"
