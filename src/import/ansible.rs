//! What `ansible-inventory --list` prints.

use serde_json::{Map, Value};

use super::entry::{Address, Entry, LeftOut, LeftOver, given, password};
use super::{Format, Found, ImportError, malformed};

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let wrong = |error: serde_json::Error| malformed(Format::Ansible, format!("line {}", error.line()));
    let inventory: Map<String, Value> = serde_json::from_str(text).map_err(wrong)?;
    let vars = inventory.get("_meta").and_then(|meta| meta.get("hostvars")).and_then(Value::as_object);
    let groups = inventory.iter().filter(|(name, _)| *name != "_meta");
    let mut hosts: Vec<String> = vars.iter().flat_map(|vars| vars.keys().cloned()).collect();
    for (_, group) in groups {
        let listed = group.get("hosts").and_then(Value::as_array).into_iter().flatten();
        hosts.extend(listed.filter_map(Value::as_str).map(str::to_owned));
    }
    hosts.sort();
    hosts.dedup();
    if hosts.is_empty() {
        return Err(malformed(
            Format::Ansible,
            "it names no host; make it with 'ansible-inventory -i INVENTORY --list'",
        ));
    }
    let mut found = Found::default();
    let none = Map::new();
    for (number, name) in (1u64..).zip(hosts) {
        let vars = vars.and_then(|vars| vars.get(&name)).and_then(Value::as_object).unwrap_or(&none);
        let place = format!("host {name}");
        match entry(&name, number, vars, &place) {
            Ok(entry) => found.entries.push(entry),
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    Ok(found)
}

/// A variable as text: what a template of Jinja, or Ansible Vault, stands for is not known here.
fn text(vars: &Map<String, Value>, names: &[&str], notes: &mut Vec<String>) -> Option<String> {
    let (name, value) = names.iter().find_map(|name| Some((*name, vars.get(*name)?)))?;
    let found = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(object) if object.contains_key("__ansible_vault") => {
            notes.push(format!(
                "{name} is encrypted with Ansible Vault: give ansible-inventory --vault-password-file, or store it with 'rotorctl secret set'"
            ));
            return None;
        }
        _ => return None,
    };
    if found.contains("{{") || found.contains("$ANSIBLE_VAULT") {
        notes.push(format!("{name} is made by a template or is encrypted, and is not taken over"));
        return None;
    }
    given(&found).map(str::to_owned)
}

/// The variables of connections (Ansible's user guide, "How to build your inventory"), with their older names.
fn entry(name: &str, number: u64, vars: &Map<String, Value>, place: &str) -> Result<Entry, LeftOver> {
    let mut notes = Vec::new();
    let mut get = |names: &[&str]| text(vars, names, &mut notes);
    let connection = get(&["ansible_connection"]).unwrap_or_else(|| "ssh".into());
    let ssh = ["ssh", "smart", "paramiko", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh", "paramiko_ssh"];
    let network = connection.ends_with("network_cli") || connection.ends_with("netconf");
    if !ssh.contains(&connection.as_str()) && !network {
        return Err(LeftOver::Other(format!("it is reached by {connection}, not over SSH")));
    }
    let host = get(&["ansible_host", "ansible_ssh_host"]).unwrap_or_else(|| name.to_owned());
    let port = get(&["ansible_port", "ansible_ssh_port"]).and_then(|port| port.parse().ok());
    let user = get(&["ansible_user", "ansible_ssh_user"]);
    let secret = get(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"]);
    let platform = get(&["ansible_network_os"]);
    let arguments = get(&["ansible_ssh_common_args", "ansible_ssh_extra_args"]).unwrap_or_default();
    if get(&["ansible_ssh_private_key_file"]).is_some() {
        notes.push("its private key is not taken over: store it with 'rotorctl ssh-key set'".into());
    }
    if ["ansible_become_password", "ansible_become_pass"].iter().any(|name| vars.contains_key(*name)) {
        notes.push("its password of become is not taken over: where it is another account's, add that account".into());
    }
    let address = Address::parse(&host).map(|address| Address { port: port.or(address.port), ..address });
    Ok(Entry {
        place: place.to_owned(),
        number,
        title: name.to_owned(),
        address: Some(address.ok_or_else(|| LeftOver::Other("its ansible_host is no address".into()))?),
        user,
        password: secret.as_deref().and_then(password),
        // Ansible takes an account of Linux or the like where nothing else is said.
        platform: platform.or_else(|| (!network).then(|| "ssh".into())),
        jump: jump_of(&arguments),
        notes,
        ..Entry::default()
    })
}

/// The host behind `-J` or `ProxyJump` in arguments of ssh.
fn jump_of(arguments: &str) -> Option<String> {
    let words: Vec<&str> = arguments.split([' ', '"', '\'', '=']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| {
        *word == "-J" || word.eq_ignore_ascii_case("ProxyJump") || word.eq_ignore_ascii_case("-oProxyJump")
    })?;
    let last = words.get(at + 1)?.rsplit(',').next()?;
    Some(last.rsplit('@').next()?.split(':').next()?.to_owned())
}
