#!/bin/bash
# Boots a Debian of its own with systemd: the tree that debian.sh made under an overlay that is gone afterwards, in namespaces of
# its own, with no network but loopback. DIR/exchange is its folder /exchange. The script "trial" there runs in it as root once it is
# up, with BOOT=1, and the machine is switched off when the trial ends. A trial that exits with 75 has the machine booted anew,
# and is run again with BOOT=2 and so on; what is on the machine's disk is still there. The file trial.log has what the trial said,
# result its exit status (124 where it took over 500 seconds), journal.1 what rotord said under systemd, and DIR/console what the machine showed. SOURCE, the source's
# folder, is /source in it, read-only.
set -eu
export DIR SOURCE
TREE=$("$SOURCE/tests/lab/debian.sh")
export TREE
exec unshare --mount bash -eu -c '
mount --make-rprivate /
mkdir "$DIR/box"
mount -t tmpfs tmpfs "$DIR/box"
cd "$DIR/box"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=upper,workdir=work" root
mkdir root/exchange root/source
cat > root/usr/local/sbin/trial <<SCRIPT
#!/bin/bash
boots=\$(( \$(cat /var/lib/boots 2> /dev/null || echo 0) + 1 ))
echo "\$boots" > /var/lib/boots
ended=0
BOOT=\$boots HOME=/root timeout --kill-after=10 500 bash -eux /exchange/trial >> /exchange/trial.log 2>&1 || ended=\$?
echo "\$ended" > /exchange/result
journalctl --no-pager -o cat -u rotord > "/exchange/journal.\$boots"
if [ "\$ended" = 75 ]; then
  systemctl reboot --no-block
else
  systemctl poweroff --force --no-block
fi
SCRIPT
chmod +x root/usr/local/sbin/trial
cat > root/etc/systemd/system/trial.service <<UNIT
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/trial
UNIT
[ ! -d /run/systemd ] || mount -t tmpfs tmpfs /run/systemd
ended=133
# It has the unified control groups, whatever the host has. A machine that boots anew ends nspawn with 133.
while [ "$ended" = 133 ]; do
  ended=0
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --register=no --keep-unit --machine="rotord-$$" --directory=root \
    --private-network --system-call-filter="@memlock @clock" \
    --bind="$DIR/exchange:/exchange" --bind-ro="$SOURCE:/source" \
    --boot systemd.wants=trial.service < /dev/null >> "$DIR/console" 2>&1 || ended=$?
done
# Empty control groups stay behind.
cut -d: -f3 /proc/self/cgroup | sort -u | while read -r group; do
  find /sys/fs/cgroup/*"${group%/}"/{payload,supervisor} -depth -type d -exec rmdir {} + 2> /dev/null || true
done
if [ "$ended" != 0 ] || [ ! -e "$DIR/exchange/result" ]; then
  echo "systemd-nspawn ended with $ended; a kernel with overlayfs and namespaces, and cgroup2, are needed. The machine showed:"
  tail -30 "$DIR/console"
  exit 1
fi
'
