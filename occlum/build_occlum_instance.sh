#!/usr/bin/env bash
# Builds the enclave of a part in occlum/instance/PART, from an image of this checkout.
#
#   KEY=own.pem PROFILE=1b occlum/build_occlum_instance.sh worker
#   KEY=own.pem occlum/build_occlum_instance.sh webui
#   SGX_MODE=SIM occlum/build_occlum_instance.sh --one-instance
#
# --one-instance puts worker and page into one enclave, for demonstrations alone: all of Gradio then
# stands beside the prompts, and a fault in it can read the worker's memory.
#
# PROFILE     the worker's size: 1b (default), 3b or 7b
# SETTINGS    the part's settings, which are measured (default: occlum/cloister.toml)
# KEY         signs the enclave; without it nothing but a simulation is built (SGX_MODE=SIM)
# PYTHON      a Python that has Cloister installed; it checks, and makes the image where
#             install_python.sh has not
# MODELS      a folder of the host to be had at /models: unverified, for demonstrations alone
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
: "${PYTHON:=$root/.venv/bin/python}" "${PROFILE:=1b}" "${SGX_MODE:=HW}" "${KEY:=}" "${MODELS:=}"
case ${1:-} in
worker) part=worker ;;
webui) part=webui PROFILE=webui ;;
--one-instance) part=both ;;
*) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
instance=$here/instance/$part
export IMAGE=${IMAGE:-$here/image/$part} SETTINGS=${SETTINGS:-$here/cloister.toml}

homes() { (cd "$root" && "$PYTHON" -m homes "$@"); }

if [[ $SGX_MODE != SIM ]]; then
  [[ -n $KEY ]] || { echo "error: KEY must name the key that signs the enclave" >&2; exit 2; }
  homes check "$KEY"
fi
[[ -d $IMAGE ]] || homes image "$part" "$IMAGE"
demonstration=()
[[ -z $MODELS ]] || demonstration=(--models-on-host "$MODELS")
homes check "$here/image.yaml"

rm -rf "$instance"
mkdir -p "$here/instance"
occlum new "$instance"
cd "$instance"
rm -rf image
copy_bom -f "$here/image.yaml" --root image --include-dir /opt/occlum/etc/template
homes trim "$here/image.yaml" "$instance/image"
[[ -z $MODELS ]] || mkdir -p image/models
homes occlum --profile "$PROFILE" "${demonstration[@]}" >Occlum.json
homes check ${MODELS:+--demonstration} "$instance/Occlum.json"
if [[ $SGX_MODE == SIM ]]; then
  occlum build --sgx-mode SIM
else
  occlum build --sign-key "$KEY"
  occlum print mrenclave
fi
