#!/bin/bash
# Makes what a package holds beside programs and sources: manual pages, completions and the compressed changelog, in target/staged.
#   packaging/stage.sh [FOLDER OF THE PROGRAMS]
set -eu
cd "$(dirname "$0")/.."
programs=$(realpath "${1:-target/release}")
rm -rf target/staged
mkdir -p target/staged/completions
"$programs/rotord" man target/staged/man
"$programs/rotorctl" completions bash > target/staged/completions/rotorctl
"$programs/rotorctl" completions zsh > target/staged/completions/_rotorctl
"$programs/rotorctl" completions fish > target/staged/completions/rotorctl.fish
gzip -9 -n < CHANGELOG.md > target/staged/changelog.gz
