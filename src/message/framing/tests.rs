use super::*;

#[derive(Default, Debug, PartialEq)]
struct Found {
    messages: Vec<Vec<u8>>,
    skipped: usize,
}

impl Sink for Found {
    fn slice(&mut self, payload: &[u8], _: usize) {
        self.messages.push(payload.to_vec());
    }
    fn owned(&mut self, payload: Vec<u8>, _: usize) {
        self.messages.push(payload);
    }
    fn sealed(&mut self, len: usize) {
        self.messages.push(format!("sealed {len}").into_bytes());
    }
    fn skipped(&mut self) {
        self.skipped += 1;
    }
}

fn encode(framing: Framing, messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend(framing.header(message.len()).into_iter().flatten());
        bytes.extend_from_slice(message);
        bytes.extend(framing.trailer());
    }
    bytes
}

#[test]
fn every_cut_gives_the_same_messages() {
    let long = vec![b'x'; 300];
    let messages: [&[u8]; 5] = [b"one", b"", b"three", &long, b"5"];
    for framing in [
        Framing::U32Be,
        Framing::U32Le,
        Framing::Delimiter(b'\n'),
        Framing::Delimiter(0),
    ] {
        let bytes = encode(framing, &messages);
        for cut in 0..=bytes.len() {
            for step in [1, 3, bytes.len()] {
                let mut decoder = Decoder::new(framing, 300, false);
                let mut found = Found::default();
                for piece in bytes[..cut].chunks(step).chain(bytes[cut..].chunks(step)) {
                    decoder.feed(piece, &mut found).unwrap();
                }
                assert_eq!(
                    found.messages, messages,
                    "{framing:?} cut at {cut}, step {step}"
                );
                assert!(!decoder.is_inside());
                assert_eq!(decoder.finish(), Tail::Nothing);
            }
        }
    }
}

#[test]
fn sealed_messages_take_nothing_of_the_stream() {
    let bytes = b"\0\0\0\x01\0a\0\0\x01\0\xff\0\0\0\x01\x01b";
    for step in [1, 3, bytes.len()] {
        let mut decoder = Decoder::new(Framing::U32Be, 256, true);
        let mut found = Found::default();
        for piece in bytes.chunks(step) {
            decoder.feed(piece, &mut found).unwrap();
        }
        assert_eq!(found.messages, [&b"a"[..], b"sealed 256", b"b"]);
        assert!(!decoder.is_inside());
    }
}

#[test]
fn limits_are_exact() {
    for framing in [Framing::U32Be, Framing::U32Le] {
        for len in [0, 1, 7, 8, 9, usize::try_from(u32::MAX).unwrap()] {
            let mut found = Found::default();
            let header = framing.header(len).unwrap();
            let fed = Decoder::new(framing, 8, false).feed(&header, &mut found);
            match len {
                9.. => assert_eq!(
                    fed,
                    Err(Oversize {
                        first: header.to_vec()
                    })
                ),
                _ => assert_eq!(fed, Ok(())),
            }
        }
    }
}

#[test]
fn what_is_too_long_shows_its_own_beginning() {
    let bytes = encode(Framing::U32Be, &[b"okay", b"GET / HTTP/1.1 and more"]);
    for step in [1, 5, bytes.len()] {
        let mut decoder = Decoder::new(Framing::U32Be, 8, false);
        let mut found = Found::default();
        let mut pieces = bytes.chunks(step);
        let bad = pieces.find_map(|piece| decoder.feed(piece, &mut found).err());
        let first = bad.unwrap().first;
        assert!(bytes[8..].starts_with(&first), "{first:?}");
        assert!((4..=OVERSIZE_SHOWN).contains(&first.len()));
        assert_eq!(found.messages, [b"okay"]);
    }
}

#[test]
fn a_header_alone_takes_no_memory() {
    let mut decoder = Decoder::new(Framing::U32Be, 1 << 30, false);
    decoder
        .feed(&(1u32 << 30).to_be_bytes(), &mut Found::default())
        .unwrap();
    assert_eq!(decoder.partial.capacity(), 0);
    decoder.feed(b"x", &mut Found::default()).unwrap();
    assert!(decoder.partial.capacity() < 64);
}

#[test]
fn long_lines_are_skipped_and_counted_once() {
    for step in [1, 2, 100] {
        let mut decoder = Decoder::new(Framing::Delimiter(b'\n'), 4, false);
        let mut found = Found::default();
        for piece in b"okay\ntoolong\nnext\nfive5\n\n".chunks(step) {
            decoder.feed(piece, &mut found).unwrap();
        }
        assert_eq!(found.messages, [&b"okay"[..], b"next", b""], "step {step}");
        assert_eq!(found.skipped, 2);
    }
}

#[test]
fn the_end_tells_what_was_cut() {
    let mut decoder = Decoder::new(Framing::Delimiter(b'\n'), 10, false);
    decoder.feed(b"a\nrest", &mut Found::default()).unwrap();
    assert_eq!(decoder.finish(), Tail::Partial(b"rest".to_vec()));
    for cut in [1, 3, 4, 6] {
        let mut decoder = Decoder::new(Framing::U32Be, 10, false);
        let bytes = encode(Framing::U32Be, &[b"abc"]);
        decoder.feed(&bytes[..cut], &mut Found::default()).unwrap();
        assert_eq!(decoder.finish(), Tail::Truncated, "cut at {cut}");
    }
    let mut decoder = Decoder::new(Framing::Raw, 10, false);
    decoder.feed(b"rest", &mut Found::default()).unwrap();
    assert_eq!(decoder.finish(), Tail::Nothing);
}

#[test]
fn what_cannot_be_framed_is_refused() {
    assert!(
        Framing::Delimiter(b'\n')
            .check(b"a\nb")
            .unwrap_err()
            .message
            .contains("\\n")
    );
    Framing::Delimiter(b'\n').check(b"ab").unwrap();
    Framing::U32Be.check(b"").unwrap();
    assert!(Framing::Raw.check(b"").is_err());
}
