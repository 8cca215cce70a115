#!/usr/bin/env bash
# Installs what the node image build and the tests need, and starts Docker if no engine answers: on Debian and Ubuntu, as
# root. Elsewhere it says exactly what is missing and stops.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }

missing=()
need() { # PACKAGE COMMAND
  command -v "$2" >/dev/null 2>&1 || missing+=("$1")
}
need mmdebstrap mmdebstrap
need gcc gcc
need pkg-config pkg-config
need git git
need iproute2 ip
need iptables iptables
[ -e /usr/include/seccomp.h ] || missing+=(libseccomp-dev)
[ -e /usr/share/doc/libc6-dev ] || missing+=(libc6-dev)
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)

engine_answers() {
  if command -v docker >/dev/null 2>&1; then docker version >/dev/null 2>&1; else [ -S /var/run/docker.sock ]; fi
}
engine_answers || command -v dockerd >/dev/null 2>&1 || missing+=(docker.io)
command -v docker >/dev/null 2>&1 || missing+=(docker.io) # the tests compare with what it says

if ! command -v go >/dev/null 2>&1; then
  say "Go 1.26 or later is needed: see https://go.dev/doc/install" >&2
  exit 4
fi

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "these packages of Debian or Ubuntu, or what your system has in their place, are missing: ${missing[*]}" >&2
    say "install them, and run this again" >&2
    exit 4
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # Debian has the command in a package of its own from release 13 on.
  if ! command -v docker >/dev/null 2>&1 && apt-cache show docker-cli >/dev/null 2>&1; then missing+=(docker-cli); fi
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! engine_answers; then
  if [ "$(id -u)" != 0 ]; then
    say "no container engine answers: start Docker, and run this again" >&2
    exit 4
  fi
  say "starting Docker"
  if [ -d /run/systemd/system ]; then systemctl start docker; else service docker start; fi
  for _ in $(seq 100); do
    engine_answers && break
    sleep 0.2
  done
  engine_answers || { say "Docker was started but does not answer: its log says why" >&2; exit 4; }
fi
