#!/usr/bin/env bash
# Builds the enclave of a worker in occlum/instance, from an image of this checkout.
#
#   PROFILE=1b KEY=own.pem occlum/build_occlum_instance.sh
#
# PROFILE     1b (default), 3b or 7b
# SETTINGS    the worker's settings, which are measured (default: occlum/cloister.toml)
# KEY         signs the enclave; without it nothing but a simulation is built (SGX_MODE=SIM)
# PYTHON      a Python that has Cloister installed; it checks, and makes the image where
#             install_python.sh has not
# MODELS      a folder of the host to be had at /models: unverified, for demonstrations alone
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
instance=$here/instance
: "${PYTHON:=$root/.venv/bin/python}" "${PROFILE:=1b}" "${SGX_MODE:=HW}" "${KEY:=}" "${MODELS:=}"
export IMAGE=${IMAGE:-$here/image} SETTINGS=${SETTINGS:-$here/cloister.toml}

homes() { (cd "$root" && "$PYTHON" -m homes "$@"); }

if [[ $SGX_MODE != SIM ]]; then
  [[ -n $KEY ]] || { echo "error: KEY must name the key that signs the enclave" >&2; exit 2; }
  homes check "$KEY"
fi
[[ -d $IMAGE ]] || homes image "$IMAGE"
demonstration=()
[[ -z $MODELS ]] || demonstration=(--models-on-host "$MODELS")
homes check "$here/worker.yaml"

rm -rf "$instance"
occlum new "$instance"
cd "$instance"
rm -rf image
copy_bom -f "$here/worker.yaml" --root image --include-dir /opt/occlum/etc/template
[[ -z $MODELS ]] || mkdir -p image/models
homes occlum --profile "$PROFILE" "${demonstration[@]}" >Occlum.json
homes check ${MODELS:+--demonstration} "$instance/Occlum.json"
if [[ $SGX_MODE == SIM ]]; then
  occlum build --sgx-mode SIM
else
  occlum build --sign-key "$KEY"
  occlum print mrenclave
fi
