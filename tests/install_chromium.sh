#!/bin/sh
# Bring Debian's Chromium for the browser tests, where it is missing and apt-get may be used.
# A machine where that cannot be done is told in one line; everything but those tests works there.

tried="$1" # a file that remembers that apt-get was tried, so that it is asked once

say() { echo "Chromium for the browser tests: $1; install it yourself as /usr/bin/chromium." >&2; }

[ -x /usr/bin/chromium ] && exit 0
[ -e "$tried" ] && say "apt-get could not bring it" && exit 0
command -v apt-get >/dev/null || { say "there is no apt-get here"; exit 0; }

as_root=
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { say "apt-get needs root"; exit 0; }
  as_root="sudo -n"
fi

echo "Chromium for the browser tests: installing Debian's" >&2
log=$(mktemp)
if $as_root apt-get update >"$log" 2>&1 &&
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >>"$log" 2>&1 &&
  [ -x /usr/bin/chromium ]; then
  rm -f "$log"
else
  tail -n 3 "$log" >&2
  rm -f "$log"
  touch "$tried"
  say "apt-get could not bring it"
fi
