//! `status --all`: every daemon of this host that this user may control.

use broker_ipc::methods::Status;
use broker_ipc::printed::DaemonInstance;
use broker_ipc::{Client, ClientError, Patience, usual_sockets};
use futures::future::join_all;
use std::path::PathBuf;

use crate::output::Output;
use crate::table::{Cell, Column, Row, Table};
use crate::users;

/// Lists them.
pub(crate) async fn list(patience: Patience, output: &Output) -> anyhow::Result<()> {
    let asked = usual_sockets()
        .into_iter()
        .map(|socket| instance(socket, patience));
    let instances: Vec<DaemonInstance> = join_all(asked).await.into_iter().flatten().collect();
    output.answer(&instances, &table(&instances))
}

/// The daemon behind a socket. `None` if there is none, or none that this user may control.
async fn instance(socket: PathBuf, patience: Patience) -> Option<DaemonInstance> {
    let client = match Client::connect(&socket, patience).await {
        Ok(client) => client,
        Err(error) => return unanswered(socket, &error),
    };
    let uid = client.server_uid();
    let hello = client.server();
    let (pid, version) = (Some(hello.pid), Some(hello.build.clone()));
    let state = match client.call(&Status {}).await {
        Ok(status) => status.state().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(DaemonInstance {
        pid,
        uid,
        user: uid.and_then(users::name),
        socket,
        version,
        state,
    })
}

fn unanswered(socket: PathBuf, error: &ClientError) -> Option<DaemonInstance> {
    match error {
        ClientError::NotRunning { .. }
        | ClientError::Connect { .. }
        | ClientError::Untrusted { .. }
        | ClientError::NotStarted { .. }
        | ClientError::Path(_) => None,
        ClientError::Vanished { .. }
        | ClientError::TimedOut { .. }
        | ClientError::BadAnswer { .. }
        | ClientError::Failed(_) => Some(DaemonInstance {
            pid: None,
            uid: None,
            user: None,
            socket,
            version: None,
            state: error.to_string(),
        }),
    }
}

fn table(instances: &[DaemonInstance]) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("PROCESS"),
        Column::new("USER").goes(1).shortens(8),
        Column::new("SOCKET").shortens(16),
        Column::new("VERSION").goes(2),
        Column::new("STATE").shortens(10),
    ];
    let row = |it: &DaemonInstance| {
        let user = it.user.clone().or(it.uid.map(|uid| uid.to_string()));
        Row::from(vec![
            Cell::maybe_number(it.pid.map(u64::from)),
            Cell::maybe(user),
            Cell::text(it.socket.display()),
            Cell::maybe(it.version.as_ref()),
            Cell::text(&it.state).alert_if(it.pid.is_none()),
        ])
    };
    Table::List {
        columns: COLUMNS,
        rows: instances.iter().map(row).collect(),
        nothing: "No daemons",
    }
}
