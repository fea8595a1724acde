//! Which private keys are tried, and in which order

use std::path::{Path, PathBuf};

use broker_settings::Identity;
use russh::keys::agent::AgentIdentity;

use super::error::AuthError;
use super::identity_file::{self, IdentityFile};
use super::key_places::{files, find};
use super::keyfile::public_half;
use super::public_hash::has_hash;
use crate::spec::ConnectSpec;

/// Servers allow six attempts by default (OpenSSH's MaxAuthTries). Keys that the profile does not name must not use them
/// all up, unless nothing else can be tried.
const MAX_UNNAMED: usize = 5;

/// A private key that can be tried.
pub(super) enum Candidate {
    Agent(Box<AgentIdentity>),
    File(PathBuf),
}

/// All that can be tried.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) keys: Vec<Candidate>,
    /// Keys that the profile names and that were not found.
    pub(super) missing: Vec<AuthError>,
    /// One more key, for the case that nothing else is left to try.
    pub(super) last: Option<Candidate>,
    /// How many more keys there are.
    pub(super) left_out: usize,
}

/// The keys that the profile names, in its order. If it names none: those of the agent, then those in the usual places.
pub(super) async fn candidates(spec: &ConnectSpec, held: &[AgentIdentity]) -> Candidates {
    if spec.identities.is_empty() {
        return unnamed(spec, held).await;
    }
    let mut found = Candidates::default();
    for identity in &spec.identities {
        match identity {
            Identity::File(path) => found.keys.extend(by_file(path, held).await),
            Identity::Hash(hash) => match by_hash(spec, held, hash).await {
                keys if keys.is_empty() => found
                    .missing
                    .push(AuthError::KeyMissing { hash: hash.clone() }),
                keys => found.keys.extend(keys),
            },
        }
    }
    found
}

async fn unnamed(spec: &ConnectSpec, held: &[AgentIdentity]) -> Candidates {
    let mut keys = agent_keys(held, |_| true);
    let stored = files(&spec.key_places).await;
    keys.extend(stored.into_iter().map(Candidate::File));
    let mut more = keys.split_off(keys.len().min(MAX_UNNAMED)).into_iter();
    Candidates {
        keys,
        last: more.next(),
        left_out: more.len(),
        missing: Vec::new(),
    }
}

/// The keys that a file names. For a public half: the private file if it exists, otherwise the agent's key and its
/// certificates.
async fn by_file(path: &Path, held: &[AgentIdentity]) -> Vec<Candidate> {
    match identity_file::read(path).await {
        IdentityFile::Private(path) => vec![Candidate::File(path)],
        IdentityFile::List(keys) => keys.into_iter().map(Candidate::File).collect(),
        IdentityFile::Public { key, private } => {
            let in_agent = |it: &&AgentIdentity| it.public_key().key_data() == key.key_data();
            let agent = agent_keys(held, in_agent);
            if agent.is_empty() || private.is_file() && private != path {
                vec![Candidate::File(private)]
            } else {
                agent
            }
        }
    }
}

fn agent_keys(
    held: &[AgentIdentity],
    is_wanted: impl FnMut(&&AgentIdentity) -> bool,
) -> Vec<Candidate> {
    let wanted = held.iter().filter(is_wanted).cloned();
    wanted.map(|it| Candidate::Agent(Box::new(it))).collect()
}

/// The agent's key with this hash and its certificates. If the agent has none: the first key file with this hash.
async fn by_hash(spec: &ConnectSpec, held: &[AgentIdentity], hash: &str) -> Vec<Candidate> {
    let agent = agent_keys(held, |it| has_hash(&it.public_key(), hash));
    if !agent.is_empty() {
        return agent;
    }
    for file in find(&spec.key_places).await {
        if public_half(&file)
            .await
            .is_some_and(|key| has_hash(&key, hash))
        {
            return vec![Candidate::File(file)];
        }
    }
    Vec::new()
}
