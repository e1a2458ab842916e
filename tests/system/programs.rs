//! Templates against more real programs, behind the lab's OpenSSH with a second factor: brokers, message servers, key-value stores, a domain
//! controller, a management controller, a disk.

use crate::kinds::{Kind, Ports, rotate_and_prove};

/// What a management controller takes: 16 characters.
const SHORT: &str = "First-Short-1";

/// Whether an XMPP server lets app@lab.example in, by SASL PLAIN over TLS.
fn xmpp(port: &str) -> String {
    let stream = "<stream:stream to='lab.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
    format!(
        "(printf \"{stream}\"; sleep 1; printf \"{auth}%s</auth>\" \"$(printf '\\0app\\0%s' \"$PASSWORD\" | base64 -w 0)\"; sleep 2) \
         | openssl s_client -quiet -no_ign_eof -starttls xmpp -xmpphost lab.example -connect 127.0.0.1:{port} 2> /dev/null | grep -q '<success'"
    )
}

#[test]
fn programs_of_many_kinds_take_every_symbol_and_another_client_comes_in_with_it() {
    let ports = Ports::free(&[
        "ETCD_PORT",
        "ETCD_PEER_PORT",
        "INFLUX_PORT",
        "INFLUX_BACKUP_PORT",
        "MQTT_PORT",
        "XMPP_PORT",
        "IPMI_PORT",
        "DC_PORT",
    ]);
    let lab = ports.lab("root root2 root3 op op2", "programs.sh", &[("SHORT", SHORT)]);
    let (dir, port) = (lab.dir.display(), |name| ports.of(name));
    let bmc = |user: &str| {
        let port = port("IPMI_PORT");
        format!(
            "IPMI_PASSWORD=\"$PASSWORD\" ipmitool -I lanplus -C 3 -H 127.0.0.1 -p {port} -U {user} -L USER -E mc info"
        )
    };
    let django = format!(
        "/usr/bin/python3 {dir}/django/manage.py shell -c 'import os, sys; from django.contrib.auth import authenticate; \
         sys.exit(authenticate(username=\"app\", password=os.environ[\"PASSWORD\"]) is None)'"
    );
    let kinds = [
        Kind::new("samba-tool", "app", "root", {
            let port = port("DC_PORT");
            format!("PASSWD=\"$PASSWORD\" smbclient -p {port} //127.0.0.1/netlogon -U app -c exit")
        }),
        Kind::new("mosquitto", "app", "root", {
            let port = port("MQTT_PORT");
            format!("mosquitto_sub -h 127.0.0.1 -p {port} -u app -P \"$PASSWORD\" -t lab -E")
        })
        .fields(&format!(
            "USERS_FILE = \"{dir}/mqtt-users\", RELOAD = \"kill -HUP $(cat {dir}/mqtt.pid)\", BROKER_PORT = \"{}\"",
            port("MQTT_PORT")
        )),
        Kind::new("ipmitool", "app", "root", bmc("app")).fields("USER_INDEX = \"3\"").first(SHORT),
        Kind::new("prosody", "app", "root2", xmpp(port("XMPP_PORT"))).fields("XMPP_DOMAIN = \"lab.example\""),
        Kind::new("saslpasswd2", "app", "root2", {
            format!("testsaslauthd -f {dir}/sasl/mux -u app -r lab -p \"$PASSWORD\"")
        })
        .fields("REALM = \"lab\", SASLDB = \"/etc/sasldb2\""),
        Kind::new("luks-passphrase", "volume", "root3", {
            format!("printf %s \"$PASSWORD\" | cryptsetup open --test-passphrase -d - {dir}/volume")
        })
        .fields(&format!("VOLUME = \"{dir}/volume\"")),
        Kind::new("django", "app", "root3", django)
            .fields(&format!("MANAGE = \"/usr/bin/python3 {dir}/django/manage.py\"")),
        Kind::new("etcd", "app", "op", {
            let port = port("ETCD_PORT");
            format!("ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:{port} --dial-timeout 20s --command-timeout 30s --user app --password \"$PASSWORD\" user get app")
        })
        .fields("ADMIN_USER = \"root\"")
        .admin("ADMIN_PASSWORD"),
        Kind::new("influxdb", "app", "op", {
            let port = port("INFLUX_PORT");
            format!("curl -sf -G -u \"app:$PASSWORD\" http://127.0.0.1:{port}/query --data-urlencode 'q=SHOW DATABASES'")
        })
        .fields("ADMIN_USER = \"boss\"")
        .admin("ADMIN_PASSWORD"),
        Kind::new("ipmitool-lan", "far", "op2", bmc("far"))
            .fields("BMC_ADDRESS = \"127.0.0.1\", ADMIN_USER = \"admin\", USER_INDEX = \"4\"")
            .secret("ADMIN_PASSWORD", SHORT)
            .first(SHORT),
    ];
    rotate_and_prove(&lab, &kinds, || ());
}
