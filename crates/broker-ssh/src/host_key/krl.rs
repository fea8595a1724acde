//! OpenSSH's key revocation lists, as `ssh-keygen -k` makes them
//!
//! The format is described in OpenSSH's PROTOCOL.krl.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use russh::keys::{Certificate, HashAlg, PublicKey};
use sha1::{Digest, Sha1};

/// What such a file begins with.
const MAGIC: &[u8] = b"SSHKRL\n\0";

/// The one version of the format.
const VERSION: u32 = 1;

/// A list of keys and certificates that are not to be believed.
#[derive(Debug)]
pub(super) struct Krl {
    path: PathBuf,
    /// Whole keys, as they travel.
    keys: Vec<Vec<u8>>,
    /// Hashes of keys: SHA-1 or SHA-256, told apart by their length.
    hashes: Vec<Vec<u8>>,
    certificates: Vec<Certificates>,
}

/// Certificates of one authority.
#[derive(Debug, Default)]
struct Certificates {
    /// The authority's key; empty: any authority.
    authority: Vec<u8>,
    serials: Vec<RangeInclusive<u64>>,
    /// Serials by bits, each list from a first one on.
    bitmaps: Vec<(u64, Vec<u8>)>,
    ids: Vec<Vec<u8>>,
}

impl Krl {
    /// Whether a file is such a list.
    pub(super) fn is_krl(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a list. One that is not understood as a whole is not used at all: a revocation must not be overlooked.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Option<Self> {
        let mut rest = Bytes(bytes.strip_prefix(MAGIC)?);
        if rest.u32()? != VERSION {
            return None;
        }
        // Version of the list, time of its making, flags; a reserved field and a comment.
        rest.take(3 * 8)?;
        rest.string()?;
        rest.string()?;
        let mut krl = Self {
            path: path.to_owned(),
            keys: Vec::new(),
            hashes: Vec::new(),
            certificates: Vec::new(),
        };
        while !rest.0.is_empty() {
            let kind = rest.u8()?;
            krl.add_section(kind, Bytes(rest.string()?))?;
        }
        Some(krl)
    }

    fn add_section(&mut self, kind: u8, mut section: Bytes<'_>) -> Option<()> {
        match kind {
            1 => self.certificates.push(certificates(section)?),
            2 => self.keys.extend(section.strings()?),
            3 | 5 => self.hashes.extend(section.strings()?),
            _ => return None,
        }
        Some(())
    }

    /// The file, for a person.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether a key is revoked, or the certificate with it, or the authority that signed that.
    pub(super) fn revokes(&self, key: &PublicKey, certificate: Option<&Certificate>) -> bool {
        self.has_key(key)
            || certificate.is_some_and(|certificate| {
                let authority = PublicKey::from(certificate.signature_key().clone());
                self.has_key(&authority) || self.has_certificate(certificate, &authority)
            })
    }

    fn has_key(&self, key: &PublicKey) -> bool {
        let Ok(blob) = key.to_bytes() else {
            return false;
        };
        let (sha1, sha256) = (Sha1::digest(&blob), key.fingerprint(HashAlg::Sha256));
        let is_it = |hash: &Vec<u8>| hash == sha1.as_slice() || hash == sha256.as_bytes();
        self.keys.contains(&blob) || self.hashes.iter().any(is_it)
    }

    fn has_certificate(&self, certificate: &Certificate, authority: &PublicKey) -> bool {
        let authority = authority.to_bytes().unwrap_or_default();
        let of_it = |it: &&Certificates| it.authority.is_empty() || it.authority == authority;
        self.certificates.iter().filter(of_it).any(|revoked| {
            revoked.has_serial(certificate.serial())
                || revoked
                    .ids
                    .iter()
                    .any(|id| id == certificate.key_id().as_bytes())
        })
    }
}

impl Certificates {
    /// Zero stands for certificates without a serial, which none can revoke.
    fn has_serial(&self, serial: u64) -> bool {
        serial != 0
            && (self.serials.iter().any(|range| range.contains(&serial))
                || self.bitmaps.iter().any(|(first, bits)| {
                    serial
                        .checked_sub(*first)
                        .is_some_and(|bit| is_set(bits, bit))
                }))
    }
}

/// Whether a bit is set in a number whose most significant byte comes first.
fn is_set(number: &[u8], bit: u64) -> bool {
    let byte = usize::try_from(bit / 8).ok();
    let byte = byte.and_then(|index| number.iter().rev().nth(index));
    byte.is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
}

fn certificates(mut section: Bytes<'_>) -> Option<Certificates> {
    let mut revoked = Certificates {
        authority: section.string()?.to_owned(),
        ..Certificates::default()
    };
    // A reserved field.
    section.string()?;
    while !section.0.is_empty() {
        let kind = section.u8()?;
        let mut part = Bytes(section.string()?);
        match kind {
            0x20 => {
                while !part.0.is_empty() {
                    let serial = part.u64()?;
                    revoked.serials.push(serial..=serial);
                }
            }
            0x21 => revoked.serials.push(part.u64()?..=part.u64()?),
            0x22 => revoked
                .bitmaps
                .push((part.u64()?, part.string()?.to_owned())),
            0x23 => revoked.ids.extend(part.strings()?),
            _ => return None,
        }
    }
    Some(revoked)
}

/// What is left to read (data types of RFC 4251 section 5).
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    /// All strings up to the end.
    fn strings(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut strings = Vec::new();
        while !self.0.is_empty() {
            strings.push(self.string()?.to_owned());
        }
        Some(strings)
    }
}

#[cfg(test)]
#[path = "krl_tests.rs"]
mod tests;
