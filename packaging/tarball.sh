#!/bin/bash
# Makes a tarball of what a package holds, laid out from the root folder, with its checksums, in target/tarball.
#   packaging/tarball.sh [FOLDER OF THE PROGRAMS [FOLDER FOR THE TARBALL]]
# With TARGET=x86_64-unknown-linux-musl the programs are built first, as static ones, which run on any Linux of this kind; the target
# (rustup target add) and a C compiler for it (musl-gcc) are needed. Without TARGET the programs that are built are taken: they need a
# C library that is no older than the one of the host on which they were built.
set -eu
tree=$(cd "$(dirname "$0")/.." && pwd)
cd "$tree"
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
programs=${1:-target/release}
if [ -n "${TARGET:-}" ]; then
  cargo build --release --locked --target "$target" --bins
  programs=target/$target/release
fi
into=$(realpath -m "${2:-target/tarball}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=rotord-$version-$target
[ -d target/staged ] || packaging/stage.sh "$programs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
install -D -m 0755 -t "$root/usr/bin" "$programs/rotord" "$programs/rotorctl"
install -D -m 0644 -t "$root/usr/lib/systemd/system" systemd/*.service systemd/*.socket
install -D -m 0644 systemd/rotord.sysusers "$root/usr/lib/sysusers.d/rotord.conf"
install -D -m 0644 systemd/rotord.tmpfiles "$root/usr/lib/tmpfiles.d/rotord.conf"
install -D -m 0644 -t "$root/usr/share/rotord" systemd/rotord-254.conf packaging/advisories.toml
cp -r templates "$root/usr/share/rotord/"
mkdir -p "$root/usr/share/man" "$root/usr/share/doc/rotord"
cp -r target/staged/man/. "$root/usr/share/man/"
cp README.md SECURITY.md LICENSE-MIT LICENSE-APACHE docs/*.md "$root/usr/share/doc/rotord/"
install -D -m 0644 target/staged/completions/rotorctl "$root/usr/share/bash-completion/completions/rotorctl"
mkdir -p "$into"
# The same files make the same tarball, whoever makes it and when.
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - "$name" | gzip -9 -n > "$into/$name.tar.gz"
(cd "$into" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "$into/$name.tar.gz"
