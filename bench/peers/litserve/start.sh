cd "$(dirname "$0")" && exec "$BIN/python" app.py
