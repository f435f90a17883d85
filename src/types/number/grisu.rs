//! Doubles to decimal digits by Grisu2 (F. Loitsch, Printing Floating-Point Numbers Quickly and Accurately with
//! Integers, 2010).
//!
//! The neighbours of a double leave room around it: every decimal number inside reads back as that double. Scaled by
//! a power of ten, the room is computed in 64-bit integers; digits of its upper end are produced until what is left
//! is no longer than the room, and the last digit is lowered while that brings the result closer to the double.
//!
//! Limit: the scaling rounds, so the room is made a little smaller to stay safe. The digits always read back, yet for
//! a few doubles in a thousand a shorter or closer string exists. Algorithms without that flaw are no slower; it is
//! Grisu2 because Redis prints doubles this way, and the strings have to be the same.

/// Most digits a double needs.
pub const MAX_DIGITS: usize = 17;

/// Products with a power of ten get an exponent from -60 to -32, so that their integer part fits in 32 bits and
/// their fraction can be multiplied by ten.
const LOWEST_EXPONENT: i32 = -60;

/// significand × 2^exponent, unsigned.
#[derive(Clone, Copy)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

impl Scaled {
    /// Shifts the highest bit to the top.
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Scaled { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand) + (1 << 63);
        Scaled { significand: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Puts the digits of a positive finite double into `digits`, as ASCII. Gives their number and the power of ten of
/// the first one.
pub fn digits(value: f64, digits: &mut [u8; MAX_DIGITS]) -> (usize, i32) {
    let (exact, lower, upper) = with_neighbourhood(value);
    let at = POWERS.partition_point(|power| upper.exponent + power.exponent + 64 < LOWEST_EXPONENT);
    let power = POWERS[at];
    let (exact, lower, upper) = (exact.times(power), lower.times(power), upper.times(power));

    // One unit less at either end makes up for the rounding of the products.
    let upper = Scaled { significand: upper.significand - 1, ..upper };
    let room = upper.significand - (lower.significand + 1);
    let distance = upper.significand - exact.significand;
    let (count, last_place) = produce(upper, room, distance, digits);
    (count, last_place + count as i32 - 1 - (FIRST_POWER + POWER_STEP * at as i32))
}

/// A double with the middles between it and its neighbours, all three with the exponent of the last one.
fn with_neighbourhood(value: f64) -> (Scaled, Scaled, Scaled) {
    const HIDDEN_BIT: u64 = 1 << 52;

    let bits = value.to_bits();
    let (fraction, biased) = (bits & (HIDDEN_BIT - 1), (bits >> 52 & 0x7ff) as i32);
    let exact = match biased {
        0 => Scaled { significand: fraction, exponent: -1074 },
        _ => Scaled { significand: fraction | HIDDEN_BIT, exponent: biased - 1075 },
    };
    let upper = Scaled { significand: 2 * exact.significand + 1, exponent: exact.exponent - 1 }.normalized();
    // Below a power of two the doubles are twice as dense.
    let lower = if exact.significand == HIDDEN_BIT {
        Scaled { significand: 4 * exact.significand - 1, exponent: exact.exponent - 2 }
    } else {
        Scaled { significand: 2 * exact.significand - 1, exponent: exact.exponent - 1 }
    };
    let aligned = |part: Scaled| {
        let shift = part.exponent - upper.exponent;
        Scaled { significand: part.significand << shift, exponent: upper.exponent }
    };
    (aligned(exact), aligned(lower), upper)
}

/// Produces the shortest digits of a number that is at most `room` below `upper`, close to the one that is `distance`
/// below it. Gives their number and the power of ten of the last one.
fn produce(upper: Scaled, mut room: u64, mut distance: u64, digits: &mut [u8; MAX_DIGITS]) -> (usize, i32) {
    let point = -upper.exponent as u32;
    let one = 1u64 << point;
    let mut whole = upper.significand >> point;
    let mut fraction = upper.significand & (one - 1);
    let mut count = 0;

    let mut place = whole.checked_ilog10().unwrap_or(0) as i32;
    let mut unit = 10u64.pow(place as u32);
    while place >= 0 {
        digits[count] = b'0' + (whole / unit) as u8;
        count += 1;
        whole %= unit;
        let rest = (whole << point) + fraction;
        if rest <= room {
            lower_last(&mut digits[count - 1], rest, room, unit << point, distance);
            return (count, place);
        }
        unit /= 10;
        place -= 1;
    }
    loop {
        (fraction, room, distance) = (fraction * 10, room * 10, distance * 10);
        digits[count] = b'0' + (fraction >> point) as u8;
        count += 1;
        fraction &= one - 1;
        if fraction < room {
            lower_last(&mut digits[count - 1], fraction, room, one, distance);
            return (count, place);
        }
        place -= 1;
    }
}

/// Lowers the last digit, worth `unit`, while that stays within the room and brings the number closer to the double.
/// `rest` is how far the number is below the upper end, `distance` how far the double is.
fn lower_last(digit: &mut u8, mut rest: u64, room: u64, unit: u64, distance: u64) {
    while rest < distance && room - rest >= unit && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *digit -= 1;
        rest += unit;
    }
}

/// Powers of ten, to 64 bits: 10^-348, 10^-340, … 10^340. Neighbours are 26.6 bits apart, so that one of them brings
/// any double into a span of 28.
const POWERS: [Scaled; 87] = powers_of_ten();
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// Computes the table exactly, in integers of 21 limbs with the lowest limb first, and rounds each entry once.
const fn powers_of_ten() -> [Scaled; 87] {
    const LIMBS: usize = 21;
    const STEP: u128 = 10u128.pow(POWER_STEP as u32);

    let mut powers = [Scaled { significand: 0, exponent: 0 }; 87];
    // Upwards from 10^4, which the grid holds next to 1.
    let mut at = (4 - FIRST_POWER) as usize / POWER_STEP as usize;
    let mut limbs = [0u64; LIMBS];
    limbs[0] = 10_000;
    while at < powers.len() {
        powers[at] = top_bits(&limbs, 0);
        let (mut limb, mut carry) = (0, 0);
        while limb < LIMBS {
            let product = limbs[limb] as u128 * STEP + carry;
            limbs[limb] = product as u64;
            carry = product >> 64;
            limb += 1;
        }
        at += 1;
    }
    // Downwards from 10^-4, as fractions of a large power of two.
    let mut at = (4 - FIRST_POWER) as usize / POWER_STEP as usize;
    let mut limbs = [0u64; LIMBS];
    limbs[LIMBS - 1] = 1 << 63;
    let mut divisor = 10_000;
    while at > 0 {
        at -= 1;
        let (mut limb, mut rest) = (LIMBS, 0);
        while limb > 0 {
            limb -= 1;
            let dividend = rest << 64 | limbs[limb] as u128;
            limbs[limb] = (dividend / divisor) as u64;
            rest = dividend % divisor;
        }
        divisor = STEP;
        powers[at] = top_bits(&limbs, 64 * LIMBS as i32 - 1);
    }
    powers
}

/// limbs ÷ 2^scale, rounded to 64 bits.
const fn top_bits(limbs: &[u64], scale: i32) -> Scaled {
    let mut top = limbs.len() - 1;
    while top > 0 && limbs[top] == 0 {
        top -= 1;
    }
    let shift = limbs[top].leading_zeros();
    let next = if top > 0 { limbs[top - 1] } else { 0 };
    let pair = ((limbs[top] as u128) << 64 | next as u128) << shift;
    let rounded = (pair >> 64) + (pair >> 63 & 1);
    Scaled { significand: rounded as u64, exponent: 64 * top as i32 - shift as i32 - scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_exact_to_the_last_bit() {
        let entry = |power: i32| POWERS[((power - FIRST_POWER) / POWER_STEP) as usize];
        // 10^4, 10^12 and 10^-4 are easily told; the ends of the table are those that other implementations list.
        let cases = [
            (4, 10_000 << 50, -50),
            (12, 10u64.pow(12) << 24, -24),
            (-4, 0xd1b7_1758_e219_652c, -77),
            (-348, 0xfa8f_d5a0_081c_0288, -1220),
            (340, 0xaf87_023b_9bf0_ee6b, 1066),
        ];
        for (power, significand, exponent) in cases {
            let entry = entry(power);
            assert_eq!((entry.significand, entry.exponent), (significand, exponent), "10^{power}");
        }
    }

    #[test]
    fn finds_the_digits() {
        let cases = [
            (1.0, "1", 0),
            (0.3, "3", -1),
            (1234.5, "12345", 3),
            (5e-324, "5", -324),
            (f64::MAX, "17976931348623157", 308),
            (f64::MIN_POSITIVE, "22250738585072014", -308),
        ];
        for (value, expected, exponent) in cases {
            let mut buffer = [0; MAX_DIGITS];
            let (count, first) = digits(value, &mut buffer);
            assert_eq!((&buffer[..count], first), (expected.as_bytes(), exponent), "{value:e}");
        }
    }
}
