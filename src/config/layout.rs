//! Where things stand in a YAML text, so that a value can be replaced and all the rest stays as it is.
//!
//! serde_yaml says what a text means, but not where; this finds the places. It knows what settings files are made
//! of: nested mappings in block or flow style with scalars and lists as values. Inside lists it does not look. Text
//! that it misunderstands does no harm: whoever edits parses the result and compares.

use std::ops::Range;

/// The value of one key.
struct Item<'a> {
    path: Vec<&'a str>,
    /// Column of the key.
    indent: usize,
    /// Offset of the key.
    start: usize,
    /// The value as far as it stands beside the key; empty right behind the colon if there is none.
    value: Range<usize>,
    /// End of the last line that belongs to the value.
    end: usize,
    shape: Shape,
    in_flow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing, or only comments.
    Empty,
    /// A scalar, or a list in flow style: all of it is in `value`.
    Inline,
    /// `{…}`
    FlowMapping,
    /// A mapping in the lines below.
    BlockMapping,
    /// A list in the lines below.
    BlockList,
}

/// The keys of a text.
pub struct Layout<'a> {
    text: &'a str,
    items: Vec<Item<'a>>,
}

impl<'a> Layout<'a> {
    /// Finds the keys of `text`, which must be YAML that parses.
    pub fn of(text: &'a str) -> Layout<'a> {
        Layout { text, items: scan(text) }
    }

    /// Whether there is a key at `path`.
    pub fn has(&self, path: &[&str]) -> bool {
        self.find(path).is_some()
    }

    /// The line, counted from 1, of the key at `path`.
    pub fn line_of(&self, path: &[&str]) -> Option<usize> {
        let before = &self.text.as_bytes()[..self.find(path)?.start];
        Some(before.iter().filter(|byte| **byte == b'\n').count() + 1)
    }

    fn find(&self, path: &[&str]) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.path == path)
    }

    /// The text with `value` (a scalar or flow-style YAML on one line) at `path`, added if it is not there. `None` if
    /// there is no room for it.
    pub fn set(&self, path: &[&str], value: &str) -> Option<String> {
        if let Some(item) = self.find(path) {
            return Some(match item.shape {
                Shape::Inline | Shape::FlowMapping => self.replace(item.value.clone(), value),
                Shape::Empty => self.replace(item.value.clone(), &format!(" {value}")),
                Shape::BlockMapping | Shape::BlockList => {
                    self.replace(item.value.start..item.end, &format!(" {value}"))
                }
            });
        }
        match (1..path.len()).rev().find_map(|depth| self.find(&path[..depth])) {
            Some(ancestor) => self.add(ancestor, &path[ancestor.path.len()..], value),
            None => {
                let separator = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
                Some(format!("{}{separator}{}\n", self.text, block(path, value, 0)))
            }
        }
    }

    /// Adds keys below an item.
    fn add(&self, ancestor: &Item, missing: &[&str], value: &str) -> Option<String> {
        let depth = ancestor.path.len();
        match ancestor.shape {
            Shape::BlockMapping => {
                let is_child = |item: &&Item| item.path.len() == depth + 1 && item.path.starts_with(&ancestor.path);
                let indent = self.items.iter().find(is_child)?.indent;
                Some(self.replace(ancestor.end..ancestor.end, &format!("\n{}", block(missing, value, indent))))
            }
            Shape::Empty if !ancestor.in_flow => {
                let lines = format!("\n{}", block(missing, value, ancestor.indent + 2));
                Some(self.replace(ancestor.end..ancestor.end, &lines))
            }
            Shape::Empty => Some(self.replace(ancestor.value.clone(), &format!(" {{{}}}", flow(missing, value)))),
            Shape::FlowMapping => {
                let begin = ancestor.value.start + 1;
                let inside = self.text.get(begin..ancestor.value.end - 1)?.trim_end();
                let separator = if inside.is_empty() || inside.ends_with(',') { "" } else { ", " };
                let end = begin + inside.len();
                Some(self.replace(end..end, &format!("{separator}{}", flow(missing, value))))
            }
            Shape::Inline | Shape::BlockList => None,
        }
    }

    fn replace(&self, range: Range<usize>, with: &str) -> String {
        let mut edited = self.text.to_owned();
        edited.replace_range(range, with);
        edited
    }
}

/// Nested keys in block style, without a line end.
fn block(path: &[&str], value: &str, indent: usize) -> String {
    let lines = path.iter().enumerate().map(|(depth, key)| format!("{}{key}:", " ".repeat(indent + 2 * depth)));
    format!("{} {value}", lines.collect::<Vec<_>>().join("\n"))
}

/// Nested keys in flow style.
fn flow(path: &[&str], value: &str) -> String {
    let closing = "}".repeat(path.len() - 1);
    format!("{}: {value}{closing}", path.join(": {"))
}

/// Every key of the mappings of `text`, in order.
fn scan(text: &str) -> Vec<Item<'_>> {
    let mut items: Vec<Item> = Vec::new();
    // Keys whose lines may go on, outermost first.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line = Line::at(text, at);
        at = line.next;
        if line.is_blank() {
            continue;
        }
        let is_entry = line.content == "-" || line.content.starts_with("- ");
        // An entry of a list may stand as far left as the key that the list belongs to.
        let is_over = |item: &Item| item.indent > line.indent || item.indent == line.indent && !is_entry;
        while open.last().is_some_and(|index| is_over(&items[*index])) {
            open.pop();
        }
        let parent = open.last().copied();
        let key = if is_entry { None } else { split_key(line.content) };
        let last_line = match (key, parent) {
            (Some((key, after)), _) => {
                let path = parent.map(|index| items[index].path.clone()).unwrap_or_default();
                if let Some(index) = parent {
                    items[index].shape = Shape::BlockMapping;
                }
                open.push(items.len());
                let start = line.start;
                add_value(text, &mut items, Key { path, name: key, indent: line.indent, start }, start + after, &line)
            }
            (None, Some(index)) if is_entry => {
                items[index].shape = Shape::BlockList;
                end_of_block(text, &line, line.indent)
            }
            _ => line.end,
        };
        at = at.max(Line::at(text, last_line).next);
        for index in &open {
            items[*index].end = items[*index].end.max(last_line);
        }
    }
    items
}

struct Key<'a> {
    path: Vec<&'a str>,
    name: &'a str,
    indent: usize,
    start: usize,
}

/// Adds the key of a block mapping whose value begins at `at`, in `line`; returns where the value ends.
fn add_value<'a>(text: &'a str, items: &mut Vec<Item<'a>>, key: Key<'a>, at: usize, line: &Line) -> usize {
    let mut path = key.path;
    path.push(key.name);
    let begin = at + blanks(&text[at..line.end]);
    let index = items.len();
    items.push(Item {
        path: path.clone(),
        indent: key.indent,
        start: key.start,
        value: at..at,
        end: line.end,
        shape: Shape::Empty,
        in_flow: false,
    });
    let rest = &text[begin..line.end];
    let (shape, end) = match rest.bytes().next() {
        None | Some(b'#') => return line.end,
        Some(b'{') => (Shape::FlowMapping, scan_flow(text, begin, &path, items)),
        Some(b'[') => (Shape::Inline, scan_flow(text, begin, &[], &mut Vec::new())),
        Some(b'"' | b'\'') => (Shape::Inline, end_of_quoted(text, begin)),
        Some(b'|' | b'>') => (Shape::Inline, end_of_block(text, line, key.indent)),
        Some(_) => {
            let first = begin + plain_length(rest);
            let last = end_of_block(text, line, key.indent);
            (Shape::Inline, if last > line.end { last } else { first })
        }
    };
    items[index].value = begin..end;
    items[index].shape = shape;
    end.max(line.end)
}

/// Reads a flow-style value at `at`; adds the keys of mappings that are not in a list. Returns its end.
fn scan_flow<'a>(text: &'a str, mut at: usize, path: &[&'a str], items: &mut Vec<Item<'a>>) -> usize {
    let closing = match text.as_bytes().get(at) {
        Some(b'{') => b'}',
        Some(b'[') => b']',
        Some(b'"' | b'\'') => return end_of_quoted(text, at),
        _ => return at + flow_plain_length(&text[at..]),
    };
    at += 1;
    loop {
        at = skip_flow_blanks(text, at);
        match text.as_bytes().get(at) {
            None => return text.len(),
            Some(byte) if *byte == closing => return at + 1,
            // Commas, and colons of keys that are themselves collections.
            Some(b',' | b':' | b'}' | b']') => at += 1,
            Some(b'{' | b'[') => at = scan_flow(text, at, &[], &mut Vec::new()),
            Some(_) => {
                let start = at;
                let is_quoted = matches!(text.as_bytes()[at], b'"' | b'\'');
                at = if is_quoted { end_of_quoted(text, at) } else { at + flow_key_length(&text[at..]) };
                let name = text[start..at].trim_end().trim_matches(['"', '\'']);
                at = skip_flow_blanks(text, at);
                if text.as_bytes().get(at) != Some(&b':') {
                    continue;
                }
                let colon = at + 1;
                let begin = skip_flow_blanks(text, colon);
                let mut child = path.to_vec();
                child.push(name);
                let index = items.len();
                items.push(Item {
                    path: child.clone(),
                    indent: 0,
                    start,
                    value: colon..colon,
                    end: colon,
                    shape: Shape::Empty,
                    in_flow: true,
                });
                at = scan_flow(text, begin, &child, items).max(colon);
                if at > begin {
                    let is_mapping = text.as_bytes()[begin] == b'{';
                    items[index].value = begin..at;
                    items[index].shape = if is_mapping { Shape::FlowMapping } else { Shape::Inline };
                    items[index].end = at;
                }
            }
        }
    }
}

/// A line of the text, cut at its content.
struct Line<'a> {
    indent: usize,
    /// Offset of the content.
    start: usize,
    content: &'a str,
    /// Offset behind the content.
    end: usize,
    /// Offset of the next line.
    next: usize,
}

impl<'a> Line<'a> {
    /// The rest of the line that `at` stands in.
    fn at(text: &'a str, at: usize) -> Line<'a> {
        let length = text[at..].find('\n').unwrap_or(text.len() - at);
        let line = &text[at..at + length];
        let indent = blanks(line);
        let content = line[indent..].trim_end();
        let start = at + indent;
        Line { indent, start, content, end: start + content.len(), next: (at + length + 1).min(text.len()) }
    }

    fn is_blank(&self) -> bool {
        let is_marker = self.indent == 0 && ["---", "...", "%"].iter().any(|marker| self.content.starts_with(marker));
        self.content.is_empty() || self.content.starts_with('#') || is_marker
    }
}

/// End of the last line with content among those after `line` that are indented deeper than `indent`.
fn end_of_block(text: &str, line: &Line, indent: usize) -> usize {
    let mut end = line.end;
    let mut at = line.next;
    while at < text.len() {
        let next = Line::at(text, at);
        if !next.content.is_empty() {
            if next.indent <= indent {
                break;
            }
            if !next.content.starts_with('#') {
                end = next.end;
            }
        }
        at = next.next;
    }
    end
}

/// The key at the start of a line, and the offset behind its colon.
fn split_key(content: &str) -> Option<(&str, usize)> {
    let is_quoted = content.starts_with(['"', '\'']);
    let length = if is_quoted {
        end_of_quoted(content, 0)
    } else {
        content
            .match_indices(':')
            .find(|(at, _)| matches!(content.as_bytes().get(at + 1), None | Some(b' ' | b'\t')))?
            .0
    };
    let colon = length + blanks(&content[length..]);
    let name = content[..length].trim_end().trim_matches(['"', '\'']);
    (content.as_bytes().get(colon) == Some(&b':')).then_some((name, colon + 1))
}

/// Length of a plain scalar with a comment possibly behind it.
fn plain_length(line: &str) -> usize {
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']));
    line[..comment.map_or(line.len(), |(at, _)| at)].trim_end().len()
}

fn flow_plain_length(text: &str) -> usize {
    let end = text.find([',', '{', '}', '[', ']', '\n']).unwrap_or(text.len());
    plain_length(&text[..end])
}

/// Length of a plain key in flow style, at least one.
fn flow_key_length(text: &str) -> usize {
    let end =
        text.char_indices().skip(1).find(|(_, letter)| matches!(letter, ':' | ',' | '{' | '}' | '[' | ']' | '\n'));
    end.map_or(text.len(), |(at, _)| at)
}

/// Offset behind the quoted scalar that begins at `at`.
fn end_of_quoted(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[at];
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' if quote == b'"' => end += 2,
            _ if *byte != quote => end += 1,
            // A doubled single quote stands for one.
            b'\'' if bytes.get(end + 1) == Some(&b'\'') => end += 2,
            _ => return end + 1,
        }
    }
    text.len()
}

fn skip_flow_blanks(text: &str, mut at: usize) -> usize {
    loop {
        match text.as_bytes().get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') => at += text[at..].find('\n').unwrap_or(text.len() - at),
            _ => return at,
        }
    }
}

fn blanks(text: &str) -> usize {
    text.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# head
server:   # the server
    port: 6380   # a port
    bind: ["*", "-::*"]
    tls: {port: 0, cert: "a # b", empty: , nested: {x: [1, {y: 2}], z: 'it''s'}}
    name: 'quoted # text'   # comment
"memory":
  max_memory:    # not yet

persistence:
empty: {}
multi: {
  a: 1,   # one
  b: 2
}
list:
- one: 1
  two: 2
- three
text: |
  like: a key
  # not a comment
plain: goes on
  here: there
cluster:
  seeds:
    - "a:1"
    # between
    - "b:2"
  # after
last: "end"
"#;

    #[test]
    fn keys_are_found_with_their_lines() {
        let cases: &[(&[&str], Option<usize>)] = &[
            (&["server"], Some(2)),
            (&["server", "port"], Some(3)),
            (&["server", "tls", "port"], Some(5)),
            (&["server", "tls", "nested", "z"], Some(5)),
            (&["server", "tls", "nested", "x"], Some(5)),
            (&["server", "tls", "nested", "y"], None),
            (&["memory", "max_memory"], Some(8)),
            (&["persistence"], Some(10)),
            (&["multi", "b"], Some(14)),
            (&["list"], Some(16)),
            (&["list", "two"], None),
            (&["text", "like"], None),
            (&["plain"], Some(23)),
            (&["plain", "here"], None),
            (&["cluster", "seeds"], Some(26)),
            (&["last"], Some(31)),
        ];
        let layout = Layout::of(TEXT);
        for (path, line) in cases {
            assert_eq!(layout.line_of(path), *line, "{path:?}");
        }
    }

    #[test]
    fn only_the_value_changes() {
        let cases: &[(&[&str], &str, &str, &str)] = &[
            (&["server", "port"], "1", "    port: 6380   # a port", "    port: 1   # a port"),
            (&["server", "bind"], "[]", "    bind: [\"*\", \"-::*\"]", "    bind: []"),
            (&["server", "tls", "port"], "1", "tls: {port: 0, ", "tls: {port: 1, "),
            (&["server", "tls", "cert"], "x", "cert: \"a # b\"", "cert: x"),
            (&["server", "tls", "empty"], "x", "empty: ,", "empty: x ,"),
            (&["server", "tls", "nested", "z"], "x", "z: 'it''s'", "z: x"),
            (&["server", "tls", "nested", "x"], "x", "x: [1, {y: 2}]", "x: x"),
            (&["server", "tls", "new"], "x", "z: 'it''s'}}", "z: 'it''s'}, new: x}"),
            (&["server", "tls", "empty", "in"], "x", "empty: ,", "empty: {in: x} ,"),
            (&["server", "name"], "x", "'quoted # text'   # comment", "x   # comment"),
            (&["server", "new"], "x", "# comment\n", "# comment\n    new: x\n"),
            (&["server", "new", "er"], "x", "# comment\n", "# comment\n    new:\n      er: x\n"),
            (&["memory", "max_memory"], "x", "max_memory:    # not", "max_memory: x    # not"),
            (&["memory", "max_memory", "in"], "x", "# not yet\n", "# not yet\n    in: x\n"),
            (&["persistence", "new"], "x", "persistence:\n", "persistence:\n  new: x\n"),
            (&["empty", "new", "er"], "x", "empty: {}", "empty: {new: {er: x}}"),
            (&["multi", "b"], "x", "  b: 2\n", "  b: x\n"),
            (&["multi", "c"], "x", "  b: 2\n}", "  b: 2, c: x\n}"),
            (&["multi"], "x", "multi: {\n  a: 1,   # one\n  b: 2\n}", "multi: x"),
            (&["list"], "[]", "list:\n- one: 1\n  two: 2\n- three\n", "list: []\n"),
            (&["text"], "x", "text: |\n  like: a key\n", "text: x\n"),
            (&["plain"], "x", "plain: goes on\n  here: there", "plain: x"),
            (&["cluster", "seeds"], "[]", "seeds:\n    - \"a:1\"\n    # between\n    - \"b:2\"\n", "seeds: []\n"),
            (&["cluster", "new"], "x", "    - \"b:2\"\n", "    - \"b:2\"\n  new: x\n"),
            (&["last"], "x", "last: \"end\"", "last: x"),
            (&["new", "er"], "x", "last: \"end\"\n", "last: \"end\"\nnew:\n  er: x\n"),
        ];
        for (path, value, before, after) in cases {
            let expected = TEXT.replacen(before, after, 1);
            assert_ne!(expected, TEXT, "{path:?}");
            if *path == ["text"] {
                // The end of a block scalar that looks like a comment is left behind, as a comment.
                assert_eq!(Layout::of(TEXT).set(path, value), Some(expected), "{path:?}");
                continue;
            }
            assert_eq!(Layout::of(TEXT).set(path, value).as_deref(), Some(expected.as_str()), "{path:?}");
            assert!(Layout::of(&expected).has(path), "{path:?}");
        }
        assert_eq!(Layout::of(TEXT).set(&["last", "in"], "x"), None);
        assert_eq!(Layout::of(TEXT).set(&["list", "in"], "x"), None);
        assert_eq!(Layout::of("").set(&["a", "b"], "x").as_deref(), Some("a:\n  b: x\n"));
        assert_eq!(Layout::of("a: 1").set(&["b"], "x").as_deref(), Some("a: 1\nb: x\n"));
        assert_eq!(Layout::of("a:").set(&["a", "b"], "x").as_deref(), Some("a:\n  b: x"));
    }

    #[test]
    fn any_text_is_scanned_without_harm() {
        let parts =
            ["a", ": ", "{", "}", "[", "]", "\n", "  ", "- ", "\"", "'", "#", "|", ",", "é", "\\", "\r\n", "---", "?"];
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text += parts[(state >> 33) as usize % parts.len()];
            }
            let layout = Layout::of(&text);
            layout.line_of(&["a"]);
            layout.set(&["a"], "x");
            layout.set(&["a", "a", "b"], "x");
        }
    }
}
