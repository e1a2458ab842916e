#!/bin/bash
# A small system as OpenWrt is one, for the lab's namespace: dropbear and busybox, and nothing else, in a root of their own.
# Its root and its admin have the password FIRST. BUSYBOX is the program, ROUTER_PORT where dropbear listens; DIR/router-fingerprint says
# what host key it has.
set -eu
root=$SCRATCH/router
mkdir -p "$root"/{bin,dev/pts,etc/dropbear,proc,root,tmp}
cp "$BUSYBOX" "$root/bin/busybox"
for applet in $("$BUSYBOX" --list); do
  ln -s busybox "$root/bin/$applet"
done
cp /usr/sbin/dropbear "$root/bin/"
ldd /usr/sbin/dropbear | grep -o '/[^ ]*' | while read -r library; do
  install -D "$library" "$root$library"
done
for device in null zero urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t proc proc "$root/proc"
printf 'root:x:0:0:root:/root:/bin/ash\nadmin:x:1000:1000:admin:/tmp:/bin/ash\n' > "$root/etc/passwd"
printf 'root:x:0:\nadmin:x:1000:\n' > "$root/etc/group"
printf '/bin/ash\n' > "$root/etc/shells"
(umask 077; for name in root admin; do printf '%s:%s:0:0:99999:7:::\n' "$name" "$(openssl passwd -6 "$FIRST")"; done > "$root/etc/shadow")
dropbearkey -t ed25519 -f "$root/etc/dropbear/key" > "$SCRATCH/router.log" 2>&1
dropbearkey -y -f "$root/etc/dropbear/key" | grep '^ssh-' > "$SCRATCH/router.pub"
ssh-keygen -lf "$SCRATCH/router.pub" | awk '{print $2}' > "$DIR/router-fingerprint"
chroot "$root" /bin/dropbear -E -P /tmp/pid -p "127.0.0.1:$ROUTER_PORT" -r /etc/dropbear/key 2>> "$SCRATCH/router.log"
