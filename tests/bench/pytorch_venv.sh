#!/bin/sh
# Prints the path of a Python with PyTorch: $PYTHON if it is set, else that of a virtual environment
# in $XDG_CACHE_HOME/tinykg-bench, which is made from PyPI where it is missing (2 GB; messages go to
# standard error), with torch_geometric; `pytorch_venv.sh find` makes none and looks at python3 too.
# Prints one line that says why, if there is none.
set -u
version=2.15.0
has_torch() { "$1" -c 'import numpy, torch' 2>/dev/null; }
if [ -n "${PYTHON:-}" ]; then
  if has_torch "$PYTHON"; then command -v "$PYTHON"; else echo "$PYTHON has no torch"; fi
  exit
fi
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tinykg-bench
venv=$folder/torch-$version
if has_torch "$venv/bin/python"; then echo "$venv/bin/python"; exit; fi
if [ "${1:-}" = find ]; then
  if has_torch python3; then command -v python3; else echo 'no Python with torch (PYTHON=)'; fi
  exit
fi
mkdir -p "$folder" || { echo "$folder: cannot be made"; exit; }
echo "installing torch $version into $venv" >&2
rm -rf "$venv"
if ! python3 -m venv "$venv" >"$folder/log" 2>&1; then
  echo "python3 -m venv failed, see $folder/log (Debian: apt-get install python3-venv)"
  exit
fi
# The index of builds for the CPU has a tenth of the bytes; not every network lets it through.
pip="$venv/bin/python -m pip --disable-pip-version-check install --retries 1 --timeout 15"
$pip --index-url https://download.pytorch.org/whl/cpu "torch==$version" numpy >>"$folder/log" 2>&1 ||
  $pip --timeout 60 "torch==$version" numpy >>"$folder/log" 2>&1
$pip torch_geometric >>"$folder/log" 2>&1
if has_torch "$venv/bin/python"; then echo "$venv/bin/python"; exit; fi
rm -rf "$venv"
echo "torch $version could not be installed (offline?), see $folder/log"
