//! What goes between a server and its Redis, piece by piece: commands one way, answers the other.

use std::io::BufRead;

use sha1::{Digest, Sha1};

/// The name by which `EVALSHA` calls a script.
pub(crate) fn sha_of(source: &str) -> String {
    Sha1::digest(source).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A command: an array of bulk strings.
pub(crate) fn read_command(from: &mut impl BufRead) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut raw = Vec::new();
    let count = read_line(from, &mut raw)?;
    let count: usize = String::from_utf8_lossy(count.strip_prefix(b"*")?).trim().parse().ok()?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = read_line(from, &mut raw)?;
        let length: usize = String::from_utf8_lossy(length.strip_prefix(b"$")?).trim().parse().ok()?;
        let mut word = vec![0; length + 2];
        from.read_exact(&mut word).ok()?;
        raw.extend_from_slice(&word);
        word.truncate(length);
        words.push(word);
    }
    Some((raw, words))
}

/// One whole answer of any type.
pub(crate) fn read_answer(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    read_value(from, &mut raw)?;
    Some(raw)
}

fn read_value(from: &mut impl BufRead, raw: &mut Vec<u8>) -> Option<()> {
    let line = read_line(from, raw)?;
    let (kind, rest) = line.split_first()?;
    let count: i64 = String::from_utf8_lossy(rest).trim().parse().unwrap_or(0);
    match kind {
        b'$' | b'=' | b'!' if count >= 0 => {
            let mut bytes = vec![0; usize::try_from(count).ok()? + 2];
            from.read_exact(&mut bytes).ok()?;
            raw.extend_from_slice(&bytes);
        }
        b'*' | b'~' | b'>' => {
            for _ in 0..count.max(0) {
                read_value(from, raw)?;
            }
        }
        b'%' => {
            for _ in 0..count.max(0) * 2 {
                read_value(from, raw)?;
            }
        }
        _ => {}
    }
    Some(())
}

fn read_line(from: &mut impl BufRead, raw: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    raw.extend_from_slice(&line);
    Some(line)
}
