#!/usr/bin/env bash
# Makes the images of worker and page for Occlum, whose C library is 2.31: a Python of today's Debian
# or of a container does not start on it. So Python is built, and packages are chosen, in a Debian 11
# of their own. Of this machine only the kernels get into the images: they ask for no newer C library,
# and Debian 11's compiler does not know all the instructions that they use.
#
#   occlum/install_python.sh                   # root, debootstrap, some minutes, 3 GB of disk
#   occlum/install_python.sh worker webui both # these images; both: one for --one-instance
#
# It leaves occlum/python-root (the Debian 11, for further images) and occlum/image/PART.
# SOURCE  an archive of CPython 3.11 (default: Debian's, checked by apt's signatures)
# FOLDERS folders of this machine to be seen inside, such as a local package index
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$here")
root=$here/python-root
images=$here/image
parts=("$@")
(($#)) || parts=(worker webui)
: "${MIRROR:=http://deb.debian.org/debian}" "${SOURCE:=}" "${FOLDERS:=}" "${JOBS:=$(nproc)}"
tools=gcc,g++,make,libc6-dev,xz-utils,zlib1g-dev,libbz2-dev,liblzma-dev,libffi-dev,libssl-dev,uuid-dev,ca-certificates
[[ $EUID -eq 0 ]] || { echo "error: debootstrap and chroot need root" >&2; exit 2; }
for part in "${parts[@]}"; do
  [[ ! -e $images/$part ]] || { echo "error: $images/$part is there already" >&2; exit 2; }
done

mounted=()
show() {
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mounted=("$root$2" "${mounted[@]}")
}
leave() { ((${#mounted[@]} == 0)) || umount "${mounted[@]}"; }
trap leave EXIT
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$HOME" LANG=C.UTF-8 "$@"; }

if [[ ! -x $root/opt/python/bin/python3 ]]; then
  [[ -x $root/usr/bin/gcc ]] || debootstrap --variant=minbase --include="$tools" bullseye "$root" "$MIRROR"
  if [[ -z $SOURCE ]]; then
    own=$(mktemp -d)
    mkdir "$own/lists"
    echo "deb-src $MIRROR bookworm main" >"$own/sources.list"
    apt=(apt-get -qq -o "Dir::Etc::sourcelist=$own/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$own/lists")
    "${apt[@]}" update
    (cd "$own" && "${apt[@]}" source --download-only python3.11)
    SOURCE=$(echo "$own"/python3.11_*.orig.tar.*)
  fi
  mkdir -p "$root/build"
  tar -C "$root/build" --strip-components=1 -xf "$SOURCE"
  show /dev/shm /dev/shm # without it Python is built without semaphores
  inside sh -c "cd /build && ./configure --quiet --prefix=/opt/python --without-static-libpython \
    --enable-shared LDFLAGS=-Wl,-rpath,/opt/python/lib && make -s -j$JOBS && make -s install" >"$root/build.log" 2>&1 ||
    { tail -20 "$root/build.log" >&2; exit 1; }
  rm -rf "$root/build"
fi

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
[[ ! -f /etc/resolv.conf ]] || cp /etc/resolv.conf "$root/etc/"
for config in /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
  [[ ! -f $config ]] || install -D -m 644 "$config" "$root$config"
done
for folder in $FOLDERS; do show "$folder" "$folder"; done
show "$checkout" /checkout
read -ra wanted < <(inside /opt/python/bin/python3 /checkout/homes/requirements.py homes)
read -ra page < <(inside /opt/python/bin/python3 /checkout/homes/requirements.py webui)
inside /opt/python/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
  --only-binary=:all: --constraint /checkout/occlum/versions.txt "${wanted[@]}" "${page[@]}"
python3 "$checkout/worker/kernels/build.py"
for part in "${parts[@]}"; do
  inside sh -c "cd /checkout && /opt/python/bin/python3 -m homes image $part /checkout/occlum/image/$part"
done
