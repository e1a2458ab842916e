#!/bin/bash
# Makes the RPM from programs that are built and from what packaging/stage.sh has staged; rpmbuild is needed.
#   packaging/rpm.sh [FOLDER OF THE PROGRAMS [FOLDER FOR THE PACKAGE]]
set -eu
tree=$(cd "$(dirname "$0")/.." && pwd)
programs=$(realpath "${1:-$tree/target/release}")
into=${2:-$tree/target/rpm}
mkdir -p "$into"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$tree/Cargo.toml" | head -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rpmbuild --quiet -bb --define "_topdir $work" --define "rotord_version $version" --define "tree $tree" \
  --define "staged $tree/target/staged" --define "programs $programs" "$tree/packaging/rotord.spec"
cp "$work"/RPMS/*/rotord-*.rpm "$into/"
