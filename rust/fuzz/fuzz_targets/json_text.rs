//! Escapes: what is written is what another writer writes, in windows of any size, and reads back as what it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::Result;
use nomyo_core::json::escape::{CodePoint, write_code_points, write_escaped};
use nomyo_core::json::sink::Sink;
use nomyo_core::json::unescape::{unescape, unescape_into, unescaped_len};

fuzz_target!(|input: &[u8]| {
    let Some((extra, bytes)) = input.split_first() else {
        return;
    };
    unescape_anything(bytes);
    let text = String::from_utf8_lossy(bytes);
    let expected = serde_json::to_string(&*text).expect("a string is JSON");
    let expected = expected[1..expected.len() - 1].as_bytes();
    let mut out = Windows::new(*extra);
    write_escaped(&mut out, text.as_bytes()).expect("no limit");
    assert_eq!(out.text, expected);

    let wide: Vec<u32> = text.chars().map(u32::from).collect();
    written_as(&wide, *extra, expected);
    if wide.iter().all(|point| *point <= 0xFFFF) {
        let narrower: Vec<u16> = wide.iter().map(|point| *point as u16).collect();
        written_as(&narrower, *extra, expected);
    }
    if wide.iter().all(|point| *point <= 0xFF) {
        let narrowest: Vec<u8> = wide.iter().map(|point| *point as u8).collect();
        written_as(&narrowest, *extra, expected);
    }

    let len = unescape(&mut out.text).expect("what was written is well formed");
    assert_eq!(&out.text[..len], text.as_bytes());
});

fn written_as<C: CodePoint>(points: &[C], extra: u8, expected: &[u8]) {
    let mut out = Windows::new(extra);
    write_code_points(&mut out, points).expect("no limit");
    assert_eq!(out.text, expected);
}

/// Bytes that nobody has checked are refused or resolved, and both ways agree.
fn unescape_anything(bytes: &[u8]) {
    let mut in_place = bytes.to_vec();
    let len = unescape(&mut in_place);
    let expected = unescaped_len(bytes);
    assert_eq!(len, expected);
    if let Some(len) = expected {
        let mut room = vec![0; len];
        assert!(unescape_into(bytes, &mut room).is_some());
        // Lone surrogates are kept in place, and replaced in the copy.
        if std::str::from_utf8(&in_place[..len]).is_ok() {
            assert_eq!(room, in_place[..len]);
        }
    }
}

/// Gives windows that are little larger than what was asked for.
struct Windows {
    text: Vec<u8>,
    window: Vec<u8>,
    extra: usize,
}

impl Windows {
    fn new(extra: u8) -> Self {
        Self {
            text: Vec::new(),
            window: Vec::new(),
            extra: usize::from(extra),
        }
    }
}

impl Sink for Windows {
    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn window(&mut self, at_least: usize) -> Result<&mut [u8]> {
        // A new one each time: writing beyond it is then seen.
        self.window = vec![0; at_least + self.extra];
        Ok(&mut self.window)
    }

    fn advance(&mut self, count: usize) -> Result<()> {
        self.text.extend_from_slice(&self.window[..count]);
        Ok(())
    }
}
