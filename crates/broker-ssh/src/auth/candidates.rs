//! Which private keys are tried, and in which order

use std::path::PathBuf;

use broker_settings::Identity;
use russh::keys::agent::AgentIdentity;

use super::error::AuthError;
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
            Identity::File(path) => found.keys.push(Candidate::File(path.clone())),
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
    let agent = held
        .iter()
        .cloned()
        .map(|identity| Candidate::Agent(Box::new(identity)));
    let stored = files(&spec.key_places).await;
    let mut keys: Vec<_> = agent
        .chain(stored.into_iter().map(Candidate::File))
        .collect();
    let mut more = keys.split_off(keys.len().min(MAX_UNNAMED)).into_iter();
    Candidates {
        keys,
        last: more.next(),
        left_out: more.len(),
        missing: Vec::new(),
    }
}

/// The agent's key with this hash and its certificates. If the agent has none: the first key file with this hash.
async fn by_hash(spec: &ConnectSpec, held: &[AgentIdentity], hash: &str) -> Vec<Candidate> {
    let wanted = |identity: &&AgentIdentity| has_hash(&identity.public_key(), hash);
    let agent: Vec<_> = held
        .iter()
        .filter(wanted)
        .cloned()
        .map(|identity| Candidate::Agent(Box::new(identity)))
        .collect();
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
