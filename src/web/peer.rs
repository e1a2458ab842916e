//! Whose process is at the other end of a connection over loopback: the kernel says so in `/proc/net/tcp` (proc_pid_net(5)).

use std::io;
use std::net::{IpAddr, SocketAddr};

/// How often the table is read. The kernel writes it piece by piece, so a row can be left out while others come and go.
const READS: usize = 3;

/// The user whose socket has `local` as its own end and `remote` as its other one; `None` if there is no such socket any more.
///
/// # Errors
/// The kernel has no such table.
pub(super) fn uid_of(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let file = if local.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    for _ in 0..READS {
        let found = find(&std::fs::read_to_string(file)?, &written(local), &written(remote));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// An address as the kernel writes it: each 32 bits of it in the host's byte order.
fn written(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| {
        let word: [u8; 4] = word.try_into().unwrap_or_default();
        format!("{:08X}", u32::from_ne_bytes(word))
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

fn find(table: &str, local: &str, remote: &str) -> Option<u32> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|row| row.get(1) == Some(&local) && row.get(2) == Some(&remote));
    found.find_map(|row| row.get(7)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_connection_of_ours_is_ours() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let uid = uid_of(peer, accepted.local_addr().unwrap());
            assert_eq!(uid.unwrap(), Some(nix::unistd::geteuid().as_raw()), "{address}");
            assert_eq!(uid_of(SocketAddr::new(peer.ip(), 1), accepted.local_addr().unwrap()).unwrap(), None);
            drop(stream);
        }
    }

    #[test]
    fn a_row_is_found_by_both_ends() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n";
        assert_eq!(find(table, "0100007F:C350", "0100007F:1F90"), Some(1001));
        assert_eq!(find(table, "0100007F:C351", "0100007F:1F90"), None);
    }
}
