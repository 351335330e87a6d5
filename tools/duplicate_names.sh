#!/usr/bin/env bash
# Prints public types of a crate that share a name, and fails if there are any. Generated code is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

found=0
for crate in crates/*; do
  types=$(grep -rnoE '^ *pub (struct|enum|union|trait|type) [A-Za-z0-9_]+' "$crate/src" --include='*.rs' --exclude=generated.rs |
    sed -E 's/^([^:]+:[0-9]+):.* ([A-Za-z0-9_]+)$/\2 \1/' | sort) || continue # a crate without public types
  for name in $(cut -d' ' -f1 <<<"$types" | uniq -d); do
    echo "$(basename "$crate"): $name in" $(awk -v name="$name" '$1 == name { print $2 }' <<<"$types")
    found=1
  done
done
exit "$found"
