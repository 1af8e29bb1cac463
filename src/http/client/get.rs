//! A GET by itself.

use super::{Call, Client, Config};
use crate::error::Result;
use crate::socket::address::Address;
use std::sync::Arc;
use std::time::Duration;

/// One GET of a URL that holds socket and target, on this thread; the answer stands in the call.
pub fn get(url: &[u8]) -> Result<Arc<Call>> {
    let (address, target) = Address::parse_url(url)?;
    let client = Client::new(None, &address, &Config::default())?;
    let target = target.as_deref().unwrap_or(b"/");
    let outcome = Call::new(&client, b"GET", target).and_then(|call| call.perform().map(|()| call));
    // Its connection has no further use.
    client.shutdown(Some(Duration::ZERO))?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn what_is_wrong_with_a_url_is_said_before_anything_is_sent() {
        let refused = |url: &str| get(url.as_bytes()).err().unwrap();
        assert_eq!(refused("http://localhost/").status, Status::InvalidArgument);
        let error = refused("http+unix://%2Fx/a%20b c");
        assert_eq!(error.status, Status::InvalidArgument);
        assert!(error.message.contains("%XX"), "{error}");
        assert_eq!(refused("/nowhere/at/all").status, Status::Absent);
    }
}
