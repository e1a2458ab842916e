//! Sealing: XChaCha20-Poly1305 with a random nonce, the secret's place as associated data.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keys::{KEY_BYTES, VaultKey, random};

const NONCE_BYTES: usize = 24;

/// Seals and opens under one key.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    key: Zeroizing<[u8; KEY_BYTES]>,
    /// By which seeds are known.
    seed_key: Zeroizing<Vec<u8>>,
}

/// A data key that was opened with the vault key.
pub(super) struct Opened {
    pub(super) sealer: Sealer,
    /// An older rotord wrapped it: its vault has no key for seeds yet, and host keys that are not authenticated.
    pub(super) is_former: bool,
}

/// A fresh data key, as a sealer and sealed under the vault key.
pub(super) fn fresh_data_key(key: &VaultKey, vault_id: &str) -> Result<(Sealer, Vec<u8>), VaultError> {
    let mut data_key = Zeroizing::new([0u8; KEY_BYTES]);
    random(data_key.as_mut_slice())?;
    rewrap(&data_key, key, vault_id)
}

/// The sealer of a vault whose data key is wrapped under the vault key; `None` where the key does not fit.
pub(super) fn unwrap_data_key(key: &VaultKey, vault_id: &str, wrapped: &[u8]) -> Option<Opened> {
    let wrapping = Sealer::new(key.bytes());
    let now = wrapping.open(&wrap_place(vault_id), wrapped).map(|opened| (opened, false));
    // Whoever has no key cannot have a vault of today taken for a former one.
    let former = || wrapping.open(&former_wrap_place(vault_id), wrapped).map(|opened| (opened, true));
    let (opened, is_former) = now.or_else(former)?;
    let data_key = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(opened.as_slice()).ok()?);
    Some(Opened { sealer: Sealer::new(&data_key), is_former })
}

/// The sealer of a data key that a backup brought, and that key wrapped under another vault key.
pub(super) fn rewrap(
    data_key: &[u8; KEY_BYTES],
    key: &VaultKey,
    vault_id: &str,
) -> Result<(Sealer, Vec<u8>), VaultError> {
    let sealer = Sealer::new(data_key);
    let wrapped = sealer.wrap(key, vault_id)?;
    Ok((sealer, wrapped))
}

fn wrap_place(vault_id: &str) -> String {
    format!("rotord data key 2|{vault_id}")
}

fn former_wrap_place(vault_id: &str) -> String {
    format!("rotord data key 1|{vault_id}")
}

impl Sealer {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key.into()),
            key: Zeroizing::new(*key),
            // That of a former vault, until it has one of its own.
            seed_key: Zeroizing::new(keyed_hash(key, b"used codes")),
        }
    }

    /// The data key itself, for a backup.
    pub(super) fn data_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.to_vec())
    }

    /// The key by which seeds are known.
    pub(super) fn seed_key(&self) -> &[u8] {
        &self.seed_key
    }

    /// Seeds are known by this key from now on.
    pub(super) fn know_seeds_by(&mut self, key: Zeroizing<Vec<u8>>) {
        self.seed_key = key;
    }

    /// The data key, wrapped as an older rotord did.
    #[cfg(test)]
    pub(super) fn wrap_as_before(&self, key: &VaultKey, vault_id: &str) -> Result<Vec<u8>, VaultError> {
        Self::new(key.bytes()).seal(&former_wrap_place(vault_id), self.key.as_slice())
    }

    /// The data key, wrapped under the vault key.
    pub(super) fn wrap(&self, key: &VaultKey, vault_id: &str) -> Result<Vec<u8>, VaultError> {
        Self::new(key.bytes()).seal(&wrap_place(vault_id), self.key.as_slice())
    }

    /// Seals a secret at a place: nonce, then ciphertext and tag.
    pub(super) fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0u8; NONCE_BYTES];
        random(&mut nonce)?;
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed =
            self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Unsealing(place.to_owned()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed at the same place; `None` where key, place or bytes differ.
    pub(super) fn open(&self, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = XNonce::from(<[u8; NONCE_BYTES]>::try_from(nonce).ok()?);
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        self.cipher.decrypt(&nonce, payload).ok().map(Zeroizing::new)
    }

    /// A keyed hash by which accounts that share a seed are known to share it, and which tells nothing else of it.
    pub(super) fn seed_hash(&self, seed: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(&keyed_hash(&self.seed_key, seed))
    }
}

fn keyed_hash(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104), so this cannot fail.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        },
    )
}
