#!/bin/sh
# Puts the programs, their manual pages, completions, units and examples below PREFIX, /usr/local unless told.
#   ./install.sh                    PREFIX=/opt/dosp ./install.sh, and DESTDIR=FOLDER for packagers
#   ./install.sh --uninstall        takes them away; configuration and state stay
set -eu
cd "$(dirname "$0")"
PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}

files() { find bin lib share -type f; }

put() {
  files | while read -r file; do
    mode=644
    case $file in bin/*) mode=755 ;; esac
    install -D -m "$mode" "$file" "$DESTDIR$PREFIX/$file"
    case $file in
    lib/systemd/*) sed -i "s|/usr/bin/dosp|$PREFIX/bin/dosp|" "$DESTDIR$PREFIX/$file" ;;
    esac
  done
}

take_away() {
  files | while read -r file; do rm -f "$DESTDIR$PREFIX/$file"; done
}

# Users, folders and units of the running system: only where it is installed there.
tell_systemd() {
  [ -z "$DESTDIR" ] && command -v systemctl >/dev/null || return 0
  if [ "${1:-}" = --uninstall ]; then
    systemctl disable --now dosp-server dosp-agent 2>/dev/null || true
    return 0
  fi
  for conf in dosp-agent dosp-server; do
    systemd-sysusers "$PREFIX/lib/sysusers.d/$conf.conf"
  done
  systemd-tmpfiles --create "$PREFIX/lib/tmpfiles.d/dosp-server.conf"
  systemctl daemon-reload 2>/dev/null || true
}

case "${1:-}" in
"") put && tell_systemd ;;
--uninstall) tell_systemd --uninstall && take_away ;;
*)
  echo "install.sh: unknown argument: $1" >&2
  exit 2
  ;;
esac
