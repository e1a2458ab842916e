//! No secret stands anywhere but sealed in the vault.

use std::path::Path;

use crate::lab::{Lab, Place};

fn files_below(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, into);
        } else if path.is_file() {
            into.push(path);
        }
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn no_secret_is_in_logs_audit_state_environment_or_arguments() {
    let lab = Lab::start("user1 user2");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    let mut secrets: Vec<String> =
        lab.accounts.iter().flat_map(|(_, password, seed)| [password.clone(), seed.clone()]).collect();
    place.must(&["secret", "set", "lab/user1", "--field", "ENABLE"], "Enable-Needle-77\n");
    secrets.push("Enable-Needle-77".into());
    let mut printed = Vec::new();
    for args in [
        &["rotate", "lab/user1"][..],
        &["status"],
        &["history", "lab/user1"],
        &["audit", "tail"],
        &["audit", "export", "--format", "cef"],
        &["verify", "lab/user1"],
    ] {
        let output = place.ctl(args, "");
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    }
    secrets.push(place.password("lab/user1"));
    // A failing login, and a template that fails with the device's echo in its message.
    place.must(&["secret", "set", "lab/user2"], "Wrong-Needle-88\n");
    secrets.push("Wrong-Needle-88".into());
    printed.extend(place.ctl(&["rotate", "lab/user2"], "").stdout);
    let wrong = place.ctl(&["totp", "set", "lab/user2"], "GEZDGNBVGY3TQ0JQ\n");
    assert_eq!(wrong.status.code(), Some(2));
    printed.extend(wrong.stderr);
    secrets.push("GEZDGNBVGY3TQ0JQ".into());

    let mut places: Vec<(String, Vec<u8>)> = vec![("what was printed".into(), printed)];
    for name in ["environ", "cmdline"] {
        places.push((name.into(), std::fs::read(format!("/proc/{}/{name}", daemon.pid())).unwrap()));
    }
    daemon.signal("ABRT");
    drop(daemon);
    let mut files = Vec::new();
    files_below(place.folder.path(), &mut files);
    for core in ["core", "/var/lib/systemd/coredump"] {
        if Path::new(core).is_dir() {
            files_below(Path::new(core), &mut files);
        } else if Path::new(core).is_file() {
            files.push(core.into());
        }
    }
    assert!(files.iter().any(|file| file.ends_with("log")) && files.iter().any(|file| file.ends_with("vault.db")));
    places.extend(files.into_iter().map(|file| (file.display().to_string(), std::fs::read(&file).unwrap_or_default())));
    for (name, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "a secret of {} characters is in {name}", secret.len());
        }
    }
    let log = place.log();
    assert!(log.contains("fresh code") && log.contains("DEBUG"), "the log was at its most talkative");
}
