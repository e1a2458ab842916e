#!/bin/bash
# A real OpenSSH with PAM that asks for a password and then a code, on 127.0.0.1, in a mount namespace of its own: an
# overlay lies over /etc and a tmpfs over /home, so that passwd changes accounts for real and the host's stay untouched.
# SIGKILL ends it, and everything goes with it.
#
#   PORT, DIR (a new folder) and USERS (names, blanks between) must be set; STEP, WINDOW, MINLEN may be. With FORWARD=1 one
#   field takes password and code, one right behind the other; where GUARDED is the path of
#   pam_pwquality.so, that judges new passwords and pam_faillock locks an account after three wrong ones; SSHD holds more lines for sshd_config, which win over
#   the lab's own, and PAM more lines for the top of pam.d/sshd. OTP is
#   options of pam_google_authenticator: with noskewadj it does not follow codes that are off by the same time again and again.
# With SHARED=1 all users have one seed; with PLAIN_SUDO=1 sudo asks for a password and no code.
# With PRINCIPAL, the host key has a certificate for that name by an authority of the lab's, whose public key is DIR/authority.pub.
# SERVICES names a script that starts services in the same namespace first; their data is in SCRATCH.
# Once DIR/ready exists, DIR/accounts.csv (user,password,seed), DIR/fingerprint and DIR/key1 (a private key of the user
# key1, where there is one; of any whose name begins with "key") are there. Special names: root; root2 and the like, with root's rights; op may use doas; admin1 and key3 may use sudo, which asks for password and code; a name
# that begins with "old" has a password that expired; key1 needs its private key before anything else; another
# key user needs nothing else.
set -eu
export SERVICES="${SERVICES:-}" PRINCIPAL="${PRINCIPAL:-}" SHARED="${SHARED:-}" PLAIN_SUDO="${PLAIN_SUDO:-}"
export PORT DIR USERS STEP="${STEP:-30}" WINDOW="${WINDOW:-3}" MINLEN="${MINLEN:-6}" FORWARD="${FORWARD:-}" GUARDED="${GUARDED:-}" SSHD="${SSHD:-}" PAM="${PAM:-}" OTP="${OTP:-}"
mkdir "$DIR"
exec unshare --mount --pid --fork --kill-child --mount-proc bash -euc '
mount --make-rprivate /
scratch=$DIR/scratch
mkdir "$scratch"
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/changes" "$scratch/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/changes,workdir=$scratch/work" overlay /etc
mount -t tmpfs -o mode=0755 tmpfs /home
mkdir -p /run/sshd
install -d -m 0700 /home/.seeds
install -d -m 0755 /home/.keys
ssh-keygen -q -N "" -t ed25519 -f /etc/ssh/test_host_key
certificate=
if [ -n "$PRINCIPAL" ]; then
  ssh-keygen -q -N "" -t ed25519 -f "$DIR/authority"
  ssh-keygen -q -s "$DIR/authority" -I lab -h -n "$PRINCIPAL" /etc/ssh/test_host_key.pub
  certificate="HostCertificate /etc/ssh/test_host_key-cert.pub"
fi

codes="pam_google_authenticator.so user=root secret=/home/.seeds/\${USER} $OTP"
{
  echo "$PAM"
  if [ -n "$GUARDED" ]; then
    echo "auth required pam_faillock.so preauth dir=$scratch/locks deny=3 unlock_time=600"
    echo "auth [success=1 default=ignore] pam_unix.so"
    echo "auth [default=die] pam_faillock.so authfail dir=$scratch/locks deny=3 unlock_time=600"
    echo "auth required $codes"
    echo "account required pam_faillock.so dir=$scratch/locks"
  elif [ -n "$FORWARD" ]; then
    echo "auth requisite $codes forward_pass"
    echo "auth required pam_unix.so use_first_pass"
  else
    echo "auth required pam_unix.so"
    echo "auth required $codes"
  fi
  echo "account required pam_unix.so"
  echo "session required pam_unix.so"
  echo "password required pam_unix.so yescrypt minlen=$MINLEN"
} > /etc/pam.d/sshd
sed "/^session/d" /etc/pam.d/sshd > /etc/pam.d/sudo
if [ -n "$PLAIN_SUDO" ]; then
  sed -i /google/d /etc/pam.d/sudo
fi
echo "session required pam_permit.so" >> /etc/pam.d/sudo
echo "password required pam_unix.so yescrypt minlen=$MINLEN" > /etc/pam.d/passwd
if [ -n "$GUARDED" ]; then
  {
    echo "password requisite $GUARDED retry=1 minlen=14 dcredit=-1 ucredit=-1 lcredit=-1 ocredit=-1 difok=5 dictcheck=0"
    echo "password required pam_unix.so yescrypt use_authtok"
  } > /etc/pam.d/passwd
fi
echo "permit op" > /etc/doas.conf
chmod 0600 /etc/doas.conf
mkdir -p /etc/sudoers.d
printf "admin1 ALL=(ALL) ALL\nkey3 ALL=(ALL) ALL\n" > /etc/sudoers.d/test
chmod 0440 /etc/sudoers.d/test

cat > /etc/ssh/test_config <<CONFIG
$SSHD
Port $PORT
ListenAddress 127.0.0.1
HostKey /etc/ssh/test_host_key
$certificate
PidFile none
UsePAM yes
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication yes
AuthorizedKeysFile /home/.keys/%u
MaxStartups 500
Match User key1
  AuthenticationMethods publickey,keyboard-interactive
CONFIG

seed=
for user in $USERS; do
  if [ -z "$SHARED" ] || [ -z "$seed" ]; then
    seed=$(head -c 20 /dev/urandom | base32)
  fi
  password=First.$user.$(od -An -N6 -tx1 /dev/urandom | tr -d " ")
  if ! id "$user" > "$scratch/null" 2>&1; then
    case $user in
      root*) useradd -o -u 0 -g 0 -M -d "/home/$user" -s /bin/bash "$user" ;;
      *) useradd -M -d "/home/$user" -s /bin/bash "$user" ;;
    esac
    install -d -o "$user" "/home/$user"
  fi
  echo "$user:$password" | chpasswd -c YESCRYPT
  printf "%s\n\" WINDOW_SIZE %s\n\" STEP_SIZE %s\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n" "$seed" "$WINDOW" "$STEP" > "/home/.seeds/$user"
  chmod 0400 "/home/.seeds/$user"
  case $user in
    old*) chage -d 0 "$user" ;;
    key*) ssh-keygen -q -N "" -t ed25519 -f "$DIR/$user"; cp "$DIR/$user.pub" "/home/.keys/$user" ;;
  esac
  echo "$user,$password,$seed" >> "$DIR/accounts.csv"
done
if [ -n "$SERVICES" ]; then
  SCRATCH=$scratch "$SERVICES"
fi
ssh-keygen -lf /etc/ssh/test_host_key.pub | awk "{print \$2}" > "$DIR/fingerprint"
(until (: < "/dev/tcp/127.0.0.1/$PORT") 2> "$scratch/null"; do sleep 0.05; done; touch "$DIR/ready") &
exec /usr/sbin/sshd -D -e -f /etc/ssh/test_config
'
