//! Mail: each address gets one of its own. A worker sends to one address; a test sends to all of them.
//!
//! Who is to blame for a failure decides how often it is tried: a server that does not answer or refuses the login is tried for as
//! long as it takes; what the server says of one mail counts against that mail.

use std::path::Path;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use sha2::{Digest, Sha256};

use super::tls::certificates;
use super::{ANSWER, Blame, CONNECT, Delivery, Failure, secret};
use crate::config::{Channel, MailTransport};
use crate::notify::event::clean;
use crate::notify::message::Message;
use crate::notify::render::mail;

/// For a greeting, TLS and a login, of a server that takes its time.
const OPENING: Duration = Duration::from_secs(60);
/// For one mail.
const SENDING: Duration = Duration::from_secs(60);

/// Sends each message to each address; one that an address of several got counts as taken.
pub(super) async fn deliver(channel: &Channel, messages: &[Message]) -> Delivery {
    let Channel::Email { from, to, .. } = channel else { return Delivery::default() };
    let (mut kept, mut flaw) = (None, None);
    for (taken, message) in messages.iter().enumerate() {
        let mut failures = Vec::new();
        for address in to {
            if let Err(failure) = send_over(&mut kept, channel, from, address, message).await {
                failures.push(Failure { why: format!("{address}: {}", failure.why), ..failure });
            }
        }
        let why = failures.iter().map(|failure| failure.why.as_str()).collect::<Vec<_>>().join("; ");
        match failures.pop() {
            Some(failure) if failures.len() + 1 == to.len() => {
                return Delivery::failed(taken, Failure { why, ..failure });
            }
            Some(_) => flaw = Some(format!("the server refuses {why}")),
            None => {}
        }
    }
    if let Some(mut connection) = kept {
        drop(tokio::time::timeout(ANSWER, connection.quit()).await);
    }
    Delivery { taken: messages.len(), failure: None, flaw }
}

/// Sends one mail over the connection that was kept, or over another where that one is gone.
async fn send_over(
    kept: &mut Option<AsyncSmtpConnection>,
    channel: &Channel,
    from: &str,
    to: &str,
    message: &Message,
) -> Result<(), Failure> {
    let mail = mail_of(from, to, message).map_err(|why| Failure { blame: Blame::Never, ..Failure::again(why) })?;
    let ready = match kept.take() {
        Some(mut connection) => {
            let answers = tokio::time::timeout(ANSWER, connection.test_connected()).await;
            answers.is_ok_and(|answers| answers).then_some(connection)
        }
        None => None,
    };
    let mut connection = match ready {
        Some(connection) => connection,
        None => open(channel).await.map_err(Failure::again)?,
    };
    match tokio::time::timeout(SENDING, connection.send(mail.envelope(), &mail.formatted())).await {
        Ok(Ok(_)) => {
            *kept = Some(connection);
            Ok(())
        }
        Ok(Err(error)) => Err(Failure { blame: blame(&error), ..Failure::again(told(&error)) }),
        Err(_) => {
            let why = format!("the server took more than {} s for one mail", SENDING.as_secs());
            Err(Failure { blame: Blame::PutOff, ..Failure::again(why) })
        }
    }
}

/// What an answer to a mail says of the mail (RFC 5321, 4.2; RFC 4954, 6).
fn blame(error: &Error) -> Blame {
    match error.status().map(u16::from) {
        // The server ends the session, or wants a login that it did not get.
        Some(421 | 454 | 530 | 534 | 535 | 538) => Blame::Receiver,
        Some(500..=599) => Blame::Never,
        None if error.is_client() => Blame::Never,
        _ => Blame::PutOff,
    }
}

/// A connection on which mails can be sent.
async fn open(channel: &Channel) -> Result<AsyncSmtpConnection, String> {
    let opened = tokio::time::timeout(OPENING, greet(channel)).await;
    opened.unwrap_or_else(|_| Err(format!("the mail server took more than {} s to begin", OPENING.as_secs())))
}

async fn greet(channel: &Channel) -> Result<AsyncSmtpConnection, String> {
    let Channel::Email { server: (host, port), transport, login, ca_file, .. } = channel else {
        return Err("this is no mail".into());
    };
    let tls = match transport {
        MailTransport::Plain => None,
        MailTransport::StartTls | MailTransport::Tls => Some(parameters(host, ca_file.as_deref()).await?),
    };
    let (wrapped, started) = if *transport == MailTransport::Tls { (tls, None) } else { (None, tls) };
    let (place, name) = ((host.as_str(), *port), ClientId::default());
    let opened = AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT), &name, wrapped, None).await;
    let mut connection = opened.map_err(|error| told(&error))?;
    if let Some(tls) = started {
        connection.starttls(tls, &name).await.map_err(|error| told(&error))?;
    }
    if let Some((user, password)) = login {
        let password = secret::read(password).await?;
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| told(&error))?;
    }
    Ok(connection)
}

async fn parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let (host, file) = (host.to_owned(), ca_file.map(Path::to_owned));
    let made = tokio::task::spawn_blocking(move || {
        let mut builder = TlsParameters::builder(host);
        if let Some(file) = file {
            builder = builder.certificate_store(CertificateStore::None);
            for certificate in certificates(&file)? {
                let certificate = Certificate::from_der(certificate.to_vec()).map_err(|error| told(&error))?;
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|error| told(&error))
    });
    made.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// An error of the library with its causes. What the server said is in it, as one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    clean(&text)
}

fn mail_of(from: &str, to: &str, message: &Message) -> Result<lettre::Message, String> {
    let mailbox = |text: &str, name: Option<&str>| {
        let address: Result<lettre::Address, _> = text.parse();
        address.map(|address| Mailbox::new(name.map(str::to_owned), address)).map_err(|error| told(&error))
    };
    let digits = data_encoding::HEXLOWER.encode(&Sha256::digest(to)[..4]);
    let mut mail = lettre::Message::builder()
        .from(mailbox(from, Some("rotord"))?)
        .to(mailbox(to, None)?)
        .subject(mail::subject(message))
        .message_id(Some(format!("<{}.{digits}@{}>", message.id, host_part(&message.host))))
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(mail::body(message))
        .map_err(|error| told(&error))?;
    // RFC 3834: nobody's holiday answers to it.
    for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Rotord-Id", message.id.as_str())] {
        let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|error| told(&error))?;
        mail.headers_mut().insert_raw(HeaderValue::new(name, value.to_owned()));
    }
    Ok(mail)
}

/// A host name as an id of a mail may have it (RFC 5322, 3.6.4).
fn host_part(host: &str) -> String {
    let part: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    if part.is_empty() { "rotord.invalid".into() } else { part }
}
