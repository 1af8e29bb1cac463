//! Notices when somebody takes a listener's file away or puts another in its place: from then on new
//! clients do not get here, and nothing else would say so.

use super::{Listener, Lost};
use crate::limits::FILE_WATCH;
use std::sync::Arc;

/// Looks at each file now and then, until all are lost or handed over; `report` is told what became of one.
pub async fn watch(listeners: Vec<Arc<Listener>>, report: impl Fn(&Listener, String)) {
    let mut watched: Vec<_> = listeners.into_iter().filter(|l| l.has_file()).collect();
    while !watched.is_empty() {
        watched.retain(|listener| match listener.lost() {
            Some(lost) => {
                report(listener, describe(listener, lost));
                false
            }
            None => !listener.is_handed_over(),
        });
        tokio::time::sleep(FILE_WATCH).await;
    }
}

fn describe(listener: &Listener, lost: Lost) -> String {
    let what = match lost {
        Lost::Removed => "was removed: no new client can connect",
        Lost::Replaced => "was replaced: new clients reach somebody else",
    };
    let path = listener.address().display();
    format!("{path}: the socket file {what}; connections that are open go on")
}
