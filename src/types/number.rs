//! Numbers as text, by Redis' rules.
//!
//! Commands take and give numbers as byte strings, and a client may rely on the exact spelling, so the rules stand in
//! one place. Integers are accepted only in their canonical form: the value printed again gives back the same bytes,
//! which is why such a string can be stored as an integer. Floats are accepted in every form that C's `strtod`
//! takes, and printed with few digits that read back as the same double.
//!
//! Limit: a decimal exponent of more than six figures is saturated (by the standard library), which shows only in
//! text that makes up for it with hundreds of thousands of zeros.

mod grisu;

use std::fmt::Write;

/// Bytes that any 64-bit integer fits in: a sign and nineteen digits, or twenty digits.
pub const I64_LEN: usize = 20;

/// Bytes that [`format_f64`] needs at most: a sign, seventeen digits and seven zeros.
pub const F64_LEN: usize = 25;

/// Bytes in hexadecimal digits of lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| hex_digits(byte)).map(char::from).collect()
}

/// The two hexadecimal digits of a byte, in lower case.
#[inline]
pub fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)])
}

/// Appends `<kind><number>\r\n`: how RESP says how much of something follows.
#[inline]
pub fn push_header(out: &mut Vec<u8>, kind: u8, number: usize) {
    // Nearly all are short, and need no formatting.
    let digit = |value: usize| b'0' + value as u8;
    match number {
        0..10 => out.extend_from_slice(&[kind, digit(number), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(number / 10), digit(number % 10), b'\r', b'\n']),
        _ => {
            out.push(kind);
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Reads a canonical decimal integer: no plus sign, no leading zero, no space, no `-0`, within the range of `i64`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let first = digits.first()?.wrapping_sub(b'0');
    if first == 0 {
        return (text.len() == 1).then_some(0);
    }
    // Nineteen digits cannot overflow a u64, so one check of the range at the end is enough.
    if first > 9 || digits.len() > 19 {
        return None;
    }
    let mut magnitude = u64::from(first);
    for byte in &digits[1..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The number that a word begins with, behind blanks, as `atoi` of C reads it; 0 if it begins with none, or with one that is
/// too large.
pub fn leading_i64(word: &[u8]) -> i64 {
    let word = word.trim_ascii_start();
    let digits = usize::from(matches!(word.first(), Some(b'+' | b'-')));
    let end = word[digits..].iter().take_while(|byte| byte.is_ascii_digit()).count() + digits;
    std::str::from_utf8(&word[..end]).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether `text` is a canonical integer, one that [`parse_i64`] reads. Text that starts like a word is refused at
/// its first byte.
#[inline]
pub fn is_canonical_i64(text: &[u8]) -> bool {
    parse_i64(text).is_some()
}

/// Reads an unsigned integer (a SCAN cursor, a part of a stream ID) as Redis does: beyond the canonical form it
/// accepts what C's `strtoull` does, which is leading white space, a plus sign and leading zeros. A minus sign is
/// refused before a canonical number and otherwise wraps around, as it does there.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let start = text.iter().position(|&byte| !is_space(byte))?;
    let (negative, digits) = split_sign(&text[start..]);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Reads a double: decimal with or without exponent, hexadecimal, or an infinity (`inf`, `infinity`), in any case,
/// with an optional sign. Refuses nan, white space, trailing bytes, and a number too large or too small for a double
/// (one that would become infinite, or zero although it is not).
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // Most scores and increments are integers, and converting one rounds correctly.
    if let Some(integer) = parse_i64(text) {
        return Some(integer as f64);
    }
    if let Some(decimal) = parse_plain_decimal(text) {
        return Some(decimal);
    }
    let literal = FloatLiteral::scan(text)?;
    let magnitude = match literal.kind {
        FloatKind::Infinity => f64::INFINITY,
        FloatKind::Decimal => {
            let value = std::str::from_utf8(literal.body).ok()?.parse::<f64>().ok()?;
            if value.is_infinite() || (value == 0.0 && !literal.is_zero()) {
                return None;
            }
            value
        }
        FloatKind::Hex => {
            let (significand, exponent, inexact) = literal.hex_value();
            let (significand, exponent) = round_binary(significand, exponent, inexact, 53, -1074);
            if significand == 0 && !literal.is_zero() {
                return None;
            }
            f64_from_parts(significand, exponent)?
        }
    };
    Some(if literal.negative { -magnitude } else { magnitude })
}

/// Reads a plain decimal of at most 19 digits, such as `-12.5`; `None` for anything else.
#[inline]
fn parse_plain_decimal(text: &[u8]) -> Option<f64> {
    const DIGITS: usize = 19;
    const POWERS: [u64; DIGITS] = {
        let mut powers = [1; DIGITS];
        let mut zeros = 1;
        while zeros < DIGITS {
            powers[zeros] = powers[zeros - 1] * 10;
            zeros += 1;
        }
        powers
    };
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > DIGITS + 1 {
        return None;
    }
    let point = digits.iter().position(|&byte| byte == b'.')?;
    let (whole, decimals) = (&digits[..point], &digits[point + 1..]);
    if whole.is_empty() || decimals.is_empty() {
        return None;
    }
    let value = append_digits(append_digits(0, whole)?, decimals)?;
    let magnitude = quotient(value, POWERS[decimals.len()]);
    Some(if negative { -magnitude } else { magnitude })
}

/// A number with more digits behind it, which must fit in.
#[inline]
fn append_digits(mut value: u64, mut digits: &[u8]) -> Option<u64> {
    while let Some((eight, rest)) = digits.split_first_chunk() {
        value = value * 100_000_000 + eight_digits(*eight)?;
        digits = rest;
    }
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// The number of eight digits, all at once: neighbours are joined to numbers of two digits, those to four, and to eight.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    let word = u64::from_le_bytes(text);
    let digits = word ^ ZEROS;
    if word & HIGH_BITS != 0 || (digits + u64::from_le_bytes([0x76; 8])) & HIGH_BITS != 0 {
        return None;
    }
    let twos = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}

/// The quotient of a whole number and a power of ten, rounded once.
#[inline]
fn quotient(value: u64, power: u64) -> f64 {
    if value < 1 << f64::MANTISSA_DIGITS {
        // A double holds both exactly, and rounds their quotient correctly (W. Clinger, "How to read floating point numbers
        // accurately", 1990).
        return value as f64 / power as f64;
    }
    // Both are brought to 64 bits, so that the quotient has 62 at least, and one of the lowest says whether there is a rest.
    let (up, power_up) = (value.leading_zeros(), power.leading_zeros());
    let (value, power) = (u128::from(value << up) << 63, u128::from(power << power_up));
    let whole = value / power;
    let bits = whole as u64 | u64::from(whole * power != value);
    let exponent = u64::from(f64::MAX_EXP as u32 - 1 + power_up - up - 63);
    bits as f64 * f64::from_bits(exponent << (f64::MANTISSA_DIGITS - 1))
}

/// Writes an integer into `buffer` and returns the written part, which is at the end of the buffer.
#[inline]
pub fn format_i64(value: i64, buffer: &mut [u8; I64_LEN]) -> &[u8] {
    let mut start = place_digits(value.unsigned_abs(), buffer);
    if value < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    &buffer[start..]
}

/// Appends an integer to `out`.
#[inline]
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(format_i64(value, &mut [0; I64_LEN]));
}

/// Appends an unsigned integer to `out`.
#[inline]
pub fn write_u64(value: u64, out: &mut Vec<u8>) {
    let mut buffer = [0; I64_LEN];
    let start = place_digits(value, &mut buffer);
    out.extend_from_slice(&buffer[start..]);
}

/// Appends a double as replies show it; see [`format_f64`].
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(format_f64(value, &mut [0; F64_LEN]));
}

/// Writes a double as replies show it into `buffer` and returns the written part: `inf`, `-inf`, `nan`, `-0`, an
/// integer of up to 2^62 in full, and anything else by the digits that Grisu2 finds. Those are written plainly where
/// at most seven zeros have to be added at the end, where at most six decimals are needed, or where the number is
/// from 0.001 to 10000; with an exponent (`1.5e+20`, `1e-7`) elsewhere.
pub fn format_f64(value: f64, buffer: &mut [u8; F64_LEN]) -> &[u8] {
    const INTEGER_LIMIT: f64 = (1u64 << 62) as f64;

    let magnitude = value.abs();
    if magnitude > INTEGER_LIMIT || magnitude.trunc() != magnitude {
        return format_f64_short(value, buffer);
    }
    let mut text = Text { bytes: buffer, len: 0 };
    if text.push_sign_or_whole(value) {
        text.push(format_i64(magnitude as i64, &mut [0; I64_LEN]));
    }
    text.finish()
}

/// As [`format_f64`], but an integer is written by its digits, too: where it has more than 17, zeros take the place of the rest.
pub fn format_f64_short(value: f64, buffer: &mut [u8; F64_LEN]) -> &[u8] {
    let mut text = Text { bytes: buffer, len: 0 };
    if !text.push_sign_or_whole(value) {
        return text.finish();
    }
    let digits = Digits::short(value.abs());
    let last_place = digits.exponent + 1 - digits.len as i32;
    let plain = if last_place >= 0 { last_place <= 7 } else { last_place > -7 || digits.exponent.abs() < 4 };
    if plain {
        text.push_plain(&digits);
    } else {
        text.push_scientific(&digits, 1);
    }
    text.finish()
}

/// Appends a double as C's `printf` writes it for `%.17g`, the form of scores in ZSCAN over a large sorted set.
pub fn write_f64_17g(value: f64, out: &mut Vec<u8>) {
    let mut text = Text { bytes: &mut [0; F64_LEN], len: 0 };
    if text.push_sign_or_whole(value) {
        let mut rounded = Text { bytes: &mut [0; F64_LEN], len: 0 };
        // Writing cannot fail: the longest such text is 23 bytes long.
        let _ = write!(rounded, "{:.16e}", value.abs());
        let digits = Digits::read(rounded.finish());
        if (-4..17).contains(&digits.exponent) {
            text.push_plain(&digits);
        } else {
            text.push_scientific(&digits, 2);
        }
    }
    out.extend_from_slice(text.finish());
}

/// A float as text, taken apart by the grammar of C's `strtod` but not yet converted.
pub(super) struct FloatLiteral<'a> {
    pub negative: bool,
    pub kind: FloatKind,
    /// The text after the sign.
    body: &'a [u8],
    /// The digits before and after the point; empty for an infinity.
    pub integer: &'a [u8],
    pub fraction: &'a [u8],
    /// The written exponent, of ten for a decimal and of two for a hexadecimal number.
    pub exponent: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatKind {
    Infinity,
    Decimal,
    Hex,
}

impl<'a> FloatLiteral<'a> {
    /// Takes `text` apart. None where it is not a float from end to end, and for nan.
    pub fn scan(text: &'a [u8]) -> Option<Self> {
        let (negative, body) = split_sign(text);
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            let kind = FloatKind::Infinity;
            return Some(FloatLiteral { negative, kind, body, integer: &[], fraction: &[], exponent: 0 });
        }
        let (kind, digits, is_digit, exponent_mark): (_, _, fn(&u8) -> bool, _) = match body {
            [b'0', b'x' | b'X', digits @ ..] => (FloatKind::Hex, digits, u8::is_ascii_hexdigit, b'p'),
            digits => (FloatKind::Decimal, digits, u8::is_ascii_digit, b'e'),
        };
        let (integer, rest) = split_while(digits, is_digit);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_while(rest, is_digit),
            rest => (&[][..], rest),
        };
        if integer.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [mark, exponent @ ..] if mark.to_ascii_lowercase() == exponent_mark => read_exponent(exponent)?,
            _ => return None,
        };
        Some(FloatLiteral { negative, kind, body, integer, fraction, exponent })
    }

    /// Whether all digits are zero.
    pub fn is_zero(&self) -> bool {
        self.kind != FloatKind::Infinity && self.digits().all(|digit| digit == b'0')
    }

    /// The digits without the point.
    pub fn digits(&self) -> impl Iterator<Item = u8> {
        self.integer.iter().chain(self.fraction).copied()
    }

    /// The value of a hexadecimal number without its sign, as significand × 2^exponent. The flag tells that the
    /// number is a little larger than that, which happens only where the significand has more than 120 bits.
    pub fn hex_value(&self) -> (u128, i64, bool) {
        let mut significand = 0u128;
        let mut exponent = self.exponent.saturating_sub(4 * self.fraction.len() as i64);
        let mut inexact = false;
        for byte in self.digits() {
            let digit = (byte as char).to_digit(16).unwrap_or_default();
            if significand >> 120 == 0 {
                significand = significand << 4 | u128::from(digit);
            } else {
                exponent = exponent.saturating_add(4);
                inexact |= digit != 0;
            }
        }
        (significand, exponent, inexact)
    }
}

/// Rounds significand × 2^exponent to the nearest number (of two equally near ones to the even one) whose
/// significand has at most `bits` bits and whose exponent is at least `min_exponent`. `inexact` tells that the true
/// number is larger by less than one unit of the significand; it may be set only where that has more than `bits` bits.
pub(super) fn round_binary(
    significand: u128,
    exponent: i64,
    inexact: bool,
    bits: u32,
    min_exponent: i64,
) -> (u64, i64) {
    let length = i64::from(u128::BITS - significand.leading_zeros());
    let dropped = (length - i64::from(bits)).max(min_exponent.saturating_sub(exponent)).max(0);
    let rounded = shift_right_to_even(significand, dropped as u64, inexact);
    if rounded == 0 {
        (0, min_exponent)
    } else if rounded >> bits == 0 {
        (rounded as u64, exponent + dropped)
    } else {
        // All bits were ones: the carry has left a single one above them.
        ((rounded >> 1) as u64, exponent + dropped + 1)
    }
}

/// value ÷ 2^shift, rounded to the nearest integer, of two equally near ones to the even one. `inexact` tells that
/// the value is a little larger than given.
pub(super) fn shift_right_to_even(value: u128, shift: u64, inexact: bool) -> u128 {
    if shift == 0 {
        return value;
    }
    if shift > u64::from(u128::BITS) {
        return 0;
    }
    let kept = value.checked_shr(shift as u32).unwrap_or(0);
    let half = 1u128 << (shift - 1);
    let rest = value & (half | (half - 1));
    let up = rest > half || (rest == half && (inexact || kept & 1 == 1));
    kept + u128::from(up)
}

/// The double significand × 2^exponent, for a significand of at most 53 bits and an exponent of at least -1074;
/// None where it is too large.
fn f64_from_parts(significand: u64, exponent: i64) -> Option<f64> {
    if significand == 0 {
        return Some(0.0);
    }
    // Move the highest bit to its place, as far as the smallest exponent allows.
    let shift = i64::from(significand.leading_zeros() - 11).min(exponent + 1074);
    let (significand, exponent) = (significand << shift, exponent - shift);
    if exponent > 971 {
        return None;
    }
    let hidden_bit = 1u64 << 52;
    if significand < hidden_bit {
        return Some(f64::from_bits(significand));
    }
    Some(f64::from_bits(((exponent + 1075) as u64) << 52 | (significand - hidden_bit)))
}

/// What C takes a text for: all up to the first NUL.
#[inline]
pub fn c_text(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// What C's `isspace` takes for white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Splits an optional sign off; true is minus.
fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn split_while(text: &[u8], belongs: fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads the digits of an exponent with their sign. One that is absurdly large stays so, without overflow.
fn read_exponent(text: &[u8]) -> Option<i64> {
    const ABSURD: i64 = 1 << 60;

    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    let magnitude = magnitude.min(ABSURD);
    Some(if negative { -magnitude } else { magnitude })
}

/// Writes the decimal digits of `value` at the end of `buffer` and returns where they start.
#[inline]
fn place_digits(mut value: u64, buffer: &mut [u8; I64_LEN]) -> usize {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[0; 2]; 100];
        let mut at = 0;
        while at < 100 {
            pairs[at] = [b'0' + at as u8 / 10, b'0' + at as u8 % 10];
            at += 1;
        }
        pairs
    };

    let mut start = I64_LEN;
    while value >= 100 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&PAIRS[value as usize]);
    } else {
        start -= 1;
        buffer[start] = b'0' + value as u8;
    }
    start
}

/// The significant digits of a positive number: first digit × 10^exponent and so on.
struct Digits {
    bytes: [u8; grisu::MAX_DIGITS],
    len: usize,
    exponent: i32,
}

impl Digits {
    /// Few digits that read back as the same double.
    fn short(value: f64) -> Self {
        let mut bytes = [0; grisu::MAX_DIGITS];
        let (len, exponent) = grisu::digits(value, &mut bytes);
        Digits { bytes, len, exponent }
    }

    /// The digits of `d.dddde±x`, of which there are at most seventeen, without zeros at the end.
    fn read(text: &[u8]) -> Self {
        let mut digits = Digits { bytes: [0; grisu::MAX_DIGITS], len: 0, exponent: 0 };
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b'.' => {}
                b'e' => {
                    digits.exponent = parse_i64(&text[at + 1..]).unwrap_or_default() as i32;
                    break;
                }
                digit => {
                    digits.bytes[digits.len] = digit;
                    digits.len += 1;
                }
            }
        }
        while digits.len > 1 && digits.bytes[digits.len - 1] == b'0' {
            digits.len -= 1;
        }
        digits
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A printed double in the making.
struct Text<'a> {
    bytes: &'a mut [u8; F64_LEN],
    len: usize,
}

impl<'a> Text<'a> {
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    fn push_zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    /// Writes the sign, and the rest too where the value has no digits other than zero. Tells whether digits are
    /// still to come.
    fn push_sign_or_whole(&mut self, value: f64) -> bool {
        if value.is_nan() {
            self.push(b"nan");
            return false;
        }
        if value.is_sign_negative() {
            self.push(b"-");
        }
        if value.is_infinite() {
            self.push(b"inf");
        } else if value == 0.0 {
            self.push(b"0");
        }
        value.is_finite() && value != 0.0
    }

    fn push_plain(&mut self, digits: &Digits) {
        let (exponent, digits) = (digits.exponent, digits.as_slice());
        if exponent < 0 {
            self.push(b"0.");
            self.push_zeros(exponent.unsigned_abs() as usize - 1);
            self.push(digits);
            return;
        }
        let before_point = exponent as usize + 1;
        if digits.len() <= before_point {
            self.push(digits);
            self.push_zeros(before_point - digits.len());
        } else {
            self.push(&digits[..before_point]);
            self.push(b".");
            self.push(&digits[before_point..]);
        }
    }

    /// Writes `d.ddde±x`, with zeros before an exponent of fewer than `exponent_width` digits.
    fn push_scientific(&mut self, digits: &Digits, exponent_width: usize) {
        let (exponent, digits) = (digits.exponent, digits.as_slice());
        self.push(&digits[..1]);
        if digits.len() > 1 {
            self.push(b".");
            self.push(&digits[1..]);
        }
        self.push(if exponent < 0 { b"e-" } else { b"e+" });
        let mut buffer = [0; I64_LEN];
        let exponent = format_i64(i64::from(exponent.unsigned_abs()), &mut buffer);
        self.push_zeros(exponent_width.saturating_sub(exponent.len()));
        self.push(exponent);
    }

    fn finish(self) -> &'a [u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.push(part.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_word_may_begin_with_a_number() {
        let cases: &[(&str, i64)] =
            &[("7", 7), ("+07x", 7), (" -3.5", -3), ("x", 0), ("", 0), ("+-1", 0), ("99999999999999999999", 0)];
        for &(word, number) in cases {
            assert_eq!(leading_i64(word.as_bytes()), number, "{word:?}");
        }
    }

    #[test]
    fn canonical_integers_only() {
        let accepted = [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("1000000000000000000", 1_000_000_000_000_000_000),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (text, value) in accepted {
            assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
            assert!(is_canonical_i64(text.as_bytes()), "{text}");
        }
        let refused = [
            "",
            "-",
            "+",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1a",
            "a",
            "--1",
            "1.0",
            "1e3",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "99999999999999999999",
            "1\0",
        ];
        for text in refused {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
            assert!(!is_canonical_i64(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn unsigned_integers_as_strtoull_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("007", Some(7)),
            ("+7", Some(7)),
            (" \t\r\n7", Some(7)),
            ("-7", None),
            (" -7", Some(u64::MAX - 6)),
            ("-0", Some(0)),
            ("18446744073709551616", None),
            ("", None),
            (" ", None),
            ("+", None),
            ("7 ", None),
            ("- 7", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_u64(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn integers_survive_printing_and_reading() {
        let mut rng = fastrand::Rng::with_seed(1);
        let edges = [0, 9, 10, 99, 100, 101, -1, -99, -100, i64::MIN, i64::MAX];
        let random = std::iter::repeat_with(|| rng.i64(..) >> rng.u32(0..64)).take(20_000);
        for value in edges.into_iter().chain(random) {
            let mut out = Vec::new();
            write_i64(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
            assert_eq!(parse_i64(&out), Some(value));
            out.clear();
            write_u64(value as u64, &mut out);
            assert_eq!(out, (value as u64).to_string().as_bytes());
            assert_eq!(parse_u64(&out), Some(value as u64));
        }
    }

    #[test]
    fn floats_as_strtod_reads_them() {
        let accepted = [
            ("3", 3.0),
            ("-0", -0.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("0010", 10.0),
            ("1e3", 1e3),
            ("1E+3", 1e3),
            ("25e-1", 2.5),
            ("0e99999999999999999999", 0.0),
            ("5e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
            ("9007199254740993", 9007199254740992.0),
            ("inf", f64::INFINITY),
            ("+INF", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0X.8p1", 1.0),
            ("-0x1.8P-1", -0.75),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x1.000000000000080000000000000000000000000000000001p0", 1.0 + f64::EPSILON),
            ("0x1fffffffffffffp971", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0x1.ffffffffffffffp-1023", f64::MIN_POSITIVE),
            ("0x0p-99999999999999999999", 0.0),
        ];
        for (text, value) in accepted {
            let read = parse_f64(text.as_bytes()).map(f64::to_bits);
            assert_eq!(read, Some(f64::to_bits(value)), "{text}");
        }
        let refused = [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "nan",
            "-nan",
            "nan(1)",
            "infinit",
            "infx",
            " 1",
            "1 ",
            "\t1",
            "1,5",
            "1.5.2",
            "0x",
            "0x.p1",
            "0x1p",
            "0x1pf",
            "0x1e+1",
            "--1",
            "+-1",
            "1\0",
            "1_000",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p1024",
            "0x1p-1075",
            "0x1p99999999999999999999",
            "0x1fffffffffffff8p971",
        ];
        for text in refused {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn plain_decimals_are_rounded_as_all_others() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..50_000 {
            let digits = rng.usize(2..=19);
            let point = rng.usize(1..digits);
            let mut text: String = (0..digits).map(|_| rng.digit(10)).collect();
            text.insert(point, '.');
            if rng.bool() {
                text.insert(0, '-');
            }
            let expected = text.parse::<f64>().map(f64::to_bits).ok();
            assert_eq!(parse_plain_decimal(text.as_bytes()).map(f64::to_bits), expected, "{text}");
        }
        // Halfway between two doubles, and next to that.
        for text in ["9007199254740993.0", "9007199254740993.001", "9007199254740992.999", "4503599627370497.500"] {
            assert_eq!(parse_plain_decimal(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for other in ["", "-", ".", "1", ".5", "5.", "-.5", "1.5.2", "1.5e3", "+1.5", "1234567890.1234567890", "1.5 "] {
            assert_eq!(parse_plain_decimal(other.as_bytes()), None, "{other:?}");
        }
        for at in 0..8 {
            for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *b"01234567";
                text[at] = byte;
                assert_eq!(eight_digits(text), None, "{text:?}");
            }
        }
    }

    #[test]
    fn floats_as_replies_print_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (100.0, "100"),
            (-17179869184.0, "-17179869184"),
            (9007199254740992.0, "9007199254740992"),
            (4611686018427387904.0, "4611686018427387904"),
            (-4611686018427387904.0, "-4611686018427387904"),
            (4611686018427388928.0, "4611686018427389000"),
            (1e19, "1e+19"),
            (18446744073709551616.0, "18446744073709552000"),
            (-1.5e24, "-1.5e+24"),
            (1.2345678901234567e23, "123456789012345670000000"),
            (1e100, "1e+100"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-f64::MIN_POSITIVE, "-2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (0.0012345678, "0.0012345678"),
            (0.00012345678, "1.2345678e-4"),
            (1234.5678901234, "1234.5678901234"),
            (12345.678901, "12345.678901"),
            (12345.6789012, "1.23456789012e+4"),
            // Where Grisu2 misses the shortest or the closest digits.
            (1e23, "99999999999999990000000"),
            (0.379829, "0.37982900000000003"),
        ];
        for (value, text) in cases {
            assert_eq!(printed(value), text);
        }
    }

    #[test]
    fn doubles_survive_printing_and_reading() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut out = Vec::new();
        for _ in 0..50_000 {
            let value = match rng.u8(0..3) {
                0 => f64::from_bits(rng.u64(..)),
                1 => rng.i32(..) as f64 / 10f64.powi(rng.i32(0..12)),
                _ => rng.u64(..) as f64,
            };
            if value.is_nan() {
                continue;
            }
            for write in [write_f64, write_f64_17g] {
                out.clear();
                write(value, &mut out);
                assert_eq!(parse_f64(&out).map(f64::to_bits), Some(value.to_bits()), "{value:e}");
            }
        }
    }

    #[test]
    fn seventeen_digits_as_printf() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e17, "1.5e+17"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1.0000000000000001e-05"),
            (1e100, "1e+100"),
            // 18 digits that end in 5, exactly: the even neighbour.
            (10001.0 / 1048576.0, "0.0095376968383789062"),
        ];
        for (value, text) in cases {
            let mut out = Vec::new();
            write_f64_17g(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
