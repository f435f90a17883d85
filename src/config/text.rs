//! Checks of settings that are text, and the template of the process title.

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

/// A node name that stands in a field of the cluster's nodes file.
pub fn node_name(text: &str) -> Result<(), &'static str> {
    if text.contains(|letter: char| "!#$%&()*+:;<>?@[]^{|}~".contains(letter) || letter <= ' ') {
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
