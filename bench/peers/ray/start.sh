cd "$(dirname "$0")" && export RAY_USAGE_STATS_ENABLED=0 && exec "$BIN/python" app.py
