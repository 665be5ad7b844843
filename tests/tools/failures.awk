#!/usr/bin/awk -f
# Prints of a spec's output (see spec.sh) its name and its failures, each with its message.
NR == 1 { print }
/^  [^ ]/ { failure = /^  (FAIL|ERROR) / }
NR > 1 && failure
