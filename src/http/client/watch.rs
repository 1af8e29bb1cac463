//! A started call's eye on its peer's pauses.

use crate::socket::stream::{ClientStream, Expired, Patience};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

/// `f`, which waits for the peer of `stream`; ended when the peer rests for longer than `patience` has it.
pub async fn watch<T>(
    stream: &ClientStream,
    patience: Patience,
    f: impl Future<Output = T>,
) -> Result<T, Expired> {
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
        if now != moved {
            moved = now;
            since = Instant::now();
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
