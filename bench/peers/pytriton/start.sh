# Triton embeds libpython; it must be the one this interpreter belongs to.
cd "$(dirname "$0")" || exit 1
LD_LIBRARY_PATH=$("$BIN/python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH
exec "$BIN/python" app.py
