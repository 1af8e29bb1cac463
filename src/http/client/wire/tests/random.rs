//! Answers made at random, the same ones each time: valid ones, and what is nearly or not at all.

use super::*;
use crate::limits::HEADERS_MAX;

/// Xorshift: good enough to choose.
struct Dice(u64);

impl Dice {
    /// Less than `n`.
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len())]
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.roll(256) as u8).collect()
    }

    /// Most are short.
    fn len(&mut self) -> usize {
        let most = [1, 2, 100, 5_000, 40_000][self.roll(5)];
        self.roll(most)
    }
}

/// An answer, what is to come of it, and what its request was.
#[derive(Default)]
struct Sample {
    text: Vec<u8>,
    got: Got,
    is_head: bool,
    lasts: bool,
    to_the_end: bool,
}

fn sample(dice: &mut Dice) -> Sample {
    let mut sample = Sample {
        lasts: true,
        ..Sample::default()
    };
    let mut text = Vec::new();
    if dice.roll(4) == 0 {
        text.extend_from_slice(dice.one_of(&["\r\n", "\n", "\r\n\r\n"]).as_bytes());
    }
    for _ in 0..dice.roll(3) {
        sample.got.interim += 1;
        let interim = [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early\r\nlink: </a>\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 102 \nContent-Length: 5\n\n",
        ];
        text.extend_from_slice(dice.one_of(&interim).as_bytes());
    }
    sample.is_head = dice.roll(6) == 0;
    sample.got.status = [200, 204, 304, 404, 503, 999][dice.roll(6)];
    let line = dice.one_of(&["\r\n", "\n"]);
    text.extend(format!("HTTP/1.1 {} Reason{line}", sample.got.status).bytes());
    for i in 0..dice.roll(8) {
        text.extend(format!("X-{i}: {}{line}", "v".repeat(dice.len() % 90)).bytes());
    }
    if dice.roll(8) == 0 {
        sample.lasts = false;
        text.extend(format!("Connection: x, CLOSE{line}").bytes());
    }
    let has_body = !sample.is_head && !matches!(sample.got.status, 204 | 304);
    let len = dice.len();
    let body = dice.bytes(len);
    let behind = match dice.roll(5) {
        0 => {
            sample.to_the_end = has_body;
            body.clone()
        }
        1 | 2 => {
            text.extend(format!("Content-Length:{len}{line}").bytes());
            body.clone()
        }
        _ => {
            text.extend(format!("Transfer-Encoding: chunked{line}").bytes());
            chunks(
                dice,
                &body,
                if has_body {
                    Some(&mut sample.got)
                } else {
                    None
                },
            )
        }
    };
    text.extend(line.bytes());
    if has_body {
        text.extend(behind);
        sample.got.body = body;
    }
    sample.lasts &= !sample.to_the_end;
    sample.text = text;
    sample
}

/// `body` in chunks, with trailers.
fn chunks(dice: &mut Dice, mut body: &[u8], got: Option<&mut Got>) -> Vec<u8> {
    let extensions = ["", ";a", " ; a=\"b;c\"", "\t", ";", ";\u{e4}=1"];
    let mut text = Vec::new();
    while !body.is_empty() {
        let piece;
        (piece, body) = body.split_at((dice.len() + 1).min(body.len()));
        let size = match dice.roll(3) {
            0 => format!("{:x}", piece.len()),
            1 => format!("{:X}", piece.len()),
            _ => format!("{:08x}", piece.len()),
        };
        text.extend(format!("{size}{}\r\n", dice.one_of(&extensions)).bytes());
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    text.extend(format!("0{}\r\n", dice.one_of(&extensions)).bytes());
    let mut trailers = HeaderMap::new();
    for i in 0..dice.roll(3) * dice.roll(HEADERS_MAX / 2) {
        let name = http::HeaderName::try_from(format!("x-{}", i % 7)).unwrap();
        let value = http::HeaderValue::from(i);
        text.extend(format!("{name}: {i}\r\n").bytes());
        trailers.append(name, value);
    }
    text.extend_from_slice(b"\r\n");
    if let Some(got) = got {
        got.trailers = trailers;
    }
    text
}

fn way(dice: &mut Dice) -> Way {
    match dice.roll(2) {
        0 => Way::Pieces,
        _ => Way::Whole(UNLIMITED),
    }
}

fn cut(dice: &mut Dice) -> usize {
    // Few are read byte by byte, since each byte takes its time.
    [0, 0, 1 + dice.roll(20), 1 + dice.roll(300), dice.len()][dice.roll(5)]
}

fn begin(wire: &mut Wire<&Peer>, dice: &mut Dice, is_head: bool) -> Vec<u8> {
    wire.io.sent.borrow_mut().clear();
    let mut asked = b"POST / HTTP/1.1\r\n\r\n".to_vec();
    wire.request().extend_from_slice(&asked);
    let body = Bytes::from(vec![b'b'; dice.len()]);
    asked.extend_from_slice(&body);
    let body = match body.is_empty() {
        true => Body::Nothing,
        false => Body::Whole(body),
    };
    wire.begin(body, is_head, true);
    asked
}

#[test]
fn valid_answers_come_out_as_they_were_one_after_another() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut again = 0;
    for _ in 0..30 {
        let peer = Peer::default();
        let mut wire = wire(&peer);
        loop {
            peer.cut.set(0);
            let sample = sample(&mut dice);
            let asked = begin(&mut wire, &mut dice, sample.is_head);
            // A request that is not sent to its end would end the connection.
            run(&peer, |cx| wire.poll_up(cx)).unwrap().unwrap();
            peer.cut.set(cut(&mut dice));
            peer.ended.set(sample.to_the_end);
            peer.coming.borrow_mut().extend_from_slice(&sample.text);
            let got = answer(&mut wire, way(&mut dice));
            let shown = || sample.text.escape_ascii().to_string();
            let got = got.unwrap_or_else(|| panic!("it does not end: {}", shown()));
            let got = got.unwrap_or_else(|error| panic!("{error}: {}", shown()));
            assert!(got == sample.got, "{got:?} of {}", shown());
            assert!(wire.is_over() && peer.coming.borrow().is_empty());
            assert_eq!(*peer.sent.borrow(), asked);
            assert_eq!(wire.rest(), sample.lasts, "{}", shown());
            if !sample.lasts {
                break;
            }
            again += 1;
        }
    }
    assert!(again > 50, "{again}");
}

/// Whatever comes ends in an answer or in an error, and nothing of it is left unlooked at.
fn bear(dice: &mut Dice, text: &[u8], is_head: bool) -> bool {
    let peer = Peer::default();
    peer.cut.set(cut(dice));
    let mut wire = wire(&peer);
    begin(&mut wire, dice, is_head);
    peer.coming.borrow_mut().extend_from_slice(text);
    peer.ended.set(true);
    let got = answer(&mut wire, way(dice)).expect("the connection's end is an end");
    let is_good = got.is_ok();
    if is_good && wire.rest() {
        assert!(wire.input.is_empty());
    }
    is_good
}

#[test]
fn what_is_not_valid_ends_too() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut good = [0; 3];
    for _ in 0..200 {
        let Sample {
            mut text, is_head, ..
        } = sample(&mut dice);
        // Cut off, but for the last of them.
        let kept = text.len() - dice.roll(text.len());
        good[0] += usize::from(bear(&mut dice, &text[..kept], is_head));
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(text.len().min(300));
            let signs = b"\r\n\0 :;,0f9Hx\xff";
            text[at] = signs[dice.roll(signs.len())];
        }
        good[1] += usize::from(bear(&mut dice, &text, is_head));
        let len = dice.len();
        let noise = dice.bytes(len);
        let noise = [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            &noise,
        ]
        .concat();
        let from = [0, noise.len() - len][dice.roll(2)];
        good[2] += usize::from(bear(&mut dice, &noise[from..], false));
    }
    assert!(good[0] > 0 && good[1] > 0 && good[1] < 200, "{good:?}");
    assert_eq!(good[2], 0, "noise is no answer");
}
