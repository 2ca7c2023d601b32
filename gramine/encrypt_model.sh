#!/usr/bin/env bash
# Encrypts a model's folder for Gramine: only an enclave that is given the key reads it.
#
#   gramine/encrypt_model.sh FOLDER OUT KEY
#
# OUT is made; its path is part of what is encrypted, so give that one, absolute, as MODEL to make.
# KEY is a file of 16 random bytes; it is made when it is not there. Keep it from the enclave's host.
set -euo pipefail

(($# == 3)) || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1 out=$2 key=$3
[[ $out == /* ]] || { echo "error: $out must be an absolute path" >&2; exit 2; }
[[ -f $folder/config.json ]] || { echo "error: $folder holds no config.json" >&2; exit 2; }
[[ ! -e $out ]] || { echo "error: $out is there already" >&2; exit 2; }

if [[ ! -e $key ]]; then
  (umask 077 && head -c 16 /dev/urandom >"$key")
fi
mkdir -p "$out"
for file in "$folder"/*; do
  [[ ! -f $file ]] || gramine-sgx-pf-crypt encrypt -w "$key" -i "$file" -o "$out/${file##*/}"
done
echo "$out"
