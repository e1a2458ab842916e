//! SSHFP records (RFC 4255, RFC 6594): the fingerprints of a host's keys in the DNS. One question to the first resolver of
//! `/etc/resolv.conf`; where that gives no answer, nothing is known.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// What the DNS says of a host's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dns {
    /// The host is no name, so there is nothing to ask.
    NotAsked,
    /// No resolver answered, and why.
    Silent(String),
    /// It answered.
    Says {
        /// `SHA256:…`; records of other hashes are left out.
        fingerprints: Vec<String>,
        /// Whether the resolver says that DNSSEC validated the answer (the bit AD, RFC 4035, section 3.2.3).
        validated: bool,
    },
}

/// The type of the records.
const SSHFP: u16 = 44;
const SHA256: u8 = 2;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks for a host's records, where it is a name.
pub(super) fn ask(host: &str) -> Dns {
    let is_name = host.parse::<IpAddr>().is_err() && host.contains('.');
    if !is_name {
        return Dns::NotAsked;
    }
    let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    match resolver(&conf) {
        Some(resolver) => ask_at(resolver, host),
        None => Dns::Silent("/etc/resolv.conf names no resolver".into()),
    }
}

/// The first resolver of a resolv.conf(5).
fn resolver(conf: &str) -> Option<SocketAddr> {
    conf.lines().find_map(|line| {
        let address = line.trim().strip_prefix("nameserver")?.trim();
        // A scope is of no use to a parser that knows none.
        let address: IpAddr = address.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    })
}

fn ask_at(resolver: SocketAddr, host: &str) -> Dns {
    let silent = |error: std::io::Error| Dns::Silent(error.to_string());
    let mut id = [0; 2];
    let _ = getrandom::fill(&mut id);
    let Some(question) = question(id, host) else { return Dns::NotAsked };
    let any: SocketAddr =
        if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let asked = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(resolver)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&question)?;
        let mut answer = [0; 4096];
        let length = socket.recv(&mut answer)?;
        Ok(answer[..length].to_vec())
    });
    match asked {
        Ok(answer) => read(id, &answer).unwrap_or_else(|| Dns::Silent("its answer cannot be read".into())),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Dns::Silent("no answer within 2 s".into()),
        Err(error) => silent(error),
    }
}

/// A question as RFC 1035 writes it, with recursion and the bit AD asked for, and room for a long answer (RFC 6891).
fn question(id: [u8; 2], host: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![id[0], id[1], 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&SSHFP.to_be_bytes());
    bytes.extend_from_slice(&1u16.to_be_bytes());
    // OPT: the root's name, type 41, 4096 bytes, no flags, no data.
    bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    Some(bytes)
}

/// Reads an answer; `None` where it is none to this question, or cannot be read.
fn read(id: [u8; 2], answer: &[u8]) -> Option<Dns> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    if answer.get(..2)? != id || answer.get(2)? & 0x80 == 0 {
        return None;
    }
    match answer.get(3)? & 0x0f {
        0 => {}
        // There is no such name.
        3 => return Some(Dns::Says { fingerprints: Vec::new(), validated: answer[3] & 0x20 != 0 }),
        code => return Some(Dns::Silent(format!("the resolver refuses, with code {code}"))),
    }
    let validated = answer[3] & 0x20 != 0;
    let (questions, answers) = (number(4)?, number(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = behind_name(answer, at)? + 4;
    }
    let mut fingerprints = Vec::new();
    for _ in 0..answers {
        at = behind_name(answer, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = answer.get(at + 10..at + 10 + length)?;
        if kind == SSHFP
            && let [_, SHA256, hash @ ..] = data
            && hash.len() == 32
        {
            fingerprints.push(format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(hash)));
        }
        at += 10 + length;
    }
    Some(Dns::Says { fingerprints, validated })
}

/// The place behind a name, which may end in a pointer (RFC 1035, section 4.1.4).
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length if length & 0xc0 == 0 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with a CNAME and two SSHFP records, of which one has SHA-1.
    fn answer(question: &[u8], ad: bool) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] = 0x81;
        bytes[3] = if ad { 0xa0 } else { 0x80 };
        bytes[7] = 3;
        bytes[11] = 0;
        bytes.truncate(bytes.len() - 11);
        let mut record = |kind: u16, data: &[u8]| {
            bytes.extend_from_slice(&[0xc0, 12]);
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(data);
        };
        record(5, &[1, b'x', 0]);
        record(SSHFP, &[&[4, 1], [7; 20].as_slice()].concat());
        record(SSHFP, &[&[4, 2], [7; 32].as_slice()].concat());
        bytes
    }

    #[test]
    fn a_resolver_is_asked_and_its_answer_read() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            for ad in [true, false] {
                let mut bytes = [0; 512];
                let (length, from) = server.recv_from(&mut bytes).unwrap();
                server.send_to(&answer(&bytes[..length], ad), from).unwrap();
            }
        });
        let expected = format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(&[7; 32]));
        for validated in [true, false] {
            let said = ask_at(at, "web1.example.org");
            assert_eq!(said, Dns::Says { fingerprints: vec![expected.clone()], validated });
        }
        serving.join().unwrap();
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_not_believed() {
        let id = [1, 2];
        let good = answer(&question(id, "web1.example.org").unwrap(), true);
        assert!(matches!(read(id, &good), Some(Dns::Says { .. })));
        assert_eq!(read([9, 9], &good), None);
        for length in 0..good.len() {
            assert!(
                !matches!(read(id, &good[..length]), Some(Dns::Says { fingerprints, .. }) if !fingerprints.is_empty())
            );
        }
        let mut refused = good.clone();
        refused[3] = 0x85;
        assert!(matches!(read(id, &refused), Some(Dns::Silent(_))));
        let mut absent = good;
        absent[3] = 0x83;
        assert_eq!(read(id, &absent), Some(Dns::Says { fingerprints: vec![], validated: false }));
    }

    #[test]
    fn an_address_is_not_asked_for_and_a_resolver_is_found() {
        for host in ["192.0.2.10", "2001:db8::1", "localhost", "web1"] {
            assert_eq!(ask(host), Dns::NotAsked, "{host}");
        }
        assert_eq!(question([0, 0], &format!("{}.org", "x".repeat(64))), None);
        let conf = "# x\nsearch example.org\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n";
        assert_eq!(resolver(conf), Some(([127, 0, 0, 53], 53).into()));
        assert_eq!(resolver("nameserver fe80::1%eth0"), "[fe80::1]:53".parse().ok());
        assert_eq!(resolver("nameserver none"), None);
    }
}
