#!/bin/bash
# Services with passwords of their own, for the lab's namespace: databases and directories on ports of loopback, their data on
# a tmpfs. SCRATCH is a folder for that; FIRST is every account's password; the *_PORT variables say where they listen.
set -eu
cd "$SCRATCH"

# RabbitMQ, which is slow to start. Its home, with the cookie, is a folder of the lab.
install -d -o rabbitmq -g rabbitmq rabbit
mount --bind rabbit /var/lib/rabbitmq
mkdir -p /etc/rabbitmq
cat > /etc/rabbitmq/rabbitmq-env.conf <<CONF
NODENAME=lab@localhost
NODE_IP_ADDRESS=127.0.0.1
NODE_PORT=$AMQP_PORT
DIST_PORT=$DIST_PORT
MNESIA_BASE=/var/lib/rabbitmq
LOG_BASE=/var/lib/rabbitmq
export ERL_EPMD_PORT=$EPMD_PORT
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_FLAGS="+S 1:1 +sbwt none"
CONF
rabbitmq-server -detached > rabbit/out 2>&1

# Redis, with an administrator and the account app.
mkdir redis
redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$SCRATCH/redis" --save '' --daemonize yes --requirepass "$FIRST" > redis/log
until redis-cli -p "$REDIS_PORT" --pass "$FIRST" --no-auth-warning ping 2> /dev/null | grep -q PONG; do sleep 0.05; done
redis-cli -p "$REDIS_PORT" --pass "$FIRST" --no-auth-warning acl setuser app on ">$FIRST" '~*' +@all > redis/log

# Another one, with a password of its default user alone and a configuration to keep it in.
mkdir redis2
printf 'port %s\nbind 127.0.0.1\ndir %s\nsave ""\ndaemonize yes\nrequirepass %s\n' "$REDIS2_PORT" "$SCRATCH/redis2" "$FIRST" > redis2/conf
redis-server "$SCRATCH/redis2/conf" > redis2/log

# MariaDB: root comes in over the socket; app over TCP.
mariadb-install-db --no-defaults --user=root --datadir="$SCRATCH/my" --auth-root-authentication-method=socket \
  --innodb-log-file-size=4M --skip-test-db > my.log 2>&1
mariadbd --no-defaults --user=root --datadir="$SCRATCH/my" --socket="$SCRATCH/my.sock" --pid-file="$SCRATCH/my.pid" \
  --port="$MYSQL_PORT" --bind-address=127.0.0.1 --skip-name-resolve --innodb-log-file-size=4M >> my.log 2>&1 &
until mariadb --no-defaults -S "$SCRATCH/my.sock" -e 'select 1' > /dev/null 2>&1; do sleep 0.1; done
mariadb --no-defaults -S "$SCRATCH/my.sock" -e "create user app@'%' identified by '$FIRST', own@'%' identified by '$FIRST'"
printf '[client]\nsocket=%s\nport=%s\n' "$SCRATCH/my.sock" "$MYSQL_PORT" > /etc/mysql/conf.d/lab.cnf

# PostgreSQL: postgres comes in over the socket; app over TCP.
install -d -o postgres pg pg/run
bin=$(echo /usr/lib/postgresql/*/bin)
su postgres -s /bin/sh -c "$bin/initdb -D $SCRATCH/pg/data --auth-local=peer --auth-host=scram-sha-256 --no-sync > $SCRATCH/pg/log"
su postgres -s /bin/sh -c "$bin/postgres -D $SCRATCH/pg/data -p $POSTGRES_PORT -k $SCRATCH/pg/run -h 127.0.0.1 -F >> $SCRATCH/pg/log 2>&1" &
until su postgres -s /bin/sh -c "psql -X -q -h $SCRATCH/pg/run -p $POSTGRES_PORT -c 'select 1' postgres" > /dev/null 2>&1; do sleep 0.1; done
su postgres -s /bin/sh -c "psql -X -q -h $SCRATCH/pg/run -p $POSTGRES_PORT -c \"create role app login password '$FIRST'; create role own login password '$FIRST'\" postgres"

# OpenLDAP, with an administrator, uid=app and uid=own; and a second database, which nobody but its administrator comes into.
mkdir -p ldap/config ldap/other
cat > ldap/conf <<CONF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $SCRATCH/ldap/pid
database config
rootdn "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"
database mdb
maxsize 10485760
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw $FIRST
directory $SCRATCH/ldap
access to attrs=userPassword by self write by anonymous auth
access to * by * read
database mdb
maxsize 10485760
suffix "dc=other,dc=com"
rootdn "cn=admin,dc=other,dc=com"
rootpw $FIRST
directory $SCRATCH/ldap/other
CONF
slapadd -f ldap/conf -b dc=example,dc=com -q <<LDIF
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: uid=app,dc=example,dc=com
objectClass: inetOrgPerson
uid: app
cn: app
sn: app
userPassword: $FIRST

dn: uid=own,dc=example,dc=com
objectClass: inetOrgPerson
uid: own
cn: own
sn: own
userPassword: $FIRST
LDIF
slapadd -f ldap/conf -b dc=other,dc=com -q < /dev/null
slaptest -f ldap/conf -F ldap/config > ldap/log 2>&1
slapd -F ldap/config -h "ldap://127.0.0.1:$LDAP_PORT ldapi://${PWD//\//%2F}%2Fldap%2Fsocket"

# Kerberos, with the principals app, own and far, and an administrator over the network.
mkdir krb
cat > /etc/krb5.conf <<CONF
[libdefaults]
default_realm = EXAMPLE.COM
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
[realms]
EXAMPLE.COM = {
  kdc = 127.0.0.1:$KDC_PORT
  admin_server = 127.0.0.1:$KADMIN_PORT
  kpasswd_server = 127.0.0.1:$KPASSWD_PORT
}
CONF
mkdir -p /etc/krb5kdc
cat > /etc/krb5kdc/kdc.conf <<CONF
[kdcdefaults]
kdc_listen = 127.0.0.1:$KDC_PORT
kdc_tcp_listen = 127.0.0.1:$KDC_PORT
[realms]
EXAMPLE.COM = {
  database_name = $SCRATCH/krb/principal
  key_stash_file = $SCRATCH/krb/stash
  acl_file = $SCRATCH/krb/acl
  kadmind_listen = 127.0.0.1:$KADMIN_PORT
  kpasswd_listen = 127.0.0.1:$KPASSWD_PORT
}
CONF
export KRB5_KDC_PROFILE=/etc/krb5kdc/kdc.conf
echo 'boss/admin@EXAMPLE.COM *' > krb/acl
kdb5_util create -s -r EXAMPLE.COM -P "$FIRST" > krb/log 2>&1
for principal in app own far boss/admin; do
  kadmin.local -q "addprinc -pw $FIRST $principal" >> krb/log 2>&1
done
krb5kdc -P "$SCRATCH/krb/kdc.pid" >> krb/log 2>&1
kadmind -P "$SCRATCH/krb/kadmind.pid" >> krb/log 2>&1
cp /etc/krb5.conf "$DIR/krb5.conf"

# A web server that asks for a user of a password file.
htpasswd -cbB "$DIR/users" app "$FIRST" 2> /dev/null
printf 'app:lab:%s\n' "$(printf 'app:lab:%s' "$FIRST" | md5sum | cut -d ' ' -f 1)" > "$DIR/digest-users"
chmod 0644 "$DIR/users" "$DIR/digest-users"
mkdir -p web/digest
cat > web/conf <<CONF
ServerName localhost
Listen 127.0.0.1:$WEB_PORT
PidFile $SCRATCH/web/pid
ErrorLog $SCRATCH/web/log
DefaultRuntimeDir $SCRATCH/web
DocumentRoot $SCRATCH/web
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule auth_digest_module /usr/lib/apache2/modules/mod_auth_digest.so
<Location "/">
  AuthType Basic
  AuthName lab
  AuthUserFile $DIR/users
  Require valid-user
</Location>
<Location "/digest/">
  AuthType Digest
  AuthName lab
  AuthUserFile $DIR/digest-users
</Location>
CONF
echo 'come in' | tee web/digest/index.html > web/index.html
apache2 -f "$SCRATCH/web/conf" -k start

# Samba, with the user app.
mkdir smb
useradd -M -s /usr/sbin/nologin app
mkdir -p /etc/samba
cat > /etc/samba/smb.conf <<CONF
[global]
netbios name = LAB
server role = standalone server
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = $SMB_PORT
disable netbios = yes
passdb backend = tdbsam
private dir = $SCRATCH/smb
lock directory = $SCRATCH/smb
state directory = $SCRATCH/smb
cache directory = $SCRATCH/smb
pid directory = $SCRATCH/smb
ncalrpc dir = $SCRATCH/smb/rpc
log file = $SCRATCH/smb/log
CONF
printf '%s\n%s\n' "$FIRST" "$FIRST" | smbpasswd -a -s app > smb/out
smbd -D

# A router's daemon of FRR with a terminal, without a hand on the kernel's routes.
install -d -o frr -g frr frr
install -o frr -g frr -m 0640 /dev/null /etc/frr/frr.conf
echo "service integrated-vtysh-config" > /etc/frr/vtysh.conf
printf 'password %s\n' "$FIRST" > frr/conf
/usr/lib/frr/bgpd -d -n -Z -S -p 0 -A 127.0.0.1 -P "$VTY_PORT" -i "$SCRATCH/frr/pid" --vty_socket "$SCRATCH/frr" -f "$SCRATCH/frr/conf" > frr/log 2>&1

# Another one, which nobody enters but with an enable password too; it has a folder of its own to keep it in.
install -d -o frr -g frr frr2
install -o frr -g frr -m 0640 /dev/null frr2/frr.conf
cp /etc/frr/vtysh.conf frr2/
printf 'password %s\nenable password %s\n' "$FIRST" "$FIRST" > frr2/conf
/usr/lib/frr/bgpd -d -n -Z -S -p 0 -A 127.0.0.1 -P "$VTY2_PORT" -i "$SCRATCH/frr2/pid" --vty_socket "$SCRATCH/frr2" -f "$SCRATCH/frr2/conf" > frr2/log 2>&1

# RabbitMQ is there by now, and gets the user app.
rabbitmqctl await_startup > rabbit/out 2>&1
rabbitmqctl add_user app "$FIRST" > rabbit/out 2>&1

# What the clients of a login shell find.
cat >> /etc/bash.bashrc <<RC
export PGPORT=$POSTGRES_PORT
[ "\$USER" = postgres ] && [ -z "\${PGHOST:-}" ] && export PGHOST=$SCRATCH/pg/run
redis-cli() { command redis-cli -p $REDIS_PORT "\$@"; }
smbclient() { command smbclient -p $SMB_PORT "\$@"; }
vtysh() {
  if [ "\$USER" = root2 ]; then command vtysh --vty_socket $SCRATCH/frr2 --config_dir $SCRATCH/frr2 "\$@"; else command vtysh --vty_socket $SCRATCH/frr "\$@"; fi
}
telnet() { command telnet 127.0.0.1 "\${2/#2601/$VTY_PORT}"; }
RC
chmod 0755 "$SCRATCH"
