//! Another protocol on a call's connection: after the answer's head the program has the descriptor itself.

use super::call::Call;
use super::state::Stage;
use super::wire::Head;
use crate::error::{Error, Operation, Result};
use crate::http::headers;
use bytes::Bytes;
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, StatusCode};
use rustix::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Whether a call's answer may give its connection away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// A 2xx without a length of its own, as Docker has it.
    Hijack,
    /// A 101, or the same.
    Protocol,
}

/// What a call that asks for another protocol has of it.
pub struct Switch {
    wish: Wish,
    /// Until it is taken.
    socket: Option<Arc<OwnedFd>>,
    /// What came behind the head; C looks at it for as long as there is the call.
    early: Bytes,
    has_switched: bool,
}

impl Wish {
    /// What the answer does: `Some` when the connection is no longer HTTP's.
    pub fn is_granted(self, head: &Head, length: Option<u64>) -> bool {
        match self {
            Wish::Nothing => false,
            Wish::Protocol if head.status == StatusCode::SWITCHING_PROTOCOLS => true,
            Wish::Protocol | Wish::Hijack => {
                head.status.is_success()
                    && length.is_none()
                    && !head.headers.contains_key(TRANSFER_ENCODING)
            }
        }
    }

    /// Whether a 101 is no answer to what was asked.
    pub fn is_exceeded(self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS && self != Wish::Protocol
    }
}

impl Call {
    /// The connection is wanted: asks for `protocol`, or for none by name.
    pub fn set_upgrade(&self, protocol: Option<&[u8]>) -> Result<()> {
        self.set(|state| {
            let headers = &mut state.request.headers;
            let wish = match protocol {
                None => Wish::Hijack,
                Some(protocol) => {
                    let value = headers::value(&UPGRADE, protocol)?;
                    if protocol.is_empty() {
                        return Err(Error::argument("the protocol is empty: give its name"));
                    }
                    headers.insert(UPGRADE, value);
                    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                    Wish::Protocol
                }
            };
            state.switch = Some(Box::new(Switch {
                wish,
                socket: None,
                early: Bytes::new(),
                has_switched: false,
            }));
            Ok(())
        })
    }

    /// The server has switched: the connection and what came of the other protocol already.
    pub(super) fn switch(&self, socket: Arc<OwnedFd>, early: Bytes) {
        let mut state = self.state();
        if let Some(streams) = &mut state.streams {
            let what = "the connection is no longer HTTP's: hysock_call_take_fd() gives it";
            streams.reading.fail(Error::state(what));
        }
        if let Some(switch) = &mut state.switch {
            switch.socket = Some(socket);
            switch.early = early;
            switch.has_switched = true;
        }
    }

    /// The connection, once, and what had come behind the answer's head.
    pub fn take_fd(&self) -> Result<(OwnedFd, Bytes)> {
        self.check()?;
        let http_status = self.http_status();
        let mut state = self.state();
        let is_done = matches!(state.stage, Stage::Done(_));
        let Some(switch) = &mut state.switch else {
            return Err(Error::state(
                "the call has not asked for its connection: hysock_call_set_upgrade() does, before it begins",
            ));
        };
        if !switch.has_switched {
            return Err(Error::state(match (http_status, is_done) {
                (0, false) => "the call has no answer yet".into(),
                (0, true) => "the call has ended without an answer".into(),
                _ => format!("the server goes on with HTTP: its answer is {http_status}"),
            }));
        }
        let Some(socket) = switch.socket.take() else {
            return Err(Error::state("the connection was taken already"));
        };
        let fd = Arc::try_unwrap(socket).or_else(|socket| {
            socket.try_clone().inspect_err(|_| {
                switch.socket = Some(socket);
            })
        });
        let fd = fd.map_err(|error| {
            let what = "the connection's descriptor cannot be copied";
            Error::system(Operation::Receive, what, &error)
        })?;
        Ok((fd, switch.early.clone()))
    }
}

impl Switch {
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// Nobody takes the connection any more. A copy of it in a forked child must not keep it open.
    pub fn give_up(&mut self) {
        if let Some(socket) = self.socket.take() {
            rustix::net::shutdown(&*socket, Shutdown::Both).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Version};

    fn head(status: u16, header: &'static str) -> Head {
        Head {
            status: StatusCode::from_u16(status).unwrap(),
            version: Version::HTTP_11,
            headers: HeaderMap::from_iter([(
                header.parse().unwrap(),
                HeaderValue::from_static("x"),
            )]),
        }
    }

    #[test]
    fn a_101_and_an_answer_without_a_length_switch_for_those_who_asked() {
        let granted = |wish: Wish, status, header, length| {
            let head = head(status, header);
            (
                wish.is_granted(&head, length),
                wish.is_exceeded(head.status),
            )
        };
        assert_eq!(
            granted(Wish::Protocol, 101, "upgrade", Some(0)),
            (true, false)
        );
        assert_eq!(
            granted(Wish::Hijack, 101, "upgrade", Some(0)),
            (false, true)
        );
        assert_eq!(
            granted(Wish::Nothing, 101, "upgrade", Some(0)),
            (false, true)
        );
        for wish in [Wish::Protocol, Wish::Hijack] {
            assert_eq!(granted(wish, 200, "server", None), (true, false));
            assert_eq!(granted(wish, 200, "server", Some(0)), (false, false));
            assert_eq!(
                granted(wish, 200, "transfer-encoding", None),
                (false, false)
            );
            assert_eq!(granted(wish, 400, "server", None), (false, false));
        }
        assert_eq!(granted(Wish::Nothing, 200, "server", None), (false, false));
    }
}
