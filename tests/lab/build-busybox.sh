#!/bin/bash
# Builds a busybox with passwd, which Debian's has not, from Debian's source of it: build-busybox.sh FOLDER
set -eu
rm -rf "$1"
mkdir -p "$1/lists/partial"
cd "$1"
trap 'cat log >&2' ERR
apt-cache policy busybox | grep -q ' Packages$' || apt-get -qq update
# The same mirror and suite that its package would come from.
apt-cache policy busybox | awk '/ Packages$/ { split($3, at, "/"); print "deb-src", $2, at[1], at[2]; exit }' > sources.list
get=(apt-get -qq -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists" -o APT::Sandbox::User=root)
"${get[@]}" update > log 2>&1
"${get[@]}" source --download-only busybox >> log 2>&1
tar --strip-components=1 -xf busybox_*.orig.tar.*
make -s allnoconfig >> log 2>&1
for option in STATIC LFS BUSYBOX ASH ASH_ECHO ASH_TEST ECHO TEST LS CAT ID PASSWD FEATURE_PASSWD_WEAK_CHECK FEATURE_SHADOWPASSWDS; do
  sed -i "s/^# CONFIG_$option is not set/CONFIG_$option=y/" .config
done
(yes '' || true) | make -s oldconfig >> log 2>&1
sed -i 's/^\(CONFIG_FEATURE_DEFAULT_PASSWD_ALGO\)=.*/\1="sha512"/' .config
make -s -j2 busybox >> log 2>&1
