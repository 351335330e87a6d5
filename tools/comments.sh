#!/usr/bin/env bash
# Prints doc comments that begin with What, Whether, How or Where, and fails if there are any: a doc comment says what an
# item is (a noun phrase) or what a function returns or does (third person).
set -euo pipefail
cd "$(dirname "$0")/.."

! grep -rnE '^ *//[/!] (What|Whether|How|Where)\b' crates fuzz bindings --include='*.rs'
