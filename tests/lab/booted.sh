#!/bin/bash
# A system that systemd boots as its own, for the unit: the host's files under an overlay in a mount and process namespace, none
# of its services, its network. rotord is installed there as README.md says, with the config DIR/rotord.toml; DIR/trial runs in it
# as root beside rotord.service, with DIR as its folder /exchange, and the system ends with it. DIR/box has what was said.
# ROTORD and ROTORCTL are the programs, SOURCE is the source's folder.
set -eu
export DIR ROTORD ROTORCTL SOURCE
exec unshare --mount bash -eu -c '
mount --make-rprivate /
mkdir "$DIR/box" && mount -t tmpfs tmpfs "$DIR/box"
cd "$DIR/box"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
rm -rf root/etc/systemd/system/* root/etc/machine-id root/etc/rotord root/var/lib/rotord
install "$ROTORD" root/usr/bin/rotord
install "$ROTORCTL" root/usr/bin/rotorctl
install -d root/etc/rotord root/usr/share/rotord root/exchange
cp -r "$SOURCE/templates" root/usr/share/rotord/
cp "$DIR/rotord.toml" root/etc/rotord/
install -m 0644 "$SOURCE/systemd/rotord.service" root/etc/systemd/system/
install -m 0644 "$SOURCE/systemd/rotord.sysusers" root/usr/lib/sysusers.d/rotord.conf
chroot root systemd-sysusers
chroot root rotorctl key new /etc/rotord/vault.key
chroot root chown rotord: /etc/rotord/vault.key
cat > root/etc/systemd/system/trial.service <<UNIT
[Unit]
DefaultDependencies=no
Wants=rotord.service
After=rotord.service
[Service]
Type=oneshot
TimeoutStartSec=240
ExecStart=/bin/bash -eux /exchange/trial
StandardOutput=append:/exchange/trial.log
StandardError=append:/exchange/trial.log
ExecStopPost=/bin/systemctl poweroff --force --no-block
UNIT
[ ! -d /run/systemd ] || mount -t tmpfs tmpfs /run/systemd
ended=0
systemd-nspawn --quiet --register=no --keep-unit --machine="rotord-$$" --directory=root --bind="$DIR:/exchange" \
  --system-call-filter="@memlock @clock" --boot systemd.unit=trial.service < /dev/null || ended=$?
# Empty control groups stay behind.
cut -d: -f3 /proc/self/cgroup | sort -u | while read -r group; do
  find /sys/fs/cgroup/*"${group%/}"/{payload,supervisor} -depth -type d -exec rmdir {} + 2> /dev/null || true
done
exit "$ended"
'
