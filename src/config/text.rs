//! Checks of settings that are text, the template of the process title, and bytes that are no text.
//!
//! Settings are text throughout, but a password or the name of a user may be any bytes. Bytes that are not UTF-8 are
//! carried through text as characters of a private range, one for each; what looks like such a character is carried the
//! same way, so that nothing is ambiguous. Only secrets may hold any: see [`check_escapes`].

use super::registry::Setting;

/// The byte `b` is carried as the character `ESCAPES + b`. Only bytes from 0x80 on can fail to be UTF-8.
const ESCAPES: u32 = 0x10_f700;

fn is_escape(letter: char) -> bool {
    (ESCAPES + 0x80..=ESCAPES + 0xff).contains(&(letter as u32))
}

/// Text that carries any bytes.
pub fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|&byte| char::from_u32(ESCAPES + u32::from(byte))));
    };
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_escape(letter) {
                escape(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(letter);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that text carries.
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        if is_escape(letter) {
            bytes.push((letter as u32 - ESCAPES) as u8);
        } else {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    bytes
}

/// Checks that only a setting which may hold any bytes does.
///
/// # Errors
/// A text that says so.
pub fn check_escapes(setting: &Setting, words: &[&str]) -> Result<(), String> {
    if !setting.is_sensitive() && words.iter().any(|word| word.contains(is_escape)) {
        return Err("argument must be valid UTF-8".to_owned());
    }
    Ok(())
}

/// Text that ends up in a path or a system call: anything but NUL.
pub fn no_nul(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') { Err("argument must not contain a NUL byte") } else { Ok(()) }
}

/// Any text at all: passwords are compared byte by byte.
pub fn any_text(_: &str) -> Result<(), &'static str> {
    Ok(())
}

/// A host name that other nodes will be told.
pub fn host_name(text: &str) -> Result<(), &'static str> {
    if text.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        return Ok(());
    }
    Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
}

/// A node name that stands in a field of the cluster's nodes file, where these characters have a meaning.
pub fn node_name(text: &str) -> Result<(), &'static str> {
    if text.contains(|letter: char| "!#$%&()*+:;<>?@[]^{|}~\0".contains(letter)) {
        return Err("Announced human node name contained invalid character");
    }
    Ok(())
}

fn is_base_name(text: &str) -> bool {
    !text.contains(['/', '\\', '\0'])
}

/// The snapshot's file name.
pub fn snapshot_file_name(text: &str) -> Result<(), &'static str> {
    if is_base_name(text) { Ok(()) } else { Err("dbfilename can't be a path, just a filename") }
}

/// The base of the append-only files' names.
pub fn append_file_name(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("appendfilename can't be empty"),
        _ if !is_base_name(text) => Err("appendfilename can't be a path, just a filename"),
        _ => Ok(()),
    }
}

/// The name of the append-only files' directory.
pub fn append_dir_name(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("appenddirname can't be empty"),
        _ if !is_base_name(text) => Err("appenddirname can't be a path, just a dirname"),
        _ => Ok(()),
    }
}

/// The path of an HTTP route.
pub fn route(text: &str) -> Result<(), &'static str> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err("argument must be a path that starts with / and has no blanks")
}

/// A template for the process title; see [`expand_title`].
pub fn title_template(text: &str) -> Result<(), &'static str> {
    const VARIABLES: [&str; 7] =
        ["title", "listen-addr", "server-mode", "config-file", "port", "tls-port", "unixsocket"];
    let title = expand_title(text, |variable| VARIABLES.contains(&variable).then(|| variable.to_owned()));
    match title {
        Some(title) if !title.trim_matches(' ').is_empty() && no_nul(&title).is_ok() => Ok(()),
        _ => Err("template format is invalid or contains unknown variables"),
    }
}

/// Replaces each `{variable}` of `template` by what `value` says; `{{` is a brace. `None` if a brace is left open or
/// a variable is unknown.
pub fn expand_title(template: &str, mut value: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut title = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        title.push_str(before);
        rest = match after.strip_prefix('{') {
            Some(after) => {
                title.push('{');
                after
            }
            None => {
                let (variable, after) = after.split_once('}')?;
                title.push_str(&value(variable)?);
                after
            }
        };
    }
    Some(title + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_carries_any_bytes() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let mut bytes: Vec<u8> = (0..rng.usize(..12)).map(|_| rng.u8(..)).collect();
            if rng.bool() {
                // What looks like a carried byte.
                bytes.extend_from_slice("\u{10f7ff}é\u{10f780}".as_bytes());
            }
            assert_eq!(to_bytes(&from_bytes(&bytes)), bytes);
        }
        assert_eq!(from_bytes("aé\0".as_bytes()), "aé\0");
    }
}
