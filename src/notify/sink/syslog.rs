//! Syslog over UDP, TCP and TLS. Over a stream, lines count as taken once the collector has closed its side without an error after ours
//! was closed: TCP tells nothing earlier.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::tls::{Connection, connect};
use super::{ANSWER, Delivery, Failure};
use crate::config::{Channel, SyslogTransport};
use crate::notify::message::Message;
use crate::notify::render::syslog::{Form, Size, framed, lines};

/// A collector that keeps its side open is waited for so long.
const CLOSE: Duration = Duration::from_secs(3);

pub(super) async fn deliver(channel: &Channel, messages: &[Message]) -> Delivery {
    let Channel::Syslog { server: (host, port), transport, facility, cef, ca_file } = channel else {
        return Delivery::default();
    };
    let form = if *cef { Form::Cef } else { Form::Plain };
    let size = if *transport == SyslogTransport::Udp { Size::Datagram } else { Size::Stream };
    let all: Vec<String> = messages.iter().flat_map(|message| lines(message, form, *facility, size)).collect();
    let sent = match transport {
        SyslogTransport::Udp => datagrams(host, *port, &all).await,
        SyslogTransport::Tcp | SyslogTransport::Tls => {
            let secure = *transport == SyslogTransport::Tls;
            match connect(host, *port, secure, ca_file.as_deref()).await {
                Ok(connection) => stream(connection, &all).await,
                Err(failure) => Err(failure),
            }
        }
    };
    match sent {
        Ok(()) => Delivery { taken: messages.len(), ..Delivery::default() },
        Err(failure) => Delivery::failed(0, failure),
    }
}

/// Nobody answers a datagram; only that nobody listens may be told.
async fn datagrams(host: &str, port: u16, lines: &[String]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::again(format!("cannot send: {error}"));
    let target = tokio::net::lookup_host((host, port)).await.map_err(failed)?.next();
    let target = target.ok_or_else(|| Failure::again("its host has no address"))?;
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(target).await.map_err(failed)?;
    for line in lines {
        socket.send(line.as_bytes()).await.map_err(failed)?;
    }
    Ok(())
}

async fn stream(mut connection: Connection, lines: &[String]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::again(format!("the connection broke: {error}"));
    let send = async {
        for line in lines {
            connection.write_all(&framed(line)).await.map_err(failed)?;
        }
        connection.shutdown().await.map_err(failed)
    };
    tokio::time::timeout(ANSWER, send).await.unwrap_or_else(|_| Err(Failure::again("it takes nothing")))?;
    let mut rest = [0; 256];
    let closed = async {
        loop {
            match connection.read(&mut rest).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // A collector that ends the connection without TLS's own word for it has read all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    };
    tokio::time::timeout(CLOSE, closed).await.unwrap_or(Ok(()))
}
