#!/bin/bash
# Makes a machine that tests/lab/machine.sh booted a device too: sshd on 192.0.2.10 asks the users admin and oper for a password and then
# for a code. Their passwords and seeds, as otpauth URIs with steps of four seconds, are left in /root/admin.password, /root/admin.seed
# and so on. 'ssh-accepts USER PASSWORD' then tells whether OpenSSH logs in with it and a fresh code. When the machine boots anew,
# only the address has to be there again.
set -eu
ip address add 192.0.2.10/32 dev lo
if [ ! -d /root/seeds ]; then
  install -d -m 0700 /root/seeds
  for user in admin oper; do
    seed=$(head -c 20 /dev/urandom | base32)
    useradd -m -s /bin/bash "$user"
    echo "First.$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')" > "/root/$user.password"
    echo "$user:$(cat "/root/$user.password")" | chpasswd
    echo "otpauth://totp/$user?secret=$seed&period=4" > "/root/$user.seed"
    printf '%s\n" WINDOW_SIZE 3\n" STEP_SIZE 4\n" DISALLOW_REUSE\n" TOTP_AUTH\n' "$seed" > "/root/seeds/$user"
    chmod 0400 "/root/seeds/$user"
  done
  cat > /etc/pam.d/sshd <<'PAM'
auth required pam_unix.so
auth required pam_google_authenticator.so user=root secret=/root/seeds/${USER}
account required pam_unix.so
session required pam_unix.so
PAM
  cat > /etc/ssh/sshd_config.d/device.conf <<'CONFIG'
ListenAddress 192.0.2.10
PasswordAuthentication no
KbdInteractiveAuthentication yes
CONFIG
  cat > /usr/local/bin/ssh-ask <<'SCRIPT'
#!/bin/sh
case "$1" in *erification*) oathtool --totp -b -s 4s "$(head -1 "/root/seeds/$WHO")" ;; *) printf '%s\n' "$PASSWORD" ;; esac
SCRIPT
  cat > /usr/local/bin/ssh-accepts <<'SCRIPT'
#!/bin/bash
# The present step's code may have been used; nobody after this one may be given the code that it uses.
next_step() { local step=$(($(date +%s) / 4)); until [ $(($(date +%s) / 4)) -gt $step ]; do sleep 0.1; done; }
next_step
trap next_step EXIT
WHO=$1 PASSWORD=$2 SSH_ASKPASS=/usr/local/bin/ssh-ask SSH_ASKPASS_REQUIRE=force ssh -F none -o StrictHostKeyChecking=no \
  -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o LogLevel=ERROR "$1@192.0.2.10" 'echo in-as-$USER' < /dev/null
SCRIPT
  chmod +x /usr/local/bin/ssh-ask /usr/local/bin/ssh-accepts
fi
systemctl restart ssh
