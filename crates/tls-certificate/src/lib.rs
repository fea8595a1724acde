//! Reads the certificate and the private key of a TLS server from PEM files, and checks that they can be used together.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use file_access::{Readers, is_open_to_others};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The largest file in bytes. A chain of ten large certificates with its key has less than a tenth of it.
const MAX_FILE: u64 = 1 << 20;

/// Which of the two files has a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The file with the certificate.
    Certificate,
    /// The file with the private key.
    Key,
}

/// Why a certificate and its key cannot be used. It contains nothing of the key.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct CertificateError {
    /// The file with the fault.
    pub path: PathBuf,
    /// Which of the two files it is.
    pub role: FileRole,
    /// The fault.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than any certificate or key.
    #[error("the file is larger than {MAX_FILE} bytes, so it is neither a certificate nor a key")]
    TooLarge,
    /// Users who have no business with it can read or change the key.
    #[error("other users can read or change this private key")]
    OpenToOthers,
    /// It contains no certificate.
    #[error("the file contains no certificate in PEM form")]
    NoCertificate,
    /// It contains no key that can be used.
    #[error("the file contains no unencrypted private key in PEM form")]
    NoKey,
    /// The certificate or the key is damaged, or of an unknown kind.
    #[error("the file cannot be used: {0}")]
    Unusable(String),
    /// The two do not belong together.
    #[error("this private key does not belong to the certificate")]
    Mismatch,
}

impl CertificateError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        let path = self.path.display();
        match &self.fault {
            Fault::Unreadable(_) => {
                "correct the path, or let the user who runs brokerd read the file".to_owned()
            }
            Fault::OpenToOthers => format!("run: chmod 600 {path}"),
            Fault::NoKey => {
                "name the PEM file with the key in `tls-key`; an encrypted one can be decrypted with: openssl pkey".to_owned()
            }
            Fault::TooLarge | Fault::NoCertificate | Fault::Unusable(_) => {
                "name a PEM file, as certificate authorities and openssl write it".to_owned()
            }
            Fault::Mismatch => "name the key with which the certificate was requested".to_owned(),
        }
    }
}

/// Reads a certificate with those between it and the authority, and its key, and checks that they belong together. Both
/// can be in one file.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let of_certificate = |fault| CertificateError {
        path: certificate.to_owned(),
        role: FileRole::Certificate,
        fault,
    };
    let of_key = |fault| CertificateError {
        path: key.to_owned(),
        role: FileRole::Key,
        fault,
    };
    let chain = chain(certificate).map_err(of_certificate)?;
    let key = private_key(key).map_err(of_key)?;
    let provider = default_provider();
    let signer = provider.key_provider.load_private_key(key);
    let signer = signer.map_err(|error| of_key(Fault::Unusable(error.to_string())))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(of_key(Fault::Mismatch)),
        Err(error) => Err(of_certificate(Fault::Unusable(error.to_string()))),
    }
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The names and addresses of the server for which it counts.
    pub names: Vec<String>,
    /// When it begins to count, in Unix seconds.
    pub not_before: i64,
    /// When it ends, in Unix seconds.
    pub not_after: i64,
}

/// What the server's own certificate says; `None` if it is not X.509.
pub fn facts(certified: &CertifiedKey) -> Option<Facts> {
    let (_, certificate) = parse_x509_certificate(certified.cert.first()?).ok()?;
    let validity = certificate.validity();
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or_else(Vec::new, |it| {
        it.value.general_names.iter().filter_map(name).collect()
    });
    Some(Facts {
        names,
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// A name or an address that clients compare with the one to which they connect (RFC 6125).
fn name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = contents(&File::open(path)?)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| unusable(&error))?;
    if chain.is_empty() {
        return Err(Fault::NoCertificate);
    }
    Ok(chain)
}

/// Server keys are often readable by a group, such as Debian's `ssl-cert`, so that the servers need no privilege. A file
/// without a key, such as the certificate alone, may be open to all.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let file = File::open(path)?;
    let open_to_others = is_open_to_others(&file.metadata()?, Readers::Group);
    let text = contents(&file)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Err(PemError::NoItemsFound) => Err(Fault::NoKey),
        _ if open_to_others => Err(Fault::OpenToOthers),
        key => key.map_err(|error| unusable(&error)),
    }
}

/// A fault in the form of a file. The library names a section by its bytes.
fn unusable(error: &PemError) -> Fault {
    let PemError::MissingSectionEnd { end_marker } = error else {
        return Fault::Unusable(error.to_string());
    };
    let marker = end_marker.escape_ascii();
    Fault::Unusable(format!("its line `-----END {marker}-----` is missing"))
}

fn contents(file: &File) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Fault::TooLarge);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
