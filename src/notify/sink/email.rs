//! Mail: one for each who gets it, so that one refused address is in nobody's way.

use std::collections::BTreeSet;
use std::path::Path;

use lettre::message::Mailbox;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use sha2::{Digest, Sha256};

use super::tls::certificates;
use super::{ANSWER, Delivery, Failure, secret};
use crate::config::{Channel, MailTransport};
use crate::notify::event::clean;
use crate::notify::message::Message;
use crate::notify::render::mail;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends each message to each; `mailed` is who got the first one already.
pub(super) async fn deliver(
    channel: &Channel,
    messages: &[Message],
    mailed: &mut (String, BTreeSet<String>),
) -> Delivery {
    let Channel::Email { from, to, .. } = channel else { return Delivery::default() };
    let transport = match transport(channel).await {
        Ok(transport) => transport,
        Err(why) => return Delivery::failed(0, Failure::again(why)),
    };
    let mut flaw = None;
    for (taken, message) in messages.iter().enumerate() {
        if mailed.0 != message.id {
            *mailed = (message.id.clone(), BTreeSet::new());
        }
        let (mut refused, mut failed) = (Vec::new(), Vec::new());
        for address in to {
            if mailed.1.contains(address) {
                continue;
            }
            match send(&transport, from, address, message).await {
                Ok(()) => drop(mailed.1.insert(address.clone())),
                Err(error) if error.is_final => refused.push(format!("{address}: {}", error.why)),
                Err(error) => failed.push(format!("{address}: {}", error.why)),
            }
        }
        // Where somebody got it, an address that is refused for good is told of, and not tried again and again.
        if !failed.is_empty() || mailed.1.is_empty() {
            failed.extend(refused);
            return Delivery::failed(taken, Failure::again(failed.join("; ")));
        }
        if !refused.is_empty() {
            flaw = Some(format!("the server refuses {}", refused.join("; ")));
        }
    }
    Delivery { taken: messages.len(), failure: None, flaw }
}

async fn transport(channel: &Channel) -> Result<Transport, String> {
    let Channel::Email { server: (host, port), transport, login, ca_file, .. } = channel else {
        return Err("this is no mail".into());
    };
    let tls = match transport {
        MailTransport::Plain => Tls::None,
        MailTransport::StartTls => Tls::Required(parameters(host, ca_file.as_deref()).await?),
        MailTransport::Tls => Tls::Wrapper(parameters(host, ca_file.as_deref()).await?),
    };
    let mut builder = Transport::builder_dangerous(host.as_str()).port(*port).tls(tls).timeout(Some(ANSWER));
    if let Some((user, password)) = login {
        let password = secret::read(password).await?;
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
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

/// Sends one mail.
async fn send(transport: &Transport, from: &str, to: &str, message: &Message) -> Result<(), Failure> {
    let mail = mail_of(from, to, message).map_err(|why| Failure { is_final: true, ..Failure::again(why) })?;
    match tokio::time::timeout(3 * ANSWER, transport.send(mail)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure { is_final: error.is_permanent(), ..Failure::again(told(&error)) }),
        Err(_) => Err(Failure::again(format!("the server took more than {} s", 3 * ANSWER.as_secs()))),
    }
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
