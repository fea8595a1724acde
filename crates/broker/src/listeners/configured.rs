//! The tunnels of a configuration, each with what its profile says about it.

use broker_config::{Config, ListenWhen, Profile, TunnelSpec};
use broker_ipc::types::TunnelOrigin;

/// A tunnel as a configuration asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configured {
    /// The profile's id.
    pub(crate) profile: String,
    /// When it listens.
    pub(crate) when: ListenWhen,
    /// The element that configures it.
    pub(crate) origin: TunnelOrigin,
    /// Everything else.
    pub(crate) spec: TunnelSpec,
}

impl Configured {
    /// All tunnels of a configuration.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        let of_profiles = config.profiles.iter().flat_map(|profile| {
            let tunnels = profile.tunnels.iter();
            tunnels.map(move |spec| Self::new(profile, spec, TunnelOrigin::File))
        });
        let of_file = config.static_tunnels.iter().filter_map(|it| {
            let profile = config.profile_by_id(&it.profile)?;
            Some(Self::new(profile, &it.tunnel, TunnelOrigin::Static))
        });
        of_profiles.chain(of_file).collect()
    }

    /// A tunnel of this profile.
    pub(super) fn new(profile: &Profile, spec: &TunnelSpec, origin: TunnelOrigin) -> Self {
        Self {
            profile: profile.id.clone(),
            when: match origin {
                TunnelOrigin::File => profile.listen,
                TunnelOrigin::Static | TunnelOrigin::Command => ListenWhen::Startup,
            },
            origin,
            spec: spec.clone(),
        }
    }

    /// Whether it leads from the same side to the same destination as another tunnel. Then they differ in where they listen,
    /// or in options.
    pub(super) fn leads_as(&self, other: &Self) -> bool {
        let way = |it: &Self| {
            let spec = &it.spec;
            let destination = (spec.dst_host.clone(), spec.dst_port);
            (it.profile.clone(), spec.listens, destination)
        };
        way(self) == way(other)
    }
}
