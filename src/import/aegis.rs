//! Aegis' encrypted vault: its contents are sealed with AES-256-GCM under a master key, which each password slot holds sealed under a
//! key that scrypt makes of a password (docs/vault.md of Aegis' repository).

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Format, ImportError, malformed};
use crate::model::Secret;

/// The kind of a slot that a password opens.
const PASSWORD: u8 = 1;
/// Slots that are tried at the most: each costs a run of scrypt.
const MOST_SLOTS: usize = 8;
/// The most of scrypt's N, as a power of two. Aegis writes 15; the file says how much memory is used, and may have been made to use all.
const MOST_LOG_N: u32 = 18;
/// The most of its r and p. Aegis writes 8 and 1. With the most of N that is 256 MiB.
const MOST_R: u32 = 8;
const MOST_P: u32 = 4;

#[derive(Deserialize)]
struct Vault {
    header: Header,
    db: String,
}

#[derive(Deserialize)]
struct Header {
    slots: Vec<Slot>,
    params: Params,
}

#[derive(Deserialize)]
struct Slot {
    #[serde(rename = "type")]
    kind: u8,
    key: String,
    key_params: Params,
    #[serde(default)]
    n: u32,
    #[serde(default)]
    r: u32,
    #[serde(default)]
    p: u32,
    #[serde(default)]
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    nonce: String,
    tag: String,
}

/// Whether a vault is encrypted: its contents are a string then.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Sealed {
        #[serde(rename = "db")]
        _db: String,
    }
    std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<Sealed>(text.trim_start_matches('\u{feff}')).is_ok())
}

/// The contents of an encrypted vault, as they stand in one that is not.
///
/// # Errors
/// The passphrase is wrong or not given, or the vault is not as Aegis writes it.
pub(super) fn open(text: &str, passphrase: Option<&Secret>) -> Result<Zeroizing<String>, ImportError> {
    let Some(passphrase) = passphrase else { return Err(ImportError::Passphrase) };
    let wrong = |error: serde_json::Error| malformed(Format::Aegis, format!("line {}", error.line()));
    let Vault { header, db } = serde_json::from_str(text).map_err(wrong)?;
    let sealed = BASE64.decode(db.as_bytes()).map_err(|_| malformed(Format::Aegis, "its contents are not base64"))?;
    let slots: Vec<&Slot> = header.slots.iter().filter(|slot| slot.kind == PASSWORD).collect();
    if slots.is_empty() {
        return Err(ImportError::Encrypted(
            "no password opens it; in Aegis, export it with a password, or without encryption",
        ));
    }
    for slot in slots.into_iter().take(MOST_SLOTS) {
        let Some(key) = key_of(slot, passphrase)? else { continue };
        let plain = unseal(&key, &header.params, sealed)?.ok_or_else(|| malformed(Format::Aegis, "it is damaged"))?;
        let plain = String::from_utf8(plain.to_vec()).map_err(|_| malformed(Format::Aegis, "it is not UTF-8"))?;
        return Ok(Zeroizing::new(plain));
    }
    Err(ImportError::Passphrase)
}

/// The master key of a slot; `None` where the passphrase does not open it.
fn key_of(slot: &Slot, passphrase: &Secret) -> Result<Option<Zeroizing<Vec<u8>>>, ImportError> {
    let costs = || malformed(Format::Aegis, "its key takes more memory to make than Aegis would ask for");
    let log_n = slot.n.checked_ilog2().filter(|log| slot.n == 1 << log && *log <= MOST_LOG_N).ok_or_else(costs)?;
    if slot.r > MOST_R || slot.p > MOST_P {
        return Err(costs());
    }
    let log_n = u8::try_from(log_n).map_err(|_| costs())?;
    let params = scrypt::Params::new(log_n, slot.r, slot.p).map_err(|_| costs())?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.expose().as_bytes(), &hex(&slot.salt)?, &params, &mut *key)
        .map_err(|_| malformed(Format::Aegis, "its key cannot be made"))?;
    unseal(&*key, &slot.key_params, hex(&slot.key)?)
}

/// Opens what is sealed; `None` where the key is another one, or something was changed.
fn unseal(key: &[u8], params: &Params, mut sealed: Vec<u8>) -> Result<Option<Zeroizing<Vec<u8>>>, ImportError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| malformed(Format::Aegis, "a key has another length"))?;
    let nonce = <[u8; NONCE_LEN]>::try_from(hex(&params.nonce)?.as_slice())
        .map_err(|_| malformed(Format::Aegis, "a nonce has another length"))?;
    sealed.extend(hex(&params.tag)?);
    let mut sealed = Zeroizing::new(sealed);
    let opened = LessSafeKey::new(key).open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed);
    Ok(opened.ok().map(|plain| Zeroizing::new(plain.to_vec())))
}

fn hex(text: &str) -> Result<Vec<u8>, ImportError> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| malformed(Format::Aegis, "a key or a salt is not hexadecimal"))
}
