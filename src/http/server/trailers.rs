//! Trailers of a request, and those of an answer.

use super::exchange::Exchange;
use crate::error::Result;
use crate::http::trailers;
use http::HeaderMap;

impl Exchange {
    /// The trailers of the request, once its body was read to the end.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.get().map(|trailers| &**trailers)
    }

    /// Adds a trailer to the answer that is being written.
    pub fn add_trailer(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.check()?;
        let (name, value) = trailers::parse(name, value)?;
        let is_old = self.head().version() == 10;
        self.state().writing()?.add_trailer(name, value, is_old)
    }
}
