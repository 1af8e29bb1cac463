//! Exit on idle: a server that a service manager starts when it is needed ends when it no longer is.

use super::Server;
use std::sync::atomic::Ordering;

/// Returns when the server has had no connection for as long as its config allows.
pub async fn idle(server: &Server) {
    let unused = || server.connections.load(Ordering::Acquire) == 0;
    loop {
        let Some(limit) = server.config().exit_idle else {
            server.changes.reloaded.notified().await;
            continue;
        };
        server.until(|_| unused().then_some(())).await;
        let undisturbed = tokio::time::timeout(limit, server.changed()).await.is_err();
        if undisturbed && unused() {
            return;
        }
    }
}
