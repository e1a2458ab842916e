use super::*;
use crate::import::{Format, read};

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL67XmOdR/Ey0L2VNFfcrFZdUpzR4bQeZH7M/TLG/y7i";
const A_PRINT: &str = "SHA256:sH00Chn9aJEVAovn5gfLHbDfbaN33griwk++NywTHlY";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFlvLN7TbV8xKSO3MNqDr+KfCR6gb5pfYEsCIgu8O5ER";
const B_PRINT: &str = "SHA256:gLEMQMG1fyjvm9Jqxvi9FGlqaMgDbg+BXzpmXyIR+X8";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBBcimIoiLqK44JfMoFr9aFO0vHh4fT/ArTB2tlhjWn4kG3Z22fOEzYED8ETI6EWc2DJf1W3ov5D5l46+g6KXooQ=";
const ECDSA_PRINT: &str = "SHA256:J/t+TMKax/Y4wmIIafXR0NxQB2CcRoWyCcmcR026Osc";

fn device(name: &str, host: &str, port: u16, on_record: &[&str]) -> KnownDevice {
    let fingerprints = on_record.iter().map(|it| (*it).to_owned()).collect();
    KnownDevice { name: name.into(), host: host.into(), port: Some(port), fingerprints, ..KnownDevice::default() }
}

fn planned(text: &str, devices: &[KnownDevice], accepted: &[&str]) -> Plan {
    let found = read(Format::KnownHosts, text.as_bytes(), None).unwrap();
    let accepted = accepted.iter().map(|it| AcceptedKey::parse(it).unwrap()).collect();
    super::super::plan(found, devices, &Wishes { accepted, ..Wishes::default() })
}

/// Device and fingerprint of each key that is taken.
fn taken(plan: &Plan) -> Vec<(&str, &str)> {
    plan.keys.iter().map(|key| (key.device.as_str(), key.fingerprint.as_str())).collect()
}

fn left_out(plan: &Plan) -> String {
    plan.left_out.iter().map(|left| format!("{}: {}\n", left.place, left.why)).collect()
}

#[test]
fn a_line_is_of_a_device_by_address_and_port_and_never_by_its_name() {
    let devices = [
        device("web1", "192.0.2.10", 22, &[]),
        device("web2", "192.0.2.10", 2222, &[]),
        device("core1", "core.example.org", 22, &[]),
        // Its name is the address of another host.
        device("core.example.org", "198.51.100.7", 22, &[]),
    ];
    for (hosts, expected, told) in [
        ("192.0.2.10", vec!["web1"], ""),
        ("192.0.2.1,192.0.2.10,web9", vec!["web1"], ""),
        ("[192.0.2.10]:2222", vec!["web2"], ""),
        ("[192.0.2.10]:2223", vec![], ""),
        ("[192.0.2.10]:22", vec![], ""),
        ("CORE.example.org", vec!["core1"], ""),
        ("[core.example.org]:2222", vec![], ""),
        ("web1", vec![], "web1 is the name of a device at 192.0.2.10"),
        ("[web2]:2222", vec![], "web2 is the name of a device at [192.0.2.10]:2222"),
        ("192.0.2.*", vec!["web1"], ""),
        ("192.0.2.*,!192.0.2.10", vec![], ""),
        ("other", vec![], ""),
        // What ssh-keygen -H made of 192.0.2.10 and of [192.0.2.10]:2222.
        ("|1|cCPPMiIXqFvjJ1XcCeX1nHBTQlQ=|TA+acbg+uNERAu7/lyP3FDZ8Iz8=", vec!["web1"], ""),
        ("|1|fL5bOTYwQwTTcAO1sxivqBRY3uU=|hfKXbRJF6WXjJR7jRb96wQDzVcM=", vec!["web2"], ""),
    ] {
        let plan = planned(&format!("# note\n{hosts} {A} a comment\n"), &devices, &[]);
        let expected: Vec<_> = expected.into_iter().map(|name| (name, A_PRINT)).collect();
        assert_eq!(taken(&plan), expected, "{hosts}");
        assert!(left_out(&plan).contains(told) && plan.left_out.is_empty() == told.is_empty(), "{}", left_out(&plan));
        let unknown = plan.notes == ["1 host key is of no device in the config"];
        assert_eq!(unknown, expected.is_empty() && told.is_empty(), "{hosts}: {:?}", plan.notes);
        assert!(plan.keys.iter().all(|key| key.key == A && key.kind == "ssh-ed25519" && key.on_record.is_empty()));
    }
    let plan = planned(&format!("# note\n192.0.2.10 {A}\n"), &devices[1..], &[]);
    assert!(left_out(&plan).starts_with("line 2: it is for port 22 of 192.0.2.10"), "{}", left_out(&plan));
}

#[test]
fn a_key_beside_others_is_taken_only_if_it_is_named_for_its_device() {
    let text = format!("192.0.2.10,192.0.2.11 {A}\n192.0.2.10 {ECDSA}\n");
    let on_record = [device("web1", "192.0.2.10", 22, &[B_PRINT]), device("web2", "192.0.2.11", 22, &[B_PRINT])];
    let plan = planned(&text, &on_record, &[]);
    assert!(plan.keys.is_empty() && plan.is_empty());
    let changed: Vec<_> = plan.changed.iter().map(|key| (key.device.as_str(), key.fingerprint.as_str())).collect();
    assert_eq!(changed, [("web1", A_PRINT), ("web1", ECDSA_PRINT), ("web2", A_PRINT)]);
    let told = left_out(&plan);
    assert!(told.contains("line 1: the host key of web1 has CHANGED") && told.contains(B_PRINT), "{told}");
    let named = format!("web1={A_PRINT}");
    assert!(told.contains(&format!("--accept-key {named}")), "{told}");
    let plan = planned(&text, &on_record, &[&named]);
    assert_eq!(taken(&plan), [("web1", A_PRINT)], "not for web2, and not the other kind");
    assert_eq!((plan.keys[0].on_record.as_slice(), plan.changed.len()), ([B_PRINT.to_owned()].as_slice(), 2));
    // An authority on record is something on record.
    let authority = [device("web1", "192.0.2.10", 22, &["@cert-authority SHA256:x"])];
    assert_eq!(planned(&text, &authority, &[]).changed.len(), 2);
    let known = planned(&text, &[device("web1", "192.0.2.10", 22, &[A_PRINT])], &[]);
    assert_eq!((known.keys_on_record, known.changed.len(), known.keys.len()), (1, 1, 0));
}

#[test]
fn of_a_host_without_a_key_on_record_one_of_each_kind_is_taken() {
    let web1 = [device("web1", "192.0.2.10", 22, &[])];
    let plan = planned(&format!("192.0.2.10 {A}\n192.0.2.10 {ECDSA}\n192.0.2.* {A}\n"), &web1, &[]);
    assert_eq!(taken(&plan), [("web1", A_PRINT), ("web1", ECDSA_PRINT)]);
    let text = format!("192.0.2.10 {A}\n192.0.2.10 {ECDSA}\n192.0.2.10 {B}\n192.0.2.10 ssh-dss AAAAB3NzaC1kc3MAAAAA\n");
    let plan = planned(&text, &web1, &[]);
    assert_eq!(taken(&plan), [("web1", ECDSA_PRINT)]);
    let told = left_out(&plan);
    assert!(
        told.contains("line 1: the file has several ssh-ed25519 keys for web1") && told.contains("line 3: "),
        "{told}"
    );
    assert!(told.contains("line 4: rotord does not use host keys of the kind ssh-dss"), "{told}");
    assert_eq!(taken(&planned(&text, &web1, &[&format!("web1={B_PRINT}")])).len(), 2);
}

#[test]
fn a_revoked_key_is_taken_for_nobody_whom_the_line_is_about() {
    let web1 = [device("web1", "192.0.2.10", 22, &[])];
    let web2 = [device("web2", "192.0.2.10", 2222, &[])];
    let named = format!("web1={A_PRINT}");
    for (more, devices, line, taken_over) in [
        (format!("@revoked * {A}"), &web1, "192.0.2.10", false),
        (format!("@revoked 192.0.2.10 {A}"), &web1, "192.0.2.10", false),
        (format!("@revoked 192.0.2.10 {A}"), &web2, "[192.0.2.10]:2222", false),
        (format!("@revoked 192.0.2.11 {A}"), &web1, "192.0.2.10", true),
        (format!("@revoked * {B}"), &web1, "192.0.2.10", true),
        // Which key it revokes nobody knows.
        ("@revoked 192.0.2.10 ssh-ed25519 AAAA".into(), &web1, "192.0.2.10", false),
        (format!("@REVOKED 192.0.2.11 {A}"), &web1, "192.0.2.10", false),
        (format!("@cert-authority 192.0.2.10 {A}"), &web1, "192.0.2.10", true),
    ] {
        let text = format!("{line} {A}\n{more}\n");
        assert_eq!(planned(&text, devices, &[]).keys.len(), usize::from(taken_over), "{more}");
        if !taken_over {
            assert!(planned(&text, devices, &[&named]).keys.is_empty(), "not even where it is named: {more}");
        }
    }
    let alone = planned(&format!("@cert-authority 192.0.2.10 {A}\n"), &web1, &[]);
    assert!(alone.keys.is_empty() && left_out(&alone).contains("line 1: an authority is not taken over"));
    let plan = planned(&format!("@revoked * {A}\n"), &[device("web1", "192.0.2.10", 22, &[A_PRINT])], &[]);
    assert!(plan.notes[0].contains("ON RECORD for web1"), "{:?}", plan.notes);
}

#[test]
fn an_address_behind_another_jump_host_may_be_another_machine() {
    let behind = |name: &str, jump: &str| KnownDevice { jump: Some(jump.into()), ..device(name, "10.0.0.1", 22, &[]) };
    let text = format!("10.0.0.1 {A}\n");
    let plan = planned(&text, &[behind("site1", "gate1"), behind("site2", "gate2")], &[]);
    assert!(plan.keys.is_empty() && left_out(&plan).contains("on different ways"), "{}", left_out(&plan));
    let one_host = planned(&text, &[behind("site1", "gate1"), behind("alias", "gate1")], &[]);
    assert_eq!(one_host.keys.len(), 2);
}

#[test]
fn a_key_is_named_with_its_device() {
    let parsed = AcceptedKey::parse("a=b=SHA256:xyz").unwrap();
    assert_eq!((parsed.device.as_str(), parsed.fingerprint.as_str()), ("a=b", "SHA256:xyz"));
    for wrong in ["", "SHA256:xyz", "=SHA256:xyz", "web1=xyz", "web1=SHA256:"] {
        assert_eq!(AcceptedKey::parse(wrong), None, "{wrong}");
    }
}
