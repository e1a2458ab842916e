#!/bin/bash
# More programs with passwords of their own, for the lab's namespace: on ports of loopback, with data on a tmpfs. SCRATCH, DIR, FIRST and the
# *_PORT variables are as in services.sh.
set -eu
cd "$SCRATCH"

# A domain controller of Samba with the user app, which is slow to make. Of its services it has those that a login by SMB needs. Its winbindd
# has a socket in a fixed place, which no other Samba shall find.
mkdir -p ad /run/samba
mount -t tmpfs tmpfs /run/samba
samba-tool domain provision --targetdir="$SCRATCH/ad" --realm=LAB.EXAMPLE --domain=LAB --host-name=dc1 --host-ip=127.0.0.1 --server-role=dc \
  --dns-backend=NONE --adminpass="$FIRST" --option='interfaces = lo' --option='bind interfaces only = yes' > ad/out 2>&1 &
domain=$!

# etcd with an administrator and the user app.
mkdir etcd
etcd --data-dir etcd/data --unsafe-no-fsync --log-level error --listen-client-urls "http://127.0.0.1:$ETCD_PORT" \
  --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
  --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-cluster "default=http://127.0.0.1:$ETCD_PEER_PORT" > etcd/log 2>&1 &
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS="http://127.0.0.1:$ETCD_PORT"

# InfluxDB, the same.
mkdir influx
cat > influx/conf <<CONF
bind-address = "127.0.0.1:$INFLUX_BACKUP_PORT"
reporting-disabled = true
[meta]
  dir = "$SCRATCH/influx/meta"
[data]
  dir = "$SCRATCH/influx/data"
  wal-dir = "$SCRATCH/influx/wal"
[http]
  bind-address = "127.0.0.1:$INFLUX_PORT"
  auth-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "error"
CONF
influxd -config influx/conf > influx/log 2>&1 &

# Mosquitto with the user app.
mkdir mqtt
touch "$DIR/mqtt-users"
mosquitto_passwd -b "$DIR/mqtt-users" app "$FIRST"
cat > mqtt/conf <<CONF
user root
pid_file $DIR/mqtt.pid
listener $MQTT_PORT 127.0.0.1
allow_anonymous false
password_file $DIR/mqtt-users
CONF
mosquitto -d -c mqtt/conf

# Prosody with the account app@lab.example, and a certificate of its own.
mkdir -p xmpp/data /etc/prosody
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=lab.example -days 2 -keyout xmpp/key -out xmpp/cert 2> xmpp/out
cat > /etc/prosody/prosody.cfg.lua <<CONF
run_as_root = true
prosody_user = "root"
prosody_group = "root"
data_path = "$SCRATCH/xmpp/data"
pidfile = "$SCRATCH/xmpp/pid"
log = { info = "$SCRATCH/xmpp/log" }
modules_enabled = { "saslauth", "tls" }
modules_disabled = { "s2s" }
c2s_interfaces = { "127.0.0.1" }
c2s_ports = { $XMPP_PORT }
c2s_direct_tls_ports = { }
s2s_ports = { }
http_ports = { }
https_ports = { }
authentication = "internal_hashed"
certificates = "$SCRATCH/xmpp"
VirtualHost "lab.example"
  ssl = { certificate = "$SCRATCH/xmpp/cert", key = "$SCRATCH/xmpp/key" }
CONF
prosodyctl register app lab.example "$FIRST" > xmpp/out 2>&1
prosody -D > xmpp/out 2>&1

# A sasldb with the user app, and who looks into it.
mkdir "$DIR/sasl"
printf '%s' "$FIRST" | saslpasswd2 -p -c -f /etc/sasldb2 -u lab app
saslauthd -a sasldb -m "$DIR/sasl" -n 1

# A Django project with the user app.
mkdir "$DIR/django"
cat > "$DIR/django/manage.py" <<'CONF'
import os, sys
from django.conf import settings
from django.core.management import execute_from_command_line
settings.configure(
    SECRET_KEY="lab", DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.dirname(os.path.abspath(__file__)) + "/db"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    AUTH_PASSWORD_VALIDATORS=[{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}])
execute_from_command_line(sys.argv)
CONF
/usr/bin/python3 "$DIR/django/manage.py" shell -c 'import os
from django.core.management import call_command
from django.contrib.auth.models import User
call_command("migrate", verbosity=0)
User.objects.create_user("app", password=os.environ["FIRST"])'

# A LUKS volume in a file, with a key that is quick to derive.
quick="--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
truncate -s 2M "$DIR/volume"
printf '%s' "$FIRST" | cryptsetup -q luksFormat $quick --luks2-metadata-size 16k --luks2-keyslots-size 512k "$DIR/volume" -

# A management controller, with its users admin, app (3) and far (4).
mkdir -p ipmi/state
cat > ipmi/lan <<CONF
name "lab"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 $IPMI_PORT
    priv_limit admin
    allowed_auths_user md5
    allowed_auths_admin md5
    guid a123456789abcdefa123456789abcdef
  endlan
  user 1 false "" "" user 10 md5
  user 2 true "admin" "$SHORT" admin 10 md5
  user 3 true "app" "$SHORT" admin 10 md5
  user 4 true "far" "$SHORT" admin 10 md5
CONF
printf 'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n' > ipmi/commands
ipmi_sim -c ipmi/lan -f ipmi/commands -s ipmi/state -n > ipmi/log 2>&1 &
# The controller is not one of this host: what asks for the host's own is sent to it, and all else goes to its port.
cp /usr/bin/ipmitool ipmi/ipmitool
cat > ipmi/wrapper <<CONF
#!/bin/sh
case " \$* " in
  *" lanplus "*) exec $SCRATCH/ipmi/ipmitool -p $IPMI_PORT -C 3 "\$@" ;;
  *) IPMI_PASSWORD=$SHORT exec $SCRATCH/ipmi/ipmitool -I lanplus -H 127.0.0.1 -p $IPMI_PORT -C 3 -U admin -E "\$@" ;;
esac
CONF
chmod 0755 ipmi/wrapper
mount --bind ipmi/wrapper /usr/bin/ipmitool

until etcdctl endpoint health > etcd/out 2>&1; do sleep 0.1; done
{
  etcdctl user add "root:$FIRST"
  etcdctl user add "app:$FIRST"
  etcdctl user grant-role root root
  etcdctl auth enable
} > etcd/out

until curl -s "http://127.0.0.1:$INFLUX_PORT/ping"; do sleep 0.1; done
influx -port "$INFLUX_PORT" -execute "CREATE USER boss WITH PASSWORD '$FIRST' WITH ALL PRIVILEGES"
INFLUX_USERNAME=boss INFLUX_PASSWORD=$FIRST influx -port "$INFLUX_PORT" -execute "CREATE USER app WITH PASSWORD '$FIRST'"

wait "$domain"
mkdir -p /etc/samba
{
  sed -n '/^\[global\]/,/^$/p' ad/etc/smb.conf | grep -v -e 'server services' -e 'log file' -e '^$'
  printf '%s\n' 'old password allowed period = 0' 'server services = s3fs, rpc, winbindd' 'server role check:inhibit = yes' 'disable netbios = yes' "smb ports = $DC_PORT" \
    "pid directory = $SCRATCH/ad" "ncalrpc dir = $SCRATCH/ad/rpc" "log file = $SCRATCH/ad/log" '[netlogon]' "path = $SCRATCH/ad/state/sysvol/lab.example/scripts"
} > /etc/samba/smb.conf
samba-tool user create app "$FIRST" > ad/out
samba -D
until PASSWD=$FIRST smbclient -p "$DC_PORT" //127.0.0.1/netlogon -U app -c exit > ad/out 2>&1; do sleep 0.2; done

cat >> /etc/bash.bashrc <<RC
export ETCDCTL_ENDPOINTS=$ETCDCTL_ENDPOINTS
influx() { command influx -port $INFLUX_PORT "\$@"; }
smbclient() { command smbclient -p $DC_PORT "\$@"; }
openssl() { command openssl "\${@/127.0.0.1:5222/127.0.0.1:$XMPP_PORT}"; }
cryptsetup() { case \$1 in luksChangeKey) command cryptsetup $quick "\$@" ;; *) command cryptsetup "\$@" ;; esac; }
testsaslauthd() { command testsaslauthd -f $DIR/sasl/mux "\$@"; }
RC
chmod 0755 "$SCRATCH"
