#!/bin/sh
# Puts the programs, their manual pages, completions, units and examples below PREFIX, /usr/local unless told.
#   ./install.sh                    PREFIX=/opt/dosp ./install.sh, and DESTDIR=FOLDER for packagers
# What systemd reads goes below /etc where PREFIX is none of the places that it looks at.
#   ./install.sh --uninstall        takes them away; configuration and state stay
set -eu
cd "$(dirname "$0")"
PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}

files() { find bin lib share -type f; }

place() { # place FILE: where it goes
  case $PREFIX:$1 in
  /usr:* | /usr/local:*) echo "$DESTDIR$PREFIX/$1" ;;
  *:lib/systemd/* | *:lib/sysusers.d/* | *:lib/tmpfiles.d/*) echo "$DESTDIR/etc/${1#lib/}" ;;
  *) echo "$DESTDIR$PREFIX/$1" ;;
  esac
}

put() {
  files | while read -r file; do
    mode=644
    case $file in bin/*) mode=755 ;; esac
    install -D -m "$mode" "$file" "$(place "$file")" || return 1
    case $file in
    lib/systemd/*) sed -i "s|/usr/bin/dosp|$PREFIX/bin/dosp|" "$(place "$file")" || return 1 ;;
    esac
  done
}

take_away() {
  files | while read -r file; do rm -f "$(place "$file")"; done
}

# Users, folders and units of the running system: only where it is installed there.
tell_systemd() {
  [ -z "$DESTDIR" ] && command -v systemctl >/dev/null || return 0
  if [ "${1:-}" = --uninstall ]; then
    systemctl disable --now dosp-server dosp-agent 2>/dev/null || true
    systemctl stop 'dosp-agent@*.service' dosp-wait-online.service dosp-online.target 2>/dev/null || true
    return 0
  fi
  for conf in dosp-agent dosp-server; do
    systemd-sysusers "$(place "lib/sysusers.d/$conf.conf")"
  done
  systemd-tmpfiles --create "$(place lib/tmpfiles.d/dosp-server.conf)"
  systemctl daemon-reload 2>/dev/null || true
}

case "${1:-}" in
"")
  put
  tell_systemd
  ;;
--uninstall)
  tell_systemd --uninstall
  take_away
  ;;
*)
  echo "install.sh: unknown argument: $1" >&2
  exit 2
  ;;
esac
