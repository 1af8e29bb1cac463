//! Notices when somebody takes a listener's file away or puts another in its place: from then on new
//! clients do not get here, and nothing else would say so.

use super::Server;
use crate::limits::FILE_WATCH;
use crate::runtime::Level;
use crate::socket::listener::{Listener, Lost};
use std::sync::Arc;

/// Looks at each file now and then, until all are lost.
pub async fn watch(server: &Server, listeners: Vec<Arc<Listener>>) {
    let mut watched: Vec<_> = listeners.into_iter().filter(|l| l.has_file()).collect();
    while !watched.is_empty() {
        watched.retain(|listener| match listener.lost() {
            Some(lost) => {
                report(server, listener, lost);
                false
            }
            None => !listener.is_handed_over(),
        });
        tokio::time::sleep(FILE_WATCH).await;
    }
    std::future::pending().await
}

fn report(server: &Server, listener: &Listener, lost: Lost) {
    server.stats.listeners_lost.add(1);
    let what = match lost {
        Lost::Removed => "was removed: no new client can connect",
        Lost::Replaced => "was replaced: new clients reach somebody else",
    };
    server.runtime.log().write(Level::Warn, || {
        let path = listener.address().display();
        format!("{path}: the socket file {what}; connections that are open go on")
    });
}
