//! Points on the earth as numbers, and the search for those in an area.
//!
//! A point's number interleaves the bits of its latitude (the even ones) and of its longitude, each scaled to 26 bits of
//! its range, so that points whose numbers begin alike share a cell of a grid (G. M. Morton, 1966; geohash, G. Niemeyer,
//! 2008). The 52 bits fit a double, and a sorted set scored by them has the points of each cell in one range of scores.
//!
//! ```text
//!   bit  51 50 49 48 …  3  2  1  0
//!        lo la lo la … lo la lo la       lo longitude, la latitude; the first bits say which half it is in
//! ```
//!
//! A search takes a grid whose cells are as large as the area, looks into the cell of the area's centre and its eight
//! neighbours, as far as the area reaches into them, and measures each point found there. Latitudes end at ±85.05°, as
//! in Web Mercator. The earth is a sphere here, so distances are up to half a per cent off.
//!
//! Clients compare what is computed here to the last digit, so the order of the floating-point steps is part of it.

use std::f64::consts::PI;
use std::ops::RangeInclusive;

/// Bits of each coordinate in a point's number.
const STEPS: u32 = 26;
/// Longitudes that a point can have, in degrees.
pub const LONGITUDES: RangeInclusive<f64> = -180.0..=180.0;
/// Latitudes that a point can have, in degrees.
pub const LATITUDES: RangeInclusive<f64> = -85.05112878..=85.05112878;
/// Metres from the middle of the sphere to its surface.
const RADIUS: f64 = 6_372_797.560856;
/// Half of the equator in Web Mercator, in metres.
const MERCATOR_HALF: f64 = 20_037_726.37;

const RADIAN: f64 = PI / 180.0;

fn radians(degrees: f64) -> f64 {
    degrees * RADIAN
}

fn degrees(radians: f64) -> f64 {
    radians / RADIAN
}

/// A point, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

impl Point {
    /// Whether it is where points can be.
    pub fn is_valid(&self) -> bool {
        LONGITUDES.contains(&self.longitude) && LATITUDES.contains(&self.latitude)
    }

    /// Its number, of a valid point.
    pub fn encode(self) -> u64 {
        Cell::of(self, STEPS, &LATITUDES).bits
    }

    /// The point in the middle of those that a score stands for, which may be any score.
    pub fn decode(score: f64) -> Point {
        let area = Cell { bits: number(score), steps: STEPS }.area();
        let middle =
            |low: f64, high: f64, all: RangeInclusive<f64>| ((low + high) / 2.0).clamp(*all.start(), *all.end());
        Point {
            longitude: middle(area.west, area.east, LONGITUDES),
            latitude: middle(area.south, area.north, LATITUDES),
        }
    }

    /// Its standard geohash, whose latitudes end at the poles. The last of the eleven digits would need more bits than
    /// there are, and is always 0.
    pub fn geohash(self) -> [u8; 11] {
        const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(self, STEPS, &(-90.0..=90.0)).bits;
        std::array::from_fn(|nth| match nth {
            10 => b'0',
            nth => DIGITS[(bits >> (2 * STEPS as usize - 5 * (nth + 1))) as usize & 31],
        })
    }

    /// The distance to another point over the surface, in metres (haversine formula).
    pub fn distance(self, other: Point) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        // At the other end of the earth it may be a little more than there is.
        2.0 * RADIUS * a.min(1.0).sqrt().asin()
    }

    /// The distance between two circles of latitude, in metres.
    fn distance_north(self, other: Point) -> f64 {
        RADIUS * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

/// The number that a score stands for: converted as processors do it, for scores that are no point's too.
fn number(score: f64) -> u64 {
    const HIGHEST_BIT: u64 = 1 << 63;
    let limit = HIGHEST_BIT as f64;
    if score < limit {
        score as i64 as u64
    } else if score < 2.0 * limit {
        (score - limit) as u64 ^ HIGHEST_BIT
    } else {
        0
    }
}

/// A cell of a grid that halves both ranges `steps` times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell {
    /// Two bits for each step.
    bits: u64,
    steps: u32,
}

/// What a cell covers, in degrees.
#[derive(Clone, Copy)]
struct Area {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

const EVEN_BITS: u64 = 0x5555_5555_5555_5555;

/// Moves the bits of a number apart, so that they become the even bits.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN_BITS),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The even bits as a number.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN_BITS;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

impl Cell {
    /// The cell that a point is in. At the very end of a range that is one beyond the last cell.
    fn of(point: Point, steps: u32, latitudes: &RangeInclusive<f64>) -> Cell {
        let place = |degrees: f64, all: &RangeInclusive<f64>| {
            let part = (degrees - all.start()) / (all.end() - all.start());
            (part * (1u64 << steps) as f64) as u32
        };
        let (row, column) = (place(point.latitude, latitudes), place(point.longitude, &LONGITUDES));
        Cell { bits: spread(row) | spread(column) << 1, steps }
    }

    fn area(self) -> Area {
        let edge = |nth: u32, all: &RangeInclusive<f64>| {
            all.start() + (f64::from(nth) / (1u64 << self.steps) as f64) * (all.end() - all.start())
        };
        let (row, column) = (gather(self.bits), gather(self.bits >> 1));
        Area {
            west: edge(column, &LONGITUDES),
            east: edge(column.wrapping_add(1), &LONGITUDES),
            south: edge(row, &LATITUDES),
            north: edge(row.wrapping_add(1), &LATITUDES),
        }
    }

    /// The cell so many columns to the east and rows to the north, around the edges of the grid.
    fn neighbour(self, east: i32, north: i32) -> Cell {
        // What stays is not brought back into the grid: it may be the one beyond the last.
        let moved =
            |nth: u32, by: i32| if by == 0 { nth } else { nth.wrapping_add_signed(by) & ((1 << self.steps) - 1) };
        let (row, column) = (moved(gather(self.bits), north), moved(gather(self.bits >> 1), east));
        Cell { bits: spread(row) | spread(column) << 1, steps: self.steps }
    }

    /// The scores of points in the cell: from the first to before the second.
    fn scores(self) -> (f64, f64) {
        let align = |bits: u64| (bits << (2 * (STEPS - self.steps))) as f64;
        (align(self.bits), align(self.bits + 1))
    }
}

/// What points are looked for in, its centre in the middle.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shape {
    Circle {
        radius: f64,
    },
    /// From west to east and from south to north.
    Box {
        width: f64,
        height: f64,
    },
}

/// A shape around a point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Search {
    pub centre: Point,
    pub shape: Shape,
    /// The unit of the shape's measures, in metres.
    pub unit: f64,
}

impl Search {
    /// The distance of a point from the centre in metres, if it is within the shape.
    pub fn distance(&self, point: Point) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.centre.distance(point);
                (distance <= radius * self.unit).then_some(distance)
            }
            Shape::Box { width, height } => {
                if point.distance_north(self.centre) > height * self.unit / 2.0 {
                    return None;
                }
                // Along the point's own circle of latitude.
                let level = Point { longitude: self.centre.longitude, latitude: point.latitude };
                if point.distance(level) > width * self.unit / 2.0 {
                    return None;
                }
                Some(self.centre.distance(point))
            }
        }
    }

    /// What the shape covers, and how far it reaches from the centre in metres.
    fn extent(&self) -> (Area, f64) {
        let (east, north, reach) = match self.shape {
            Shape::Circle { radius } => (radius, radius, radius),
            Shape::Box { width, height } => {
                let (east, north) = (width / 2.0, height / 2.0);
                (east, north, (east * east + north * north).sqrt())
            }
        };
        let (east, north, reach) = (east * self.unit, north * self.unit, reach * self.unit);
        let Point { longitude, latitude } = self.centre;
        let up = degrees(north / RADIUS);
        // A degree of longitude is shortest where the shape is nearest to a pole.
        let nearest = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = degrees(east / RADIUS / radians(nearest).cos());
        let area =
            Area { west: longitude - aside, east: longitude + aside, south: latitude - up, north: latitude + up };
        (area, reach)
    }

    /// The ranges of scores, each from the first to before the second, among which all points of the shape are. A range
    /// may be there twice only if the grid has hardly any cells.
    pub fn score_ranges(&self) -> Vec<(f64, f64)> {
        let (area, reach) = self.extent();
        let mut centre = Cell::of(self.centre, steps(reach, self.centre.latitude), &LATITUDES);
        let sticks_out = centre.neighbour(0, 1).area().north < area.north
            || centre.neighbour(0, -1).area().south > area.south
            || centre.neighbour(1, 0).area().east < area.east
            || centre.neighbour(-1, 0).area().west > area.west;
        if centre.steps > 1 && sticks_out {
            centre = Cell::of(self.centre, centre.steps - 1, &LATITUDES);
        }
        let own = centre.area();
        // In a grid of two by two cells, every cell is a neighbour in every direction.
        let is_coarse = centre.steps < 2;
        let reaches = |east: i32, north: i32| {
            is_coarse
                || !(east < 0 && own.west < area.west
                    || east > 0 && own.east > area.east
                    || north < 0 && own.south < area.south
                    || north > 0 && own.north > area.north)
        };
        let directions = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells = vec![centre];
        for (east, north) in directions {
            let cell = centre.neighbour(east, north);
            // Around the edges, a cell can be the neighbour in several directions.
            let is_last = cells.len() > 1 && cells.last() == Some(&cell);
            if reaches(east, north) && !is_last {
                cells.push(cell);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// How often to halve the ranges so that an area which reaches so many metres fits nine cells.
fn steps(reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEPS;
    }
    let mut steps = 1i32;
    let mut metres = reach;
    while metres < MERCATOR_HALF {
        metres *= 2.0;
        steps += 1;
    }
    // One for the half, one to be sure; and more towards the poles, where cells are narrow.
    steps -= 2;
    if latitude.abs() > 66.0 {
        steps -= 1;
        if latitude.abs() > 80.0 {
            steps -= 1;
        }
    }
    steps.clamp(1, STEPS as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Point = Point { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Point = Point { longitude: 15.087269, latitude: 37.502669 };

    #[test]
    fn numbers_and_geohashes_of_known_points() {
        assert_eq!([PALERMO.encode(), CATANIA.encode()], [3479099956230698, 3479447370796909]);
        let decoded = [PALERMO, CATANIA].map(|point| Point::decode(point.encode() as f64));
        assert_eq!(decoded.map(|point| point.geohash()), [*b"sqc8b49rny0", *b"sqdtr74hyu0"]);
        assert_eq!(format!("{:.4}", decoded[0].distance(decoded[1])), "166274.1516");
        assert_eq!(PALERMO.distance(PALERMO), 0.0);
    }

    #[test]
    fn every_score_is_some_point() {
        for score in [0.0, -1.0, 1.5, 1e15, 2f64.powi(53), 1e18, 1e19, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Point::decode(score).is_valid(), "{score}");
        }
        assert_eq!([number(-1.0), number(2f64.powi(63)), number(1e300)], [u64::MAX, 1 << 63, 0]);
    }

    #[test]
    fn points_come_back_within_a_cell() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..10_000 {
            let point = random(&mut rng);
            let back = Point::decode(point.encode() as f64);
            assert!((point.longitude - back.longitude).abs() <= 360.0 / f64::from(1 << 26));
            assert!((point.latitude - back.latitude).abs() <= 171.0 / f64::from(1 << 26));
        }
        for (longitude, latitude) in [(-180.0, -85.05112878), (180.0, 85.05112878), (0.0, 0.0)] {
            let edge = Point { longitude, latitude };
            assert!(edge.is_valid());
            assert!(Point::decode(edge.encode() as f64).distance(edge) < 1.0);
        }
        assert!(!Point { longitude: 180.1, latitude: 0.0 }.is_valid());
        assert!(!Point { longitude: 0.0, latitude: -85.06 }.is_valid());
    }

    fn random(rng: &mut fastrand::Rng) -> Point {
        Point { longitude: rng.f64() * 360.0 - 180.0, latitude: rng.f64() * 170.0 - 85.0 }
    }

    /// Away from the poles and the edges of the map, the ranges hold all that is within the shape.
    #[test]
    fn ranges_hold_what_the_shape_does() {
        let mut rng = fastrand::Rng::with_seed(6);
        let mut within = 0;
        for _ in 0..300 {
            let centre = Point { longitude: rng.f64() * 200.0 - 100.0, latitude: rng.f64() * 120.0 - 60.0 };
            let reach = 10f64.powf(rng.f64() * 4.0);
            let shape = if rng.bool() {
                Shape::Circle { radius: reach }
            } else {
                Shape::Box { width: reach * 2.0, height: reach * rng.f64() * 2.0 }
            };
            let search = Search { centre, shape, unit: 100.0 };
            let ranges = search.score_ranges();
            assert!((1..=9).contains(&ranges.len()));
            let spread = reach * 100.0 / 50_000.0;
            for _ in 0..200 {
                let point = Point {
                    longitude: centre.longitude + (rng.f64() - 0.5) * spread,
                    latitude: (centre.latitude + (rng.f64() - 0.5) * spread).clamp(-80.0, 80.0),
                };
                let score = point.encode() as f64;
                if search.distance(Point::decode(score)).is_some() {
                    within += 1;
                    assert!(ranges.iter().any(|range| range.0 <= score && score < range.1), "{search:?} {point:?}");
                }
            }
        }
        assert!(within > 10_000, "{within}");
    }

    #[test]
    fn neighbours_go_around_the_edges() {
        let corner = Cell { bits: 0, steps: 3 };
        assert_eq!(corner.neighbour(-1, 0).bits, 0b10_10_10);
        assert_eq!(corner.neighbour(0, -1).bits, 0b01_01_01);
        assert_eq!(corner.neighbour(-1, -1).neighbour(1, 1), corner);
        assert_eq!(corner.neighbour(1, 1).bits, 0b11);
    }
}
