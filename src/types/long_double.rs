//! The float arithmetic of INCRBYFLOAT and HINCRBYFLOAT.
//!
//! Redis computes these in C's `long double`, on x86-64 the 80-bit extended format: a significand of 64 bits and
//! exponents that reach from about 1e-4951 to 1e4932. The sum of 0.1 and 0.2 is 0.3 there, which clients count on, so
//! the same format is computed here in integers: a number is significand × 2^exponent, and every operation is
//! exact until one rounding at its end, to nearest and of two equally near to the even one.
//!
//! Numbers with few digits, which is nearly all of them, stay within 128 bits. For the others, reading and printing
//! fall back to integers of any size (at most some 17,000 bits, since longer text is refused).

use std::cmp::Ordering;

use super::number::{self, FloatKind, FloatLiteral, I64_LEN, round_binary, shift_right_to_even};

/// Text of this many bytes or more is not a number; Redis reads it into a buffer of 5 KiB with a terminator.
const TEXT_LIMIT: usize = 5 * 1024;

/// Bits of a significand.
const BITS: u32 = 64;
/// The exponent of the smallest number, 2^-16445.
const MIN_EXPONENT: i64 = -16445;
/// The exponent of the largest numbers, with a significand of 64 bits.
const MAX_EXPONENT: i64 = 16320;

/// Digits that are printed after the point.
const DECIMALS: u32 = 17;
const ONE_IN_DECIMALS: u64 = 10u64.pow(DECIMALS);

/// The largest power of five in 64 bits is 5^27.
const MAX_POWER_OF_FIVE: u32 = 27;

/// A number of the 80-bit extended format; never nan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// significand × 2^exponent, where the highest bit of the significand is set. (The small numbers that the format
    /// stores without that bit have it here too, with an exponent below [`MIN_EXPONENT`].)
    Finite {
        significand: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Reads a number in any form that C's `strtold` takes: decimal, hexadecimal or infinity, with an optional sign.
    /// Refuses nan, white space, trailing bytes, text of 5120 bytes or more, and a number too large or too small for
    /// the format (one that would become infinite, or zero although it is not).
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(integer) = number::parse_i64(text) {
            return Some(Self::from_i64(integer));
        }
        if text.len() >= TEXT_LIMIT {
            return None;
        }
        let literal = FloatLiteral::scan(text)?;
        let magnitude = match literal.kind {
            FloatKind::Infinity => Magnitude::Infinite,
            _ if literal.is_zero() => Magnitude::Zero,
            FloatKind::Decimal => Magnitude::from_decimal(&literal)?,
            FloatKind::Hex => {
                let (significand, exponent, inexact) = literal.hex_value();
                Magnitude::round(significand, exponent, inexact)?
            }
        };
        Some(LongDouble { negative: literal.negative, magnitude })
    }

    /// Converts an integer, exactly.
    pub fn from_i64(value: i64) -> Self {
        LongDouble { negative: value < 0, magnitude: Magnitude::normal(value.unsigned_abs(), 0) }
    }

    /// Converts a double, exactly. None for nan.
    pub fn from_f64(value: f64) -> Option<Self> {
        let bits = value.to_bits();
        let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i64);
        let magnitude = match (biased, fraction) {
            (0x7ff, 0) => Magnitude::Infinite,
            (0x7ff, _) => return None,
            (0, fraction) => Magnitude::normal(fraction, -1074),
            (biased, fraction) => Magnitude::normal(fraction | 1 << 52, biased - 1075),
        };
        Some(LongDouble { negative: value.is_sign_negative(), magnitude })
    }

    /// Whether this is a number rather than an infinity.
    pub fn is_finite(&self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// The sum. None where it is not finite, the case in which the commands answer `increment would produce NaN or
    /// Infinity`.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b) = match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, _) | (_, Magnitude::Infinite) => return None,
            (_, Magnitude::Zero) => return Some(self),
            (Magnitude::Zero, _) => return Some(other),
            (
                Magnitude::Finite { significand: a, exponent: a_exponent },
                Magnitude::Finite { significand, exponent },
            ) => ((a_exponent, a, self.negative), (exponent, significand, other.negative)),
        };
        // Normal significands compare as their numbers do once the exponents are equal.
        let (large, small) = if a >= b { (a, b) } else { (b, a) };
        let (exponent, negative) = (large.0 - 63, large.2);

        // 63 bits below the larger significand hold what the smaller one brings; a bit above it holds the carry.
        let distance = (large.0 - small.0).min(127) as u32;
        let large_part = u128::from(large.1) << 63;
        let small_part = u128::from(small.1) << 63 >> distance;
        let lost = small_part << distance != u128::from(small.1) << 63;
        let sum = if small.2 == negative {
            large_part + small_part
        } else {
            // What was lost of the subtrahend leaves the difference between this integer and the next one up.
            large_part - small_part - u128::from(lost)
        };
        if sum == 0 {
            return Some(LongDouble { negative: false, magnitude: Magnitude::Zero });
        }
        Some(LongDouble { negative, magnitude: Magnitude::round(sum, exponent, lost)? })
    }

    /// Appends the number as Redis prints it for people: as C's `printf` does for `%.17Lf`, without the zeros at the
    /// end and without the sign of a zero; never with an exponent. That is at most 4,952 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Zero => out.push(b'0'),
            Magnitude::Infinite => out.extend_from_slice(b"inf"),
            Magnitude::Finite { significand, exponent } if exponent > 0 => write_large(significand, exponent, out),
            Magnitude::Finite { significand, exponent } => write_small(significand, exponent.unsigned_abs(), out),
        }
        if out[start..] == *b"-0" {
            out.remove(start);
        }
    }
}

impl Magnitude {
    /// A number that needs no rounding.
    fn normal(significand: u64, exponent: i64) -> Self {
        if significand == 0 {
            return Magnitude::Zero;
        }
        let shift = significand.leading_zeros();
        Magnitude::Finite { significand: significand << shift, exponent: exponent - i64::from(shift) }
    }

    /// Rounds a number other than zero, as [`round_binary`] does. None where the result is infinite or zero.
    fn round(significand: u128, exponent: i64, inexact: bool) -> Option<Self> {
        let (significand, exponent) = round_binary(significand, exponent, inexact, BITS, MIN_EXPONENT);
        match Self::normal(significand, exponent) {
            Magnitude::Finite { exponent, .. } if exponent > MAX_EXPONENT => None,
            Magnitude::Zero => None,
            magnitude => Some(magnitude),
        }
    }

    /// Converts a decimal number other than zero.
    fn from_decimal(literal: &FloatLiteral) -> Option<Self> {
        // digits × 10^exponent, without zeros at either end.
        let mut digits: Vec<u8> = literal.digits().skip_while(|&digit| digit == b'0').collect();
        let mut exponent = literal.exponent - literal.fraction.len() as i64;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent += 1;
        }
        let first_place = exponent + digits.len() as i64 - 1;
        if !(-4952..=4932).contains(&first_place) {
            return None;
        }

        let power = exponent.unsigned_abs() as u32;
        if digits.len() <= 19 && power <= MAX_POWER_OF_FIVE {
            let value = u128::from(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
            let five = 5u128.pow(power);
            if exponent >= 0 {
                return Self::round(value * five, exponent, false);
            }
            // Shifted to the top, the dividend leaves a quotient of more than 64 bits.
            let shift = value.leading_zeros();
            let dividend = value << shift;
            return Self::round(dividend / five, exponent - i64::from(shift), dividend % five != 0);
        }

        let mut value = Natural::from_digits(&digits);
        if exponent >= 0 {
            value.multiply_by_power_of_five(power);
            let (top, dropped, inexact) = value.top_bits();
            Self::round(top, exponent + dropped as i64, inexact)
        } else {
            let mut divisor = Natural::from_digits(b"1");
            divisor.multiply_by_power_of_five(power);
            let (quotient, shift, inexact) = value.divide(divisor);
            Self::round(quotient, exponent + shift, inexact)
        }
    }
}

/// Appends significand ÷ 2^halvings, which has a whole part of at most 64 bits.
fn write_small(significand: u64, halvings: u64, out: &mut Vec<u8>) {
    let scaled = u128::from(significand) * u128::from(ONE_IN_DECIMALS);
    let rounded = shift_right_to_even(scaled, halvings, false);
    let (whole, decimals) = (rounded / u128::from(ONE_IN_DECIMALS), rounded % u128::from(ONE_IN_DECIMALS));
    number::write_u64(whole as u64, out);
    if decimals == 0 {
        return;
    }
    out.push(b'.');
    write_padded(decimals as u64, ONE_IN_DECIMALS, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Appends significand × 2^doublings, an integer.
fn write_large(significand: u64, mut doublings: i64, out: &mut Vec<u8>) {
    /// A limb holds nine decimal digits, so that it can be doubled 32 times at once.
    const LIMB: u64 = 1_000_000_000;

    let mut limbs = Vec::new();
    let mut carry = significand;
    loop {
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
        if doublings == 0 {
            break;
        }
        let step = doublings.min(32);
        for limb in &mut limbs {
            let grown = (*limb << step) + carry;
            *limb = grown % LIMB;
            carry = grown / LIMB;
        }
        doublings -= step;
    }
    number::write_u64(limbs.pop().unwrap_or_default(), out);
    for &limb in limbs.iter().rev() {
        write_padded(limb, LIMB, out);
    }
}

/// Appends `value` with the leading zeros that make it as long as a number just below `power_of_ten`.
fn write_padded(value: u64, power_of_ten: u64, out: &mut Vec<u8>) {
    let mut buffer = [0; I64_LEN];
    let one_longer = number::format_i64((power_of_ten + value) as i64, &mut buffer);
    out.extend_from_slice(&one_longer[1..]);
}

/// A natural number of any size: base 2^64, lowest limb first, no zero limb at the top.
#[derive(PartialEq, Eq)]
struct Natural(Vec<u64>);

impl Natural {
    fn from_digits(digits: &[u8]) -> Self {
        let mut value = Natural(Vec::new());
        for chunk in digits.chunks(19) {
            let part = chunk.iter().fold(0, |part, digit| part * 10 + u64::from(digit - b'0'));
            value.multiply_add(10u64.pow(chunk.len() as u32), part);
        }
        value
    }

    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    fn multiply_by_power_of_five(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(MAX_POWER_OF_FIVE);
            self.multiply_add(5u64.pow(step), 0);
            power -= step;
        }
    }

    fn bits(&self) -> i64 {
        self.0.last().map_or(0, |top| self.0.len() as i64 * 64 - i64::from(top.leading_zeros()))
    }

    fn shift_left(&mut self, count: usize) {
        let (limbs, bits) = (count / 64, count % 64);
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let (difference, under) = limb.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The two highest limbs, the number of bits below them, and whether any of those is set.
    fn top_bits(&self) -> (u128, usize, bool) {
        let below = self.0.len().saturating_sub(2);
        let (low, high) = self.0.split_at(below);
        let top = high.iter().rev().fold(0, |top, &limb| top << 64 | u128::from(limb));
        (top, below * 64, low.iter().any(|&limb| limb != 0))
    }

    /// Divides by another number, neither being zero: the quotient is about the first number × 2^the second, of 65 or
    /// 66 bits; the flag tells that it is a little larger.
    fn divide(mut self, mut divisor: Self) -> (u128, i64, bool) {
        const FRACTION_BITS: i64 = 65;

        // With both of one length, their ratio is between a half and two.
        let shift = divisor.bits() - self.bits();
        if shift > 0 {
            self.shift_left(shift as usize);
        } else {
            divisor.shift_left(-shift as usize);
        }
        let mut quotient = 0;
        for _ in 0..=FRACTION_BITS {
            quotient <<= 1;
            if self >= divisor {
                self.subtract(&divisor);
                quotient |= 1;
            }
            self.shift_left(1);
        }
        (quotient, -FRACTION_BITS - shift, !self.0.is_empty())
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> LongDouble {
        LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"))
    }

    fn printed(value: LongDouble) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reads_to_the_nearest_number() {
        let cases = [
            ("0.1", 0xcccc_cccc_cccc_cccd, -67),
            ("1e-30", 0xa242_5ff7_5e14_fc32, -163),
            ("1e100", 0x924d_692c_a61b_e758, 269),
            ("1e4932", 0xd72c_b2a9_5c7e_f6cd, 16320),
            ("1e-4950", 0xc000_0000_0000_0000, -16507),
            ("3.6e-4951", 0x8000_0000_0000_0000, -16508),
            ("1.9e-4951", 0x8000_0000_0000_0000, -16508),
            ("3.3621031431120935062e-4932", 0x8000_0000_0000_0000, -16445),
            ("123456789012345678901234567890", 0xc774_87fb_61b9_f077, 33),
            ("18446744073709551617", 0x8000_0000_0000_0000, 1),
            ("18446744073709551617.0000000000000000000000000000000001", 0x8000_0000_0000_0001, 1),
            ("18446744073709551619", 0x8000_0000_0000_0002, 1),
            ("9223372036854775807.75", 0x8000_0000_0000_0000, 0),
            ("0x1.fffffffffffffffffp0", 0x8000_0000_0000_0000, -62),
            ("0x.1p-16441", 0x8000_0000_0000_0000, -16508),
        ];
        for (text, significand, exponent) in cases {
            let magnitude = Magnitude::Finite { significand, exponent };
            assert_eq!(number(text), LongDouble { negative: false, magnitude }, "{text}");
            assert_eq!(number(&format!("-{text}")), LongDouble { negative: true, magnitude }, "-{text}");
        }
        assert_eq!(number("0e99999999999999999999").magnitude, Magnitude::Zero);
        assert!(!number("-inf").is_finite());
        assert!(number("1e4932").is_finite());
    }

    #[test]
    fn refuses_what_is_no_number_or_beyond_the_range() {
        let refused = [
            "",
            " 1",
            "1 ",
            "1x",
            "nan",
            "-nan",
            "1e",
            "0x",
            "1e4933",
            "1.2e4932",
            "1.8e-4951",
            "1e-5000",
            "0x1p16384",
            "0x1p-16446",
            "0x1p99999999999999999999",
            "1\0",
        ];
        for text in refused {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(number(&"0".repeat(TEXT_LIMIT - 1)).magnitude, Magnitude::Zero);
        assert_eq!(LongDouble::parse(&[b'0'; TEXT_LIMIT]), None);
    }

    #[test]
    fn adds_and_prints() {
        let cases = [
            ("10.5", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("5", "-5", "0"),
            ("-0", "-0", "0"),
            ("1", "-1.1", "-0.1"),
            ("0", "-1e-18", "0"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "-0.6e-17", "-0.00000000000000001"),
            ("0x1p63", "0x1p-1", "9223372036854775808"),
            ("0x1p62", "0x1p-1", "4611686018427387904.5"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551614", "0.5", "18446744073709551614"),
            ("18446744073709551616", "-1e-30", "18446744073709551616"),
            ("0x1p64", "-0x1.8p-1", "18446744073709551615"),
            ("1e20", "1e-4950", "100000000000000000000"),
            ("1e-4950", "-1e-4950", "0"),
            ("100000000000000000000000000000", "0", "99999999999999999997315645440"),
        ];
        for (a, b, sum) in cases {
            assert_eq!(number(a).checked_add(number(b)).map(printed).as_deref(), Some(sum), "{a} + {b}");
            assert_eq!(number(b).checked_add(number(a)).map(printed).as_deref(), Some(sum), "{b} + {a}");
        }
        for (a, b) in [("inf", "1"), ("1", "-inf"), ("inf", "-inf"), ("1e4932", "1e4932"), ("-1e4932", "-1e4932")] {
            assert_eq!(number(a).checked_add(number(b)), None, "{a} + {b}");
        }
    }

    #[test]
    fn prints_doubles_and_infinities() {
        let cases = [
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "0"),
            (0.1, "0.10000000000000001"),
            (13.361389338970184, "13.36138933897018433"),
            (5e-324, "0"),
            (1e22, "10000000000000000000000"),
        ];
        for (value, text) in cases {
            assert_eq!(LongDouble::from_f64(value).map(printed).as_deref(), Some(text));
        }
        assert_eq!(LongDouble::from_f64(f64::NAN), None);
        assert_eq!(printed(number("1e4932")).len(), 4933);
    }

    #[test]
    fn integer_sums_agree_with_wider_integers() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let (a, b) = (rng.i64(..) >> rng.u32(0..64), rng.i64(..) >> rng.u32(0..64));
            let sum = LongDouble::from_i64(a).checked_add(LongDouble::from_i64(b));
            assert_eq!(sum.map(printed), Some((i128::from(a) + i128::from(b)).to_string()));
            // A number and its 2^-17th have at most 17 decimals, which printing and reading keep.
            let fraction = LongDouble { negative: a < 0, magnitude: Magnitude::normal(a.unsigned_abs(), -17) };
            assert_eq!(number(&printed(fraction)).magnitude, fraction.magnitude);
        }
    }

    #[test]
    fn sums_are_rounded_once() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..50_000 {
            // Both fit in 126 bits together, so that the exact sum is known.
            let (a, b) = (rng.u64(..) >> rng.u32(0..63) | 1, rng.u64(..) >> rng.u32(0..63) | 1);
            let (a_shift, b_shift) = (rng.u32(0..62), rng.u32(0..62));
            let (wide_a, wide_b) = (i128::from(a) << a_shift, i128::from(b) << b_shift);
            for sign in [1, -1] {
                let exact = wide_a + sign * wide_b;
                let part = |negative, value, shift| LongDouble {
                    negative,
                    magnitude: Magnitude::normal(value, i64::from(shift)),
                };
                let sum = part(false, a, a_shift).checked_add(part(sign < 0, b, b_shift));
                let expected =
                    if exact == 0 { Some(Magnitude::Zero) } else { Magnitude::round(exact.unsigned_abs(), 0, false) };
                assert_eq!(sum.map(|sum| sum.magnitude), expected, "{a}<<{a_shift} {sign} {b}<<{b_shift}");
                assert_eq!(sum.map(|sum| sum.negative), Some(exact < 0));
            }
        }
    }

    #[test]
    fn large_numbers_survive_printing_and_reading() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..300 {
            let magnitude = Magnitude::normal(rng.u64(1..), rng.i64(1..MAX_EXPONENT));
            let value = LongDouble { negative: rng.bool(), magnitude };
            assert_eq!(number(&printed(value)), value);
        }
    }

    #[test]
    fn the_long_way_to_read_agrees_with_the_short_one() {
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..2_000 {
            let (digits, power) = (rng.u64(1..) >> rng.u32(0..63), rng.u32(1..=MAX_POWER_OF_FIVE));
            let mut divisor = Natural::from_digits(b"1");
            divisor.multiply_by_power_of_five(power);
            let dividend = Natural::from_digits(digits.max(1).to_string().as_bytes());
            let (quotient, shift, inexact) = dividend.divide(divisor);
            let long = Magnitude::round(quotient, shift - i64::from(power), inexact);
            let short = number(&format!("{}e-{power}", digits.max(1)));
            assert_eq!(long, Some(short.magnitude), "{digits}e-{power}");
        }
    }
}
