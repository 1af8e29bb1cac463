//! An answer out of a file.

use super::answer::Payload;
use super::conditions::{self, Validators, Wanted};
use super::exchange::Exchange;
use crate::error::{Error, Operation, Result};
use crate::http::headers;
use crate::limits::FILE_PIECE;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A part of a file, read as it is sent.
pub struct Part {
    file: OwnedFd,
    range: Range<u64>,
}

impl Part {
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where the rest begins.
    pub fn at(&self) -> u64 {
        self.range.start
    }

    /// So much of it was sent.
    pub fn skip(&mut self, n: usize) {
        self.range.start += n as u64;
    }

    /// The next piece; `None` at the end. A file that became shorter is an error.
    pub fn read(&mut self) -> rustix::io::Result<Option<Bytes>> {
        let wanted = self.len().min(FILE_PIECE as u64) as usize;
        if wanted == 0 {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(wanted);
        loop {
            match rustix::io::pread(&self.file, spare_capacity(&mut piece), self.range.start) {
                Ok(0) => return Err(Errno::NODATA),
                Err(Errno::INTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error),
            }
        }
        piece.truncate(wanted);
        self.range.start += piece.len() as u64;
        Ok(Some(Bytes::from(piece)))
    }
}

/// What is known of a file before it is sent.
struct Known {
    len: u64,
    etag: HeaderValue,
    /// In whole seconds, and never in the future.
    modified: Option<SystemTime>,
}

impl Known {
    fn new(stat: &Stat, now: SystemTime) -> Known {
        let nanoseconds =
            i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        let (inode, len) = (stat.st_ino, stat.st_size.max(0) as u64);
        let etag = format!("\"{inode:x}-{len:x}-{nanoseconds:x}\"");
        let modified = u64::try_from(stat.st_mtime).ok();
        let modified = modified.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        Known {
            len,
            etag: HeaderValue::try_from(etag).expect("digits and dashes"),
            modified: modified.filter(|modified| *modified <= now),
        }
    }

    /// The user's own validators are as good.
    fn take(&mut self, headers: &HeaderMap) {
        if let Some(etag) = headers.get(ETAG) {
            self.etag = etag.clone();
        }
        if let Some(modified) = headers.get(LAST_MODIFIED) {
            let text = modified.to_str().unwrap_or_default();
            self.modified = httpdate::parse_http_date(text).ok();
        }
    }

    fn put(&self, headers: &mut HeaderMap) {
        headers.insert(ETAG, self.etag.clone());
        if let Some(modified) = self.modified {
            let text = httpdate::fmt_http_date(modified);
            headers.insert(
                LAST_MODIFIED,
                HeaderValue::try_from(text).expect("a date is text"),
            );
        }
    }
}

/// What goes out.
struct Plan {
    status: StatusCode,
    /// Of the file; else `text` is the body.
    range: Option<Range<u64>>,
    text: &'static str,
    content_range: Option<String>,
}

impl Plan {
    fn new(wanted: Wanted, len: u64) -> Plan {
        let of_file = |status, range, content_range| Plan {
            status,
            range: Some(range),
            text: "",
            content_range,
        };
        let of_text = |status, text, content_range| Plan {
            status,
            range: None,
            text,
            content_range,
        };
        match wanted {
            Wanted::Whole => of_file(StatusCode::OK, 0..len, None),
            Wanted::Part(part) => {
                let range = format!("bytes {}-{}/{len}", part.start, part.end - 1);
                of_file(StatusCode::PARTIAL_CONTENT, part, Some(range))
            }
            Wanted::NotModified => of_text(StatusCode::NOT_MODIFIED, "", None),
            Wanted::PreconditionFailed => {
                let text = "412 it is not what the request wants it to be\n";
                of_text(StatusCode::PRECONDITION_FAILED, text, None)
            }
            Wanted::Unsatisfiable => {
                let text = "416 there are no such bytes\n";
                let range = format!("bytes */{len}");
                of_text(StatusCode::RANGE_NOT_SATISFIABLE, text, Some(range))
            }
        }
    }
}

impl Exchange {
    /// Answers with the content of a regular file, or with the part that the request asks for.
    pub fn send_file(
        self: &Arc<Self>,
        file: BorrowedFd<'_>,
        content_type: Option<&[u8]>,
    ) -> Result<()> {
        self.check()?;
        let content_type = content_type.map(headers::content_type).transpose()?;
        let stat = check_file(file)?;
        let file = rustix::io::fcntl_dupfd_cloexec(file, 0)
            .map_err(|e| Error::system(Operation::Send, "cannot copy the descriptor", &e.into()))?;
        let now = SystemTime::now();
        let mut known = Known::new(&stat, now);
        known.take(&self.state().headers);
        let plan = Plan::new(self.wanted_of(&known, now), known.len);
        let prepare = |headers: &mut HeaderMap| {
            known.put(headers);
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            let plain = HeaderValue::from_static("text/plain");
            let content_type = if plan.range.is_some() {
                content_type
            } else {
                (!plan.text.is_empty()).then_some(plain)
            };
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type);
            }
            if let Some(range) = &plan.content_range {
                let range = HeaderValue::try_from(range.as_str()).expect("digits");
                headers.insert(CONTENT_RANGE, range);
            }
        };
        self.seal_with(plan.status, prepare, |_| match plan.range.clone() {
            Some(range) => Payload::File(Box::new(Part { file, range })),
            None => Payload::Whole(Bytes::from_static(plan.text.as_bytes())),
        })
    }

    fn wanted_of(&self, known: &Known, now: SystemTime) -> Wanted {
        let method = self.head().method();
        if !matches!(method, "GET" | "HEAD") {
            return Wanted::Whole;
        }
        let validators = Validators {
            etag: known.etag.as_bytes(),
            modified: known.modified,
        };
        let headers = self.head().headers();
        conditions::evaluate(headers, method == "GET", validators, known.len, now)
    }
}

/// A regular file that can be read.
fn check_file(file: BorrowedFd<'_>) -> Result<Stat> {
    let unusable = |e: Errno| Error::argument(format!("fd: {}", std::io::Error::from(e)));
    let stat = rustix::fs::fstat(file.as_fd()).map_err(unusable)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::argument("fd is not a regular file"));
    }
    let flags = rustix::fs::fcntl_getfl(file).map_err(unusable)?;
    if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == OFlags::WRONLY {
        return Err(Error::argument("fd is not open for reading"));
    }
    Ok(stat)
}
