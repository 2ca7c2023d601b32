#!/usr/bin/env bash
# Runs the worker in the enclave that build_occlum_instance.sh made.
#
#   occlum/run.sh start    boot the enclave and start the worker; waits until it takes requests
#   occlum/run.sh drain    take no new requests, and wait until the running ones are answered
#   occlum/run.sh stop     drain, then end the enclave
#
# Occlum kills what runs when it stops, so draining is an HTTP call that comes before.
# WORKER_URL is the worker's address (default http://127.0.0.1:8001), WORKER_TOKEN its join token.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${WORKER_URL:=http://127.0.0.1:8001}" "${WORKER_TOKEN:=}" "${PATIENCE_S:=300}"
case ${1:-} in start | drain | stop) ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac

header() { [[ -z $WORKER_TOKEN ]] || printf 'header = "x-cloister-worker-token: %s"\n' "$WORKER_TOKEN"; }

start() {
  cd "$here/instance"
  occlum start
  occlum exec /bin/python3 -m worker &
  worker=$!
  until curl --silent --fail --output /dev/null "$WORKER_URL/ready"; do
    kill -0 "$worker" 2>/dev/null || { echo "error: the worker has ended" >&2; exit 1; }
    ((SECONDS < PATIENCE_S)) || { echo "error: not ready after $PATIENCE_S s" >&2; exit 1; }
    sleep 0.5
  done
  echo "ready at $WORKER_URL"
}

drain() {
  local left
  while ((SECONDS < PATIENCE_S)); do
    left=$(header | curl --silent --show-error --fail --config - -X POST "$WORKER_URL/worker/drain" |
      sed -n 's/.*"requests": *\([0-9]*\).*/\1/p')
    [[ $left != 0 ]] || { echo "drained"; return; }
    sleep 0.5
  done
  echo "error: requests still run after $PATIENCE_S s" >&2
  exit 1
}

stop() {
  drain
  cd "$here/instance"
  occlum stop
}

"$1"
