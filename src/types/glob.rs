//! Glob patterns, as KEYS, SCAN … MATCH, PSUBSCRIBE and CONFIG GET take them.
//!
//! `*` stands for any bytes, `?` for any one byte, `[…]` for one byte of a set, and `\` takes the next byte literally.
//! Once a `*` has found a place where all up to the next `*` matches, a later place cannot do better: whatever
//! follows has only less text left. So only the last `*` is ever tried again, there is no recursion, and a hostile
//! pattern such as `*a*a*a*b` costs at most the length of the pattern times the length of the text.
//!
//! Redis' corner cases are kept, since applications see them: an empty text matches the empty pattern only; a
//! pattern in which more than a thousand `*` come into play matches nothing; and a set reads its bytes as signed
//! numbers, takes `]` for the end of a range where one follows `-`, and ends with the pattern where it is not closed.
//! One is not: case is folded in ASCII alone, while Redis' ranges treat other bytes differently when case is ignored.

/// How many `*` (adjacent ones count once) a match may pass.
const MAX_STARS: usize = 1000;

/// Whether the whole of `text` matches `pattern`. With `ignore_case`, ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    let mut stars = 0;
    // Where the pattern goes on after the last star, and where in the text that was tried last.
    let mut last_try = None;
    while t < text.len() {
        let retry_at = if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            t
        } else if let Some(length) = match_one(&pattern[p..], text[t], ignore_case) {
            p += length;
            t += 1;
            continue;
        } else if let Some((after_star, tried)) = last_try {
            p = after_star;
            tried + 1
        } else {
            return false;
        };
        let Some(start) = next_start(&pattern[p..], text, retry_at, ignore_case) else {
            return false;
        };
        t = start;
        last_try = Some((p, t));
    }
    // The text is used up; more of it for the last star would leave even less for the rest.
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The bytes that every matching text starts with: the pattern up to its first special character.
pub fn prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// The first place from `from` on where the pattern after a star may match.
fn next_start(pattern: &[u8], text: &[u8], from: usize, ignore_case: bool) -> Option<usize> {
    match *pattern {
        [literal, ..] if !ignore_case && !matches!(literal, b'?' | b'[' | b'\\') => {
            memchr::memchr(literal, &text[from..]).map(|skipped| from + skipped)
        }
        _ => Some(from),
    }
}

/// Matches one byte of text against the element at the start of `pattern`, which is not a star. Gives the length of
/// the element; None where it does not match, or where the pattern is at its end.
#[inline]
fn match_one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let (literal, length) = match *pattern {
        [] => return None,
        [b'?', ..] => return Some(1),
        [b'[', ..] => return match_set(pattern, byte, ignore_case),
        [b'\\', literal, ..] => (literal, 2),
        [literal, ..] => (literal, 1),
    };
    let same = literal == byte || (ignore_case && literal.eq_ignore_ascii_case(&byte));
    same.then_some(length)
}

/// As [`match_one`], for a set.
fn match_set(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |byte: u8| (if ignore_case { byte.to_ascii_lowercase() } else { byte }) as i8;
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            // An escaped byte is compared as it is, even where case is ignored.
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [one, b'-', other, ..] => {
                // The ends are put in order before their case is folded.
                let (low, high) = if one as i8 <= other as i8 { (one, other) } else { (other, one) };
                found |= (fold(low)..=fold(high)).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                found |= fold(literal) == fold(byte);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            // pattern, matching, not matching
            ("", &[""][..], &["a"][..]),
            ("*", &["a", "abc"], &[""]),
            ("**", &["a"], &[""]),
            ("abc", &["abc"], &["", "ab", "abcd", "ABC"]),
            ("a*", &["a", "abc"], &["", "ba"]),
            ("*a", &["a", "ba", "aaa"], &["ab"]),
            ("a**", &["a", "ab"], &["b"]),
            ("h?llo", &["hello", "h*llo"], &["hllo", "heello"]),
            ("*?", &["a", "ab"], &[""]),
            ("a*?", &["ab", "abc"], &["a"]),
            ("*:*:*", &["a:b:c", "::"], &["a:b"]),
            ("*ab*ab", &["abab", "xabxab", "abxabab"], &["ab", "abxaba"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]),
            ("[^a]", &["b", "^"], &["a", ""]),
            ("[a-c]", &["a", "b", "c"], &["d", "-"]),
            ("[c-a]", &["a", "b", "c"], &["d"]),
            ("[a^]", &["a", "^"], &["b"]),
            ("[a\\-c]", &["a", "-", "c"], &["b", "\\"]),
            ("[\\]]", &["]"], &["\\"]),
            ("[]a]", &[], &["]", "a", "a]"]),
            ("[^]", &["a", "^"], &[""]),
            // A set that is not closed.
            ("[", &[], &["[", "a"]),
            ("[^", &["a"], &[""]),
            ("[ab", &["a", "b"], &["[ab", "c"]),
            ("[a-", &["a", "-"], &["b"]),
            ("[a-]", &["a", "_", "]", "^"], &["-", "b"]),
            ("[ab\\", &["a", "\\"], &["c"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("a\\", &["a\\"], &["a"]),
            ("\\\\", &["\\"], &["\\\\"]),
            ("\\[a]", &["[a]"], &["a"]),
        ];
        for (pattern, matching, other) in cases {
            for text in matching {
                assert!(matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
            }
            for text in other {
                assert!(!matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn case_is_ignored_on_request() {
        let cases = [
            ("aBc*", "AbCd", true),
            ("[x-z]", "Y", true),
            ("[X-Z]", "y", true),
            ("[aeiou]", "E", true),
            ("*LEN*", "max-len", true),
            ("a\\b", "AB", true),
            ("[\\a]", "A", false),
            ("ab", "ac", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), true), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn bytes_of_a_range_are_signed() {
        assert!(matches(b"[\x80-\xff]", b"\x90", false));
        assert!(matches(b"[\xff-a]", b"A", false));
        assert!(!matches(b"[a-\xff]", b"z", false));
    }

    #[test]
    fn hostile_patterns_are_cheap() {
        let text = vec![b'a'; 20_000];
        assert!(!matches("*a".repeat(900).as_bytes(), &text[..800], false));
        assert!(!matches(("*a".repeat(20) + "b").as_bytes(), &text, false));
        assert!(!matches(("*[ab]?".repeat(30) + "b").as_bytes(), &text, false));
    }

    #[test]
    fn stars_are_limited() {
        let text = vec![b'a'; 2_000];
        for (count, expected) in [(MAX_STARS, true), (MAX_STARS + 1, false)] {
            assert_eq!(matches("*?".repeat(count).as_bytes(), &text, false), expected);
        }
        assert!(matches(("*?".repeat(MAX_STARS) + "*").as_bytes(), &text, false));
    }

    #[test]
    fn literal_prefix() {
        let cases = [("", ""), ("abc", "abc"), ("user:*", "user:"), ("a?b", "a"), ("[a]", ""), ("ab\\*", "ab")];
        for (pattern, expected) in cases {
            assert_eq!(prefix(pattern.as_bytes()), expected.as_bytes());
        }
    }

    /// What a pattern consists of, for the model.
    enum Element {
        Star,
        Any,
        Byte(u8),
        Set { negated: bool, ranges: Vec<(u8, u8)> },
    }

    fn elements(pattern: &[u8]) -> Vec<Element> {
        let mut bytes = pattern.iter().copied().peekable();
        let mut elements = Vec::new();
        while let Some(byte) = bytes.next() {
            elements.push(match byte {
                b'*' => Element::Star,
                b'?' => Element::Any,
                b'\\' => Element::Byte(bytes.next().unwrap_or(b'\\')),
                b'[' => {
                    let negated = bytes.next_if_eq(&b'^').is_some();
                    let mut ranges = Vec::new();
                    while let Some(start) = bytes.next().filter(|&byte| byte != b']') {
                        let mut ahead = bytes.clone();
                        let range = match (start, ahead.next(), ahead.next()) {
                            (b'\\', Some(literal), _) => {
                                bytes.next();
                                (literal, literal)
                            }
                            (start, Some(b'-'), Some(end)) => {
                                bytes = ahead;
                                (start.min(end), start.max(end))
                            }
                            (start, ..) => (start, start),
                        };
                        ranges.push(range);
                    }
                    Element::Set { negated, ranges }
                }
                literal => Element::Byte(literal),
            });
        }
        elements
    }

    fn model(pattern: &[Element], text: &[u8]) -> bool {
        let Some((element, rest)) = pattern.split_first() else {
            return text.is_empty();
        };
        if let Element::Star = element {
            return (0..=text.len()).any(|skipped| model(rest, &text[skipped..]));
        }
        let Some((&byte, left)) = text.split_first() else {
            return false;
        };
        let fits = match element {
            Element::Star | Element::Any => true,
            Element::Byte(literal) => *literal == byte,
            Element::Set { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) != *negated
            }
        };
        fits && model(rest, left)
    }

    #[test]
    fn agrees_with_a_recursive_model() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut found = 0;
        for _ in 0..100_000 {
            let pattern: Vec<u8> = (0..rng.usize(0..10)).map(|_| b"aabbc***??[[]]^-\\"[rng.usize(0..17)]).collect();
            let text: Vec<u8> = (0..rng.usize(1..8)).map(|_| b"aaabbbc]^-\\"[rng.usize(0..11)]).collect();
            let expected = model(&elements(&pattern), &text);
            assert_eq!(
                matches(&pattern, &text, false),
                expected,
                "{:?} {:?}",
                String::from_utf8_lossy(&pattern),
                String::from_utf8_lossy(&text)
            );
            found += usize::from(expected);
        }
        assert!(found > 1_000, "{found} matches are too few to tell");
    }
}
