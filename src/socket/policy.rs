//! Who may come in: rules over what the kernel says about a peer.

use super::peer::{Known, Record};
use crate::error::{Error, Result};

/// Somebody who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Uid(u32),
    /// The primary group, or a supplementary one.
    Gid(u32),
    /// Whoever has the effective uid that this process has at that moment.
    Own,
    Root,
}

impl Rule {
    pub fn uid(id: u32) -> Result<Rule> {
        check_id("uid", id).map(Rule::Uid)
    }

    pub fn gid(id: u32) -> Result<Rule> {
        check_id("gid", id).map(Rule::Gid)
    }

    fn admits(self, peer: &Record) -> bool {
        let Ok(Known::Known(known)) = peer.peer() else {
            return false;
        };
        match self {
            Rule::Uid(uid) => known.uid == uid,
            Rule::Root => known.uid == 0,
            Rule::Own => known.uid == rustix::process::geteuid().as_raw(),
            Rule::Gid(gid) => {
                let supplementary =
                    || matches!(peer.groups(), Ok(Known::Known(groups)) if groups.contains(&gid));
                known.gid == gid || supplementary()
            }
        }
    }
}

/// The kernel's word for "no id".
fn check_id(what: &str, id: u32) -> Result<u32> {
    if id == u32::MAX {
        return Err(Error::argument(format!("{id} is nobody's {what}")));
    }
    Ok(id)
}

/// Rules: nobody is refused as long as there is none, then everybody whom none admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    rules: Vec<Rule>,
}

impl Allow {
    pub fn add(&mut self, rule: Rule) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A peer that the kernel does not know, or will not tell, is refused.
    #[inline]
    pub fn admits(&self, peer: &Record) -> bool {
        self.is_empty() || self.names(peer)
    }

    #[inline(never)]
    fn names(&self, peer: &Record) -> bool {
        self.rules.iter().any(|rule| rule.admits(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::sync::Arc;

    fn own() -> (Arc<OwnedFd>, Record) {
        let (one, _) = UnixStream::pair().unwrap();
        let socket = Arc::new(OwnedFd::from(one));
        let record = Record::new(&socket);
        (socket, record)
    }

    fn allow(rules: &[Rule]) -> Allow {
        let mut allow = Allow::default();
        rules.iter().for_each(|&rule| allow.add(rule));
        allow
    }

    #[test]
    fn without_rules_everybody_passes_and_with_one_only_whom_it_names() {
        let (_socket, me) = own();
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        assert!(allow(&[]).admits(&me));
        assert!(allow(&[Rule::Own]).admits(&me));
        assert!(allow(&[Rule::Uid(uid)]).admits(&me));
        assert!(allow(&[Rule::Gid(gid)]).admits(&me));
        assert!(!allow(&[Rule::Uid(uid + 1)]).admits(&me));
        assert!(!allow(&[Rule::Gid(0xfff_fff0)]).admits(&me));
        assert!(allow(&[Rule::Uid(uid + 1), Rule::Own]).admits(&me));
        assert_eq!(allow(&[Rule::Root]).admits(&me), uid == 0);
        for group in rustix::process::getgroups().unwrap() {
            assert!(allow(&[Rule::Gid(group.as_raw())]).admits(&me));
        }
    }

    #[test]
    fn who_is_not_known_is_refused() {
        let lonely = Arc::new(OwnedFd::from(UnixDatagram::unbound().unwrap()));
        let file = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let (socket, gone) = own();
        drop(socket);
        for nobody in [Record::new(&lonely), Record::new(&file), gone] {
            assert!(allow(&[]).admits(&nobody));
            for rule in [Rule::Own, Rule::Root, Rule::Uid(0), Rule::Gid(0)] {
                assert!(!allow(&[rule]).admits(&nobody), "{rule:?}");
            }
        }
    }

    #[test]
    fn a_rule_twice_is_one_and_no_id_is_no_rule() {
        assert_eq!(allow(&[Rule::Root, Rule::Root]), allow(&[Rule::Root]));
        assert!(Rule::uid(0).is_ok() && Rule::gid(7).is_ok());
        assert!(Rule::uid(u32::MAX).is_err() && Rule::gid(u32::MAX).is_err());
    }
}
