//! Which algorithms are offered, in which order

use std::borrow::Cow;

use broker_settings::Algorithms;
use russh::keys::Algorithm;
use russh::{Preferred, cipher, compression, kex, mac};

use crate::host_key::{HOST_KEYS, KnownKeys, same_key_type};

/// The ciphers, in the order for a processor with instructions for AES-GCM: there AES-GCM is several times faster than
/// ChaCha20-Poly1305.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const KEXS: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G18_SHA512,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
];

/// These are signals rather than methods; without them there is no RSA with SHA-2 and no strict key exchange.
const KEX_SIGNALS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const MACS: &[mac::Name] = &[
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256,
    mac::HMAC_SHA512,
];

/// Names that would turn off protection; no configuration may use them.
const PLAINTEXT: &[&str] = &["none", "clear"];

/// None of the profile's names for a kind of algorithm is supported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoneSupported {
    pub(super) kind: &'static str,
    /// Separated by commas.
    pub(super) names: String,
}

/// The algorithms to offer: the profile's or the defaults. Types of known host keys come first, with certificates in the
/// same order.
///
/// # Errors
/// If none of the profile's names is supported.
pub(crate) fn preferred(
    asked: &Algorithms,
    compress: bool,
    known: &KnownKeys,
) -> Result<Preferred, NoneSupported> {
    let mut kexs = choose("key exchange", &asked.kexs, KEXS, |name| {
        kex::Name::try_from(name).ok()
    })?;
    kexs.extend_from_slice(KEX_SIGNALS);
    let mut keys = choose("host key", &asked.host_keys, HOST_KEYS, |name| {
        name.parse().ok().filter(is_plain)
    })?;
    let is_known = |algorithm: &Algorithm| {
        let mut known = known.algorithms.iter();
        known.any(|it| same_key_type(it, algorithm))
    };
    keys.sort_by_key(|algorithm| !is_known(algorithm));
    let certificates = if known.certificates {
        keys.clone()
    } else {
        Vec::new()
    };
    let ciphers = default_ciphers(processor_has_gcm());
    let compressions: &[compression::Name] = if compress {
        &[
            compression::ZLIB_LEGACY,
            compression::ZLIB,
            compression::NONE,
        ]
    } else {
        &[compression::NONE]
    };
    Ok(Preferred {
        kex: Cow::Owned(kexs),
        key: Cow::Owned(keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(choose("cipher", &asked.ciphers, &ciphers, |name| {
            cipher::Name::try_from(name).ok()
        })?),
        mac: Cow::Owned(choose("MAC", &asked.macs, MACS, |name| {
            mac::Name::try_from(name).ok()
        })?),
        compression: Cow::Borrowed(compressions),
    })
}

/// The ciphers to offer by default. On a processor without instructions for AES-GCM, ChaCha20-Poly1305 is the faster one.
fn default_ciphers(has_gcm: bool) -> Vec<cipher::Name> {
    let mut names = CIPHERS.to_vec();
    if !has_gcm {
        names.sort_by_key(|name| *name != cipher::CHACHA20_POLY1305);
    }
    names
}

/// Whether the processor has instructions for both parts of AES-GCM: for AES, and for the multiplication that GCM
/// authenticates with. Unknown on other kinds of processors.
fn processor_has_gcm() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_gcm = is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_gcm = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_gcm = false;
    has_gcm
}

fn choose<T: Clone>(
    kind: &'static str,
    asked: &[String],
    defaults: &[T],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, NoneSupported> {
    if asked.is_empty() {
        return Ok(defaults.to_vec());
    }
    let supported: Vec<T> = asked
        .iter()
        .filter(|name| !PLAINTEXT.contains(&name.as_str()))
        .filter_map(|name| parse(name))
        .collect();
    if supported.is_empty() {
        Err(NoneSupported {
            kind,
            names: asked.join(", "),
        })
    } else {
        Ok(supported)
    }
}

/// `Algorithm` also parses names that it does not know.
fn is_plain(algorithm: &Algorithm) -> bool {
    HOST_KEYS.contains(algorithm) || *algorithm == Algorithm::Rsa { hash: None }
}

#[cfg(test)]
mod tests {
    use russh::keys::HashAlg;

    use super::*;

    #[test]
    fn gcm_comes_first_on_a_processor_with_instructions_for_it() {
        assert_eq!(default_ciphers(true), CIPHERS);
        assert_eq!(CIPHERS.first(), Some(&cipher::AES_128_GCM));
    }

    #[test]
    fn chacha20_comes_first_on_other_processors_and_the_others_keep_their_order() {
        let expected = [
            cipher::CHACHA20_POLY1305,
            cipher::AES_128_GCM,
            cipher::AES_256_GCM,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ];
        assert_eq!(default_ciphers(false), expected);
    }

    #[test]
    fn the_default_ciphers_are_those_for_this_processor() {
        let offered = preferred(&Algorithms::default(), false, &KnownKeys::default()).unwrap();
        assert_eq!(
            offered.cipher.as_ref(),
            default_ciphers(processor_has_gcm())
        );
    }

    #[test]
    fn ciphers_of_the_configuration_stay_in_its_order_on_every_processor() {
        let [gcm, chacha20] = ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"];
        for names in [[gcm, chacha20], [chacha20, gcm]] {
            let asked = Algorithms {
                ciphers: names.map(String::from).to_vec(),
                ..Algorithms::default()
            };
            let offered = preferred(&asked, false, &KnownKeys::default()).unwrap();
            let offered: Vec<_> = offered.cipher.iter().map(AsRef::<str>::as_ref).collect();
            assert_eq!(offered, names);
        }
    }

    #[test]
    fn a_known_keys_algorithm_is_preferred() {
        let known = KnownKeys {
            algorithms: vec![Algorithm::Rsa { hash: None }],
            certificates: false,
        };
        let offered = preferred(&Algorithms::default(), false, &known).unwrap();
        assert!(offered.host_key_certificates.is_empty());
        assert_eq!(
            offered.key.first(),
            Some(&Algorithm::Rsa {
                hash: Some(HashAlg::Sha512)
            })
        );
    }

    #[test]
    fn certificates_are_asked_for_in_the_same_order_where_an_authority_is_known() {
        let known = KnownKeys {
            algorithms: vec![Algorithm::Rsa { hash: None }],
            certificates: true,
        };
        let offered = preferred(&Algorithms::default(), false, &known).unwrap();
        assert_eq!(offered.host_key_certificates, offered.key);
    }

    #[test]
    fn names_are_taken_in_the_order_asked_for_and_unknown_ones_left_out() {
        let names = ["aes256-ctr", "made-up", "aes128-ctr"]
            .map(String::from)
            .to_vec();
        let asked = Algorithms {
            ciphers: names,
            ..Algorithms::default()
        };
        let offered = preferred(&asked, false, &KnownKeys::default()).unwrap();
        assert_eq!(
            offered.cipher.as_ref(),
            [cipher::AES_256_CTR, cipher::AES_128_CTR]
        );
    }

    #[test]
    fn protection_cannot_be_switched_off() {
        let asked = Algorithms {
            ciphers: vec!["none".into(), "clear".into()],
            ..Algorithms::default()
        };
        assert!(preferred(&asked, false, &KnownKeys::default()).is_err());
    }

    #[test]
    fn nothing_supported_is_an_error_that_names_the_kind() {
        let asked = Algorithms {
            macs: vec!["made-up".into()],
            ..Algorithms::default()
        };
        assert_eq!(
            preferred(&asked, false, &KnownKeys::default()).unwrap_err(),
            NoneSupported {
                kind: "MAC",
                names: "made-up".into()
            }
        );
    }
}
