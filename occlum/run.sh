#!/usr/bin/env bash
# Runs worker and page in the enclaves that build_occlum_instance.sh made, each in its own.
#
#   occlum/run.sh start worker    boot the enclave of a part: worker, or webui, the page
#   occlum/run.sh exec worker     start the part in it; waits until it takes requests
#   occlum/run.sh bench           what a token costs on this host and in the enclave, side by side
#   occlum/run.sh drain           take no new requests, and wait until the running ones are answered
#   occlum/run.sh stop worker     end the enclave; the worker's is drained first
#
# With --one-instance before the word, both parts are in one enclave, for demonstrations alone: all
# of Gradio then stands beside the prompts, and a fault in it can read the worker's memory.
#
# Occlum kills what runs when it stops, so draining is an HTTP call that comes before.
# WORKER_URL and WEBUI_URL are the parts' addresses (default http://127.0.0.1:8001 and :7860),
# WORKER_TOKEN the worker's join token, PYTHON a Python of this host that has Cloister installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${WORKER_URL:=http://127.0.0.1:8001}" "${WEBUI_URL:=http://127.0.0.1:7860}" "${WORKER_TOKEN:=}"
: "${PATIENCE_S:=300}" "${PYTHON:=$(dirname "$here")/.venv/bin/python}"
shared=
[[ ${1:-} != --one-instance ]] || { shared=both; shift; }
word=${1:-} part=${2:-worker}
case $word in start | exec | bench | drain | stop) ;; *) part= ;; esac
case $part in worker | webui) ;; *) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
[[ $word != exec && $word != drain ]] || command -v curl >/dev/null || { echo "$0 $word needs curl" >&2; exit 1; }
instance=$here/instance/${shared:-$part}

header() { [[ -z $WORKER_TOKEN ]] || printf 'header = "x-cloister-worker-token: %s"\n' "$WORKER_TOKEN"; }

start() {
  cd "$instance"
  occlum start
}

exec_part() {
  local url=$WORKER_URL program
  [[ $part == worker ]] || url=$WEBUI_URL
  cd "$instance"
  occlum exec /bin/python3 -m "$part" &
  program=$!
  until curl --silent --fail --output /dev/null "$url/ready"; do
    kill -0 "$program" 2>/dev/null || { echo "error: the $part has ended" >&2; exit 1; }
    ((SECONDS < PATIENCE_S)) || { echo "error: not ready after $PATIENCE_S s" >&2; exit 1; }
    sleep 0.5
  done
  echo "ready at $url"
}

bench() {
  local kept
  kept=$(mktemp -d)
  (cd "$here/.." && CLOISTER_CONFIG=$here/cloister.toml "$PYTHON" -m cloister bench) >"$kept/host"
  (cd "$instance" && occlum exec /bin/python3 -m cloister bench) >"$kept/enclave"
  (cd "$here/.." && "$PYTHON" -m cloister bench --compare "$kept/host" "$kept/enclave")
  rm -r "$kept"
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
  [[ $part != worker ]] || drain
  cd "$instance"
  occlum stop
}

case $word in exec) exec_part ;; *) "$word" ;; esac
