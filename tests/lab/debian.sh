#!/bin/bash
# Makes the Debian that the tests boot, once for each list of packages, in target/debian, and prints its folder. Nothing on the
# host is changed: the packages are unpacked into that folder only. Whoever asks while it is being made waits for it.
set -eu
cd "$(dirname "$0")/../.."
suite=trixie # its systemd has Type=notify-reload
packages=systemd,systemd-sysv,dbus,init-system-helpers,openssh-server,openssh-client,libpam-google-authenticator,oathtool
packages+=,procps,iproute2,expect,age,jq,man-db,lintian,rpm,chromium,chromium-driver
for program in mmdebstrap systemd-nspawn unshare; do
  command -v "$program" > /dev/null || {
    echo "tests/lab/debian.sh: there is no $program; tests/run installs it" >&2
    exit 1
  }
done
mkdir -p target/debian
tree=$PWD/target/debian/$(echo "$suite $packages" | sha256sum | cut -c1-12)
exec 9> target/debian/lock
flock 9
if [ ! -d "$tree" ]; then
  rm -rf "$tree.new"
  # Whoever may not enter the folder of the source may not keep apt from it.
  timeout --kill-after=10 900 mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Sandbox::User "root"' \
    --include="$packages" "$suite" "$tree.new" > target/debian/log 2>&1 || {
    echo "tests/lab/debian.sh: mmdebstrap could not make a Debian $suite (from Debian's packages, as apt-get); it said:" >&2
    tail -20 target/debian/log >&2
    rm -rf --one-file-system "$tree.new"
    exit 1
  }
  mv "$tree.new" "$tree"
fi
echo "$tree"
