#!/bin/sh
# For a machine with a GPU and no network: what `make test-gpu` and `make bench-gpu` need beside gcc,
# make and nvcc, brought along as Debian packages.
#   gpu-packages.sh get [FOLDER]             here, with a network: downloads them (build/packages)
#   gpu-packages.sh unpack [FOLDER [ROOT]]   there, as root: unpacks them below ROOT (/)
# Both machines are of one architecture, and the C library there is no older than here. Files that
# are there already stay as they are; apt and dpkg learn of nothing.
set -eu
folder=${2:-build/packages} root=${3:-/}

NAMES='luajit lua-busted lua-argparse lua-cjson lua-filesystem lua-posix lua-readline lua-lpty libopenblas0-pthread
  libreadline8 libtinfo6 libyaml-0-2 make libopenblas-pthread-dev libgfortran5 libquadmath0 zlib1g zlib1g-dev liblzma5 liblzma-dev xz-utils'

# What the Lua packages need of their kind; the rest every system has.
with_lua_packages() {
  printf '%s\n' $NAMES
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances $NAMES | grep -E '^(lua-|libluajit)'
}

get() {
  mkdir -p "$folder"
  names=$(with_lua_packages | sort -u)
  (cd "$folder" && rm -f ./*.deb && apt-get download $names)
  echo "$(ls "$folder" | wc -l) packages, $(du -sh "$folder" | cut -f 1), in $folder"
}

# The data of a package as a tar file, also where there is no dpkg.
contents() {
  if command -v dpkg-deb >/dev/null; then
    dpkg-deb --fsys-tarfile "$1"
  else
    member=$(ar t "$1" | grep '^data\.tar')
    case $member in
      *.xz) ar p "$1" "$member" | xz -dc ;;
      *.zst) ar p "$1" "$member" | zstd -dc ;;
      *) ar p "$1" "$member" | gzip -dc ;;
    esac
  fi
}

# link FILE...: into the folder above, where a package's installation would have made them known
link() {
  for file; do
    above=$(dirname "$(dirname "$file")")/$(basename "$file")
    if [ -e "$file" ] && [ ! -e "$above" ]; then
      ln -sf "$(basename "$(dirname "$file")")/$(basename "$file")" "$above"
    fi
  done
}

unpack() {
  ls "$folder"/*.deb >/dev/null 2>&1 || {
    echo "gpu-packages: no packages in $folder; 'gpu-packages.sh get' brings them" >&2
    exit 1
  }
  for package in "$folder"/*.deb; do
    contents "$package" | tar -x --keep-directory-symlink --skip-old-files -C "$root"
  done
  link "$root"/usr/lib/*/openblas-pthread/libopenblas.so* \
    "$root"/usr/include/*/openblas-pthread/*.h
  [ "$root" != / ] || ldconfig
  echo "unpacked $(ls "$folder" | wc -l) packages into $root"
}

case ${1:-} in
  get) get ;;
  unpack) unpack ;;
  *) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
