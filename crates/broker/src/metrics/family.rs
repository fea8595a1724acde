//! The families of metrics: the name, the kind, the labels and the meaning of each, once.

use prometheus_client::metrics::MetricType;

/// What is fixed about a family.
#[derive(Debug)]
pub(super) struct Facts {
    /// The name, without the ending that the format gives to counters.
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Derives the families and their facts from one list.
macro_rules! families {
    ($( $family:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal; )*) => {
        /// A family of metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Family { $( $family, )* }

        impl Family {
            /// All families, in the order in which they are shown.
            pub(super) const ALL: &[Self] = &[$( Self::$family ),*];

            /// What is fixed about it.
            pub(super) fn facts(self) -> &'static Facts {
                match self { $(
                    Self::$family => &Facts {
                        name: $name,
                        kind: MetricType::$kind,
                        labels: &[$( $label ),*],
                        help: $help,
                    },
                )* }
            }
        }
    };
}

families! {
    TunnelState: Gauge "ssh_broker_tunnel_state" ["profile", "tunnel", "kind", "state"]
        "1 for the state that the listener of the tunnel has: listening, waiting for its profile, or failed.";
    TunnelFailing: Gauge "ssh_broker_tunnel_failing" ["profile", "tunnel"]
        "1 if a client was refused or cut, and the tunnel has not worked since.";
    SessionsOpen: Gauge "ssh_broker_sessions_open" ["profile", "tunnel"]
        "Clients that are served now.";
    SessionsLimit: Gauge "ssh_broker_sessions_limit" ["profile", "tunnel"]
        "Clients that the tunnel serves at most.";
    Sessions: Counter "ssh_broker_sessions" ["profile", "tunnel"]
        "Clients that were admitted to the tunnel.";
    SessionsRefused: Counter "ssh_broker_sessions_refused" ["profile", "tunnel", "reason"]
        "Clients that were not served, by reason.";
    TransfersRunning: Gauge "ssh_broker_transfers_running" ["profile", "tunnel"]
        "Transfers that run now.";
    Transfers: Counter "ssh_broker_transfers" ["profile", "tunnel", "direction", "result"]
        "Transfers that are over, by direction and result.";
    TransferSeconds: Histogram "ssh_broker_transfer_duration_seconds" ["profile", "tunnel", "direction"]
        "How long complete transfers took.";
    TransferredBytes: Counter "ssh_broker_transferred_bytes" ["profile", "tunnel", "direction"]
        "Bytes of files, listings and plain connections: up towards the server, down towards the client.";
    Cuts: Counter "ssh_broker_cuts" ["profile", "tunnel", "reason"]
        "Transfers, and connections of plain tunnels, that were cut, by reason.";
    RepliesCorrected: Counter "ssh_broker_replies_corrected" ["profile", "tunnel"]
        "Successes that the FTP server reported of transfers that were not whole: the client received a failure.";
    ProfileInfo: Gauge "ssh_broker_profile_info" ["profile", "name"]
        "The name of the profile; the value is 1.";
    SshConnections: Gauge "ssh_broker_ssh_connections" ["profile", "kind"]
        "SSH connections that are up.";
    SshAttempts: Counter "ssh_broker_ssh_connection_attempts" ["profile", "kind", "result"]
        "Attempts to connect to the SSH server: ok, or the reason of the failure.";
    SshAttemptSeconds: Histogram "ssh_broker_ssh_connection_attempt_duration_seconds" ["profile", "result"]
        "How long attempts to connect took, with the login and the prompts: ok or failed.";
    SshEnded: Counter "ssh_broker_ssh_connections_ended" ["profile", "kind", "end"]
        "SSH connections that were up and have ended: closed by the broker, or lost.";
    SshConnectedAt: Gauge "ssh_broker_ssh_last_connected_timestamp_seconds" ["profile"]
        "When an SSH connection last came up, in Unix seconds.";
    SshFailing: Gauge "ssh_broker_ssh_failing" ["profile"]
        "1 if the last attempt to connect to the SSH server has failed.";
    SshBackoffSeconds: Gauge "ssh_broker_ssh_backoff_seconds" ["profile"]
        "How long the broker leaves the SSH server alone after failures.";
    PromptsWaiting: Gauge "ssh_broker_prompts_waiting" []
        "Prompts that wait for an answer of a person.";
    HookRuns: Counter "ssh_broker_hook_runs" ["result"]
        "Hooks that are over: ok, failed, timeout, or not-run if the command cannot be run.";
    HookEventsDropped: Counter "ssh_broker_hook_events_dropped" []
        "Events for which no hook ran, since hooks were too slow.";
    EventsLost: Counter "ssh_broker_events_lost" []
        "Events that subscribers have lost, since they read too slowly or came back too late.";
    ConfigGeneration: Gauge "ssh_broker_config_generation" []
        "1 for the configuration of the start, and one more for each reload that was applied.";
    ConfigReloadSuccessful: Gauge "ssh_broker_config_last_reload_successful" []
        "1 if the last reload was applied, or there was none; 0 if it failed.";
    ConfigReloadedAt: Gauge "ssh_broker_config_last_reload_success_timestamp_seconds" []
        "When the configuration in use was applied, in Unix seconds.";
    Stopping: Gauge "ssh_broker_stopping" []
        "1 if the daemon only lets running transfers finish.";
    BuildInfo: Gauge "ssh_broker_build_info" ["version"]
        "The version of the daemon; the value is 1.";
    ProcessStartedAt: Gauge "process_start_time_seconds" []
        "When the daemon started, in Unix seconds.";
    ProcessCpuSeconds: Counter "process_cpu_seconds" []
        "Processor time that the daemon has used. Only on Linux.";
    ProcessResidentBytes: Gauge "process_resident_memory_bytes" []
        "Memory that the daemon occupies. Only on Linux.";
    ProcessOpenFds: Gauge "process_open_fds" []
        "File descriptors that the daemon has open. Only on Linux.";
    ProcessMaxFds: Gauge "process_max_fds" []
        "File descriptors that the daemon may have open.";
}
