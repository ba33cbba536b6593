//! The bytes of a file → text, by their byte order mark, as kubectl decodes them.

use std::borrow::Cow;

/// The text, without its mark. UTF-8 needs no mark; UTF-16 has one, which editors and shells of Windows write.
///
/// # Errors
/// One sentence that names the encoding and what to do.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err("is encoded in UTF-32; save it as UTF-8".to_owned()),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        bytes => utf8(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let text = String::from_utf16(&pairs.iter().copied().map(unit).collect::<Vec<_>>());
    text.ok()
        .filter(|_| odd.is_empty())
        .ok_or_else(|| "begins as UTF-16 and is damaged after that; save it as UTF-8".to_owned())
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    // Manifests begin with an ASCII character, which has one zero byte next to it in UTF-16 and three in UTF-32.
    match bytes.first_chunk::<4>() {
        Some([0, 0, 0, _] | [_, 0, 0, 0]) => return Err("looks like UTF-32; save it as UTF-8".to_owned()),
        Some([0, _, 0, _] | [_, 0, _, 0]) => {
            return Err("looks like UTF-16 without a byte order mark; save it as UTF-8".to_owned());
        }
        _ => {}
    }
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("line {line}: is not UTF-8, perhaps an older encoding such as Windows-1252; save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn the_mark_decides() {
        let text = "a: ü 🐝\r\n";
        let marked = format!("\u{feff}{text}");
        for bytes in [
            text.as_bytes().to_vec(),
            marked.as_bytes().to_vec(),
            units(&marked, u16::to_le_bytes),
            units(&marked, u16::to_be_bytes),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok(text), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"] {
            assert_eq!(decode(bytes).as_deref(), Ok(""), "{bytes:?}");
        }
    }

    #[test]
    fn other_encodings_are_named_with_what_to_do() {
        let wide = |mark: bool, bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
            mark.then_some('\u{feff}').into_iter().chain("kind: X".chars()).flat_map(|c| bytes(c.into())).collect()
        };
        for (bytes, said) in [
            (wide(true, u32::to_le_bytes), "is encoded in UTF-32"),
            (wide(true, u32::to_be_bytes), "is encoded in UTF-32"),
            (wide(false, u32::to_le_bytes), "looks like UTF-32"),
            (wide(false, u32::to_be_bytes), "looks like UTF-32"),
            (units("kind: X", u16::to_le_bytes), "looks like UTF-16 without a byte order mark"),
            (units("kind: X", u16::to_be_bytes), "looks like UTF-16 without a byte order mark"),
            (b"\xff\xfea".to_vec(), "begins as UTF-16 and is damaged"),
            (b"\xff\xfe\x00\xd8\x0a\x00".to_vec(), "begins as UTF-16 and is damaged"),
            (b"a: 1\nb: M\xfcller\n".to_vec(), "line 2: is not UTF-8, perhaps an older encoding such as Windows-1252"),
            (b"\xef\xbb\xbfa: \xff".to_vec(), "line 1: is not UTF-8"),
        ] {
            let told = decode(&bytes).unwrap_err();
            assert!(told.starts_with(said) && told.ends_with("; save it as UTF-8"), "{told}");
        }
    }
}
