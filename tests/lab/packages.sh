#!/bin/bash
# Builds the Debian package twice, as VERSION-1 and as VERSION-2, from programs that are built, into a folder.
#   tests/lab/packages.sh FOLDER OF THE PROGRAMS, FOLDER FOR THE PACKAGES
set -eu
programs=$(realpath "$1")
into=$(realpath "$2")
cd "$(dirname "$0")/../.."
PATH=$PWD/target/tools/bin:$PATH
command -v cargo-deb > /dev/null || {
  echo "tests/lab/packages.sh: there is no cargo-deb; tests/run installs it in target/tools" >&2
  exit 1
}
packaging/stage.sh "$programs"
# It takes them from the folder of a release build.
mkdir -p "$into/built/release"
cp "$programs/rotord" "$programs/rotorctl" "$into/built/release/"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
for version in "$version-1" "$version-2"; do
  CARGO_TARGET_DIR=$into/built cargo deb --quiet --no-build --strip --fast --deb-version "$version" --output "$into/"
done
rm -r "$into/built"
