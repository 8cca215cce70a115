#!/usr/bin/env bash
# Makes everything that is generated anew, and fails on any difference to what is there: changed, new or gone.
set -euo pipefail
state() { git ls-files -co --exclude-standard -z | xargs -0 -r sha256sum 2>/dev/null; }
before=$(state)
${1:-make} --no-print-directory generate
after=$(state)
if [ "$before" != "$after" ]; then
  diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | awk '/^[<>]/ {print $3}' | sort -u
  echo "verify: these files are not what \`make generate\` makes: run it and commit" >&2
  exit 1
fi
