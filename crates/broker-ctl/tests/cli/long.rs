//! What a daemon answers that has long names to show, and has met long errors.

use broker_ipc::types::{
    ChannelInfo, Connection, DaemonStatus, Failure, Profile, RecentFailure, Session, Transfer,
    TunnelListener,
};
use broker_ipc::{Party, Reason};

use crate::fake::a_day_ago;

const HOST: &str = "transfer-gateway-03.eu-central.example.com";
const INSIDE: &str = "ftp-internal-07.eu-central.example.com";
const USER: &str = "svc-transfer-production";
const CLIENT: &str = "[2001:db8:85a3::8a2e:370:7334]:50000";
const FILE: &str = "/srv/exports/2026/11/26/customer-nightly-upload-000000012345.csv.gz";
const ERROR: &str = "SSH server transfer-gateway-03.eu-central.example.com#2222 did not accept user svc-transfer-production: \
                     the server allows publickey,keyboard-interactive";

pub(crate) fn status(it: DaemonStatus) -> DaemonStatus {
    let recent = RecentFailure {
        tunnel: 1,
        listener: "127.0.0.1:2121".into(),
        failure: failure(it.started, false),
    };
    let over = RecentFailure {
        failure: failure(it.started, true),
        ..recent.clone()
    };
    DaemonStatus {
        failures: vec![over, recent],
        ..it
    }
}

fn failure(time: u64, recovered: bool) -> Failure {
    Failure {
        time,
        message: ERROR.into(),
        reason: Reason::Auth,
        by: Party::Ssh,
        count: 14,
        recovered,
    }
}

pub(crate) fn profile(it: Profile) -> Profile {
    Profile {
        name: Some("customer-nightly-uploads".into()),
        host: HOST.into(),
        user: Some(USER.into()),
        last_error: Some(ERROR.into()),
        ..it
    }
}

pub(crate) fn connection(it: Connection) -> Connection {
    Connection {
        target: format!("{HOST}#2222"),
        user: USER.into(),
        last_error: Some(ERROR.into()),
        ..it
    }
}

pub(crate) fn channel(it: ChannelInfo) -> ChannelInfo {
    ChannelInfo {
        command: it.command.map(|_| format!("RETR {FILE}")),
        client: CLIENT.into(),
        target: format!("{INSIDE}:40000"),
        ..it
    }
}

pub(crate) fn session(it: Session) -> Session {
    Session {
        profile: it.profile.map(|_| "id1".into()),
        client: CLIENT.into(),
        destination: format!("{INSIDE}:21"),
        ftp_user: it.ftp_user.map(|_| USER.into()),
        command: it.command.map(|_| format!("STOR {FILE}")),
        ..it
    }
}

pub(crate) fn transfer(it: Transfer) -> Transfer {
    Transfer {
        profile: "id1".into(),
        client: CLIENT.into(),
        ftp_user: Some(USER.into()),
        path: Some(FILE.into()),
        ..it
    }
}

pub(crate) fn listener(it: TunnelListener) -> TunnelListener {
    TunnelListener {
        address: "2001:db8:85a3::8a2e:370:7334".into(),
        dst_host: INSIDE.into(),
        target: format!("{USER}@{HOST}#2222"),
        reason: it
            .reason
            .or_else(|| Some(format!("{ERROR}; next try in 4 s"))),
        last_failure: Some(failure(a_day_ago(), it.last_failure.is_some())),
        ..it
    }
}
