//! Sizes and durations, as people write them: `100mb`, `500ms`.
//!
//! `k m g t` count in thousands, `kb mb gb tb` in 1024s, any case; Redis does not know `t` and `tb`. Durations are whole numbers of `ms s m h d`,
//! or a bare `0`.

use std::time::Duration;

/// Bytes that `text` spells. `None` if it is no size or does not fit.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, suffix) = split_number(text)?;
    number.checked_mul(factor(suffix)?)
}

/// Bytes of a unit.
fn factor(suffix: &str) -> Option<u64> {
    Some(match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        "t" => 1_000_000_000_000,
        "tb" => 1 << 40,
        _ => return None,
    })
}

/// Digits that Redis reads of a size.
const DIGITS_MAX: usize = 127;

/// Bytes that `text` spells where Redis' grammar holds: nothing is no bytes, what is behind a NUL does not count, and a number
/// beyond 64 bits is the largest that they hold. `None` if Redis takes it for no size, or does not see that its unit makes it too
/// large.
pub fn parse_redis_size(text: &str) -> Option<u64> {
    let text = text.split('\0').next().unwrap_or_default();
    if text.is_empty() {
        return Some(0);
    }
    let (digits, suffix) = split_digits(text);
    if suffix.starts_with(['t', 'T']) || digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.parse().unwrap_or(u64::MAX).checked_mul(factor(suffix)?)
}

/// The shortest spelling of `bytes` that loses nothing. Stops at `gb`, the largest unit Redis reads.
pub fn format_size(bytes: u64) -> String {
    let units = [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)];
    match units.iter().find(|(_, size)| bytes != 0 && bytes.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// Duration that `text` spells. `None` if it is no duration or does not fit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, suffix) = split_number(text)?;
    let seconds = match suffix.to_ascii_lowercase().as_str() {
        "ms" => return Some(Duration::from_millis(number)),
        "" if number == 0 => 1,
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The shortest spelling of `duration` that is exact to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.iter().find(|(_, size)| millis.is_multiple_of(*size)) {
        _ if millis == 0 => "0".to_owned(),
        Some((unit, size)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let (number, suffix) = split_digits(text);
    Some((number.parse().ok()?, suffix))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Some(0)),
            ("100", Some(100)),
            ("100b", Some(100)),
            ("1k", Some(1_000)),
            ("1Kb", Some(1_024)),
            ("1M", Some(1_000_000)),
            ("1mb", Some(1 << 20)),
            ("1g", Some(1_000_000_000)),
            ("2GB", Some(2 << 30)),
            ("1t", Some(1_000_000_000_000)),
            ("1tb", Some(1 << 40)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999gb", None),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("1 mb", None),
            ("1.5gb", None),
            ("1kib", None),
            ("١", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text}");
            let known = match text {
                "" => Some(0),
                "18446744073709551616" => Some(u64::MAX),
                _ => bytes.filter(|_| !text.contains('t')),
            };
            assert_eq!(parse_redis_size(text), known, "{text}");
        }
        assert_eq!(parse_redis_size(&"9".repeat(DIGITS_MAX)), Some(u64::MAX));
        assert_eq!(parse_redis_size(&"9".repeat(DIGITS_MAX + 1)), None);
        for (bytes, text) in [(0, "0"), (1, "1"), (1_024, "1kb"), (734_003_200, "700mb"), (1 << 40, "1024gb")] {
            assert_eq!(format_size(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1H", Some(3_600_000)),
            ("7d", Some(604_800_000)),
            ("5", None),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("1w", None),
            ("18446744073709551615d", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
        for (millis, text) in [(0, "0"), (1_500, "1500ms"), (90_000, "90s"), (604_800_000, "7d")] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
