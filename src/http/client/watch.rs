//! A started call's eye on its peer's pauses.

use super::call::Call;
use super::state::Times;
use crate::socket::stream::{ClientStream, Expired};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

/// `f`, which waits for the peer of `stream`; ended when the peer rests for longer than `patience` has it.
pub async fn watch<T>(
    stream: &ClientStream,
    times: Times,
    call: &Call,
    f: impl Future<Output = T>,
) -> Result<T, Expired> {
    let patience = times.patience;
    // Whether the next move is the program's: its pauses do not count.
    let rests: Option<Arc<_>> = times.extras.then(|| call.rests());
    let mut f = pin!(f);
    let silence = stream.received();
    let mut moved = silence + stream.sent();
    let mut since = Instant::now();
    let mut sleep = pin!(tokio::time::sleep_until(since.into()));
    poll_fn(|cx| {
        if let Poll::Ready(result) = f.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let now = stream.received() + stream.sent();
        let is_ours = rests.as_ref().is_some_and(|r| r.load(Ordering::Relaxed));
        if now != moved || is_ours {
            moved = now;
            since = Instant::now();
        }
        if is_ours {
            return Poll::Pending;
        }
        let silent = stream.received() == silence && !stream.is_blocked();
        let Some((until, why)) = patience.until(since, silent) else {
            return Poll::Pending;
        };
        if until <= Instant::now() {
            return Poll::Ready(Err(why));
        }
        sleep.as_mut().reset(until.into());
        // It was just set to a moment to come: this registers the wake.
        sleep.as_mut().poll(cx).map(|()| Err(why))
    })
    .await
}
