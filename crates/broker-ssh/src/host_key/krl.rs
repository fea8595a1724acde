//! OpenSSH's key revocation lists, as `ssh-keygen -k` makes them
//!
//! The format is described in OpenSSH's PROTOCOL.krl.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use russh::keys::ssh_encoding::{Decode, Error, Reader};
use russh::keys::{Certificate, HashAlg, PublicKey};
use sha1::{Digest, Sha1};

use super::error::FileError;

/// The first bytes of such a file.
const MAGIC: &[u8] = b"SSHKRL\n\0";

/// The only version of the format.
const VERSION: u32 = 1;

/// A list of revoked keys and certificates.
#[derive(Debug)]
pub(super) struct Krl {
    path: PathBuf,
    /// Whole keys in wire format.
    keys: Vec<Vec<u8>>,
    /// Hashes of keys: SHA-1 or SHA-256, distinguished by length.
    hashes: Vec<Vec<u8>>,
    certificates: Vec<Certificates>,
}

/// Certificates of one authority.
#[derive(Debug, Default)]
struct Certificates {
    /// The authority's key; empty: any authority.
    authority: Vec<u8>,
    serials: Vec<RangeInclusive<u64>>,
    /// Serials as bits, each list with its first serial.
    bitmaps: Vec<(u64, Vec<u8>)>,
    ids: Vec<Vec<u8>>,
}

impl Krl {
    /// Whether a file is such a list.
    pub(super) fn is_krl(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// If any part of the list is not understood. Then the broker does not use it at all, since it must not overlook a
    /// revocation.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, FileError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(FileError::RevocationList)?;
        if u32::decode(&mut rest)? != VERSION {
            return Err(FileError::RevocationList);
        }
        // The list's version, creation time and flags; a reserved field and a comment.
        rest.drain(3 * size_of::<u64>())?;
        string(&mut rest)?;
        string(&mut rest)?;
        let mut krl = Self {
            path: path.to_owned(),
            keys: Vec::new(),
            hashes: Vec::new(),
            certificates: Vec::new(),
        };
        while !rest.is_finished() {
            let kind = u8::decode(&mut rest)?;
            krl.add_section(kind, string(&mut rest)?)?;
        }
        Ok(krl)
    }

    fn add_section(&mut self, kind: u8, section: &[u8]) -> Result<(), FileError> {
        match kind {
            1 => self.certificates.push(certificates(section)?),
            2 => self.keys.extend(strings(section)?),
            3 | 5 => self.hashes.extend(strings(section)?),
            _ => return Err(FileError::RevocationList),
        }
        Ok(())
    }

    /// The file, for people.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether a key is revoked, or its certificate, or the authority that signed it.
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
    /// Serial zero means a certificate without a serial, which no list of serials can revoke.
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

fn certificates(mut section: &[u8]) -> Result<Certificates, FileError> {
    let mut revoked = Certificates {
        authority: string(&mut section)?.to_owned(),
        ..Certificates::default()
    };
    // A reserved field.
    string(&mut section)?;
    while !section.is_finished() {
        let kind = u8::decode(&mut section)?;
        let mut part = string(&mut section)?;
        match kind {
            0x20 => {
                while !part.is_finished() {
                    let serial = u64::decode(&mut part)?;
                    revoked.serials.push(serial..=serial);
                }
            }
            0x21 => {
                let (first, last) = (u64::decode(&mut part)?, u64::decode(&mut part)?);
                revoked.serials.push(first..=last);
            }
            0x22 => {
                let first = u64::decode(&mut part)?;
                revoked.bitmaps.push((first, string(&mut part)?.to_owned()));
            }
            0x23 => revoked.ids.extend(strings(part)?),
            _ => return Err(FileError::RevocationList),
        }
    }
    Ok(revoked)
}

/// A string (RFC 4251 section 5). The library accepts at most 1 MiB, which a list of many keys exceeds.
fn string<'a>(reader: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = usize::try_from(u32::decode(reader)?)?;
    let (string, rest) = reader.split_at_checked(length).ok_or(Error::Length)?;
    *reader = rest;
    Ok(string)
}

/// All strings up to the end.
fn strings(mut reader: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut strings = Vec::new();
    while !reader.is_finished() {
        strings.push(string(&mut reader)?.to_owned());
    }
    Ok(strings)
}

#[cfg(test)]
#[path = "krl_tests.rs"]
mod tests;
