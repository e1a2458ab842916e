#!/bin/bash
# One real web application with fresh data, over TLS on loopback, for the tests of web templates. It serves until the process
# outside is killed, and then all of it is gone: the data lie on a tmpfs of a mount namespace, where /etc is an overlay.
#   web-apps.sh APP PORT DIR [VENV]      APP: wordpress, mediawiki, django, pgadmin (these two with a Python environment VENV)
# ACCOUNTS (3) accounts user1, user2 … Once DIR/ready is there, DIR/accounts (a line "user password seed" each) and DIR/spki
# (what Chromium's certificate pin takes), DIR/ca.pem are true.
set -eu
app=$1 port=$2 dir=$3 venv=${4:-}
inside=$(dirname "$(readlink -f "$0")")/web-apps-inside.sh
mkdir -p "$dir"
cd "$dir"
export app port dir venv

# The certificate is of the host 127.0.0.1.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=Tests -keyout ca.key -out ca.pem 2> openssl
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 -keyout key.pem -out request 2>> openssl
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem 2>> openssl \
  -extfile <(printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64 > spki

random() { head -c "$1" /dev/urandom | base32 | tr -d =; }
for n in $(seq "${ACCOUNTS:-3}"); do
  name=user$n
  [ "$app" != pgadmin ] || name=$name@example.com
  echo "$name First-$n-$(random 10)-x $(random 20)"
done > accounts

[ "$(id -u)" = 0 ] || { echo "web-apps.sh: only root can make the namespace" >&2; exit 1; }
exec unshare --mount --pid --fork --kill-child --mount-proc "$BASH" -eu "$inside"
