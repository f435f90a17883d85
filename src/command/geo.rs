//! Points on the earth: members of sorted sets whose scores are [`Point::encode`]d places.
//!
//! They are sorted sets to every other command, so a score may be anything; [`Point::decode`] makes a point of each. All
//! searches are one function: GEORADIUS and its kin say by position what GEOSEARCH says by words.

use std::ops::ControlFlow;

use super::Ctx;
use super::error::{Error, Outcome};
use super::string::integer;
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use super::zset::{self, AddOptions, member_reply};
use crate::effects::Event;
use crate::resp::{Args, Proto, Reply};
use crate::types::geohash::{Point, Search, Shape};
use crate::types::listpack::Element;
use crate::types::long_double::LongDouble;
use crate::types::number::{parse_f64, write_i64};
use crate::types::zset::{Bounds, ScoreBound, ZsetRef};

const GEO: Command = Command { acl: Acl::GEO, ..Command::NONE };
const DOC: Doc = Doc { group: "geo", since: "3.2.0", complexity: "O(1)", ..Command::NONE.doc };
const DOC_OF_SOME: Doc = Doc { complexity: "O(1) for each member", ..DOC };
const DOC_OF_SEARCH: Doc = Doc {
    complexity: "O(N+log(M)) for a sorted set of M members, N of which are in or near the area",
    since: "6.2.0",
    ..DOC
};
const DOC_OF_OLD: Doc = Doc { since: "3.2.0", deprecated_since: "6.2.0", ..DOC_OF_SEARCH };

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const STORED: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const BEHIND: Find = Find::Range { last: 0, step: 1, limit: 0 };

/// The key that follows a word, which is looked for from an argument on.
const fn behind(word: &'static str, from: i16) -> KeySpec {
    KeySpec { begin: Begin::Keyword(word, from), find: BEHIND, flags: STORED, notes: "" }
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        arity: -5,
        flags: WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        doc: Doc {
            summary: "Adds points to a sorted set, or moves them, on a condition if so wished.",
            complexity: "O(log(N)) for each point, N being the size of the sorted set",
            syntax: "key [condition: NX | XX] [change: CH] longitude latitude member [data: longitude latitude member ...]",
            ..DOC
        },
        handler: geoadd,
        ..GEO
    },
    Command {
        name: "geopos",
        arity: -2,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the longitudes and latitudes of members.",
            syntax: "key [member [member ...]]",
            ..DOC_OF_SOME
        },
        handler: geopos,
        ..GEO
    },
    Command {
        name: "geodist",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers how far two members are from each other.",
            syntax: "key member1 member2 [unit: M | KM | FT | MI]",
            ..DOC
        },
        handler: geodist,
        ..GEO
    },
    Command {
        name: "geohash",
        arity: -2,
        flags: READ,
        keys: READS,
        doc: Doc { summary: "Answers the geohashes of members.", syntax: "key [member [member ...]]", ..DOC_OF_SOME },
        handler: geohash,
        ..GEO
    },
    Command {
        name: "geosearch",
        arity: -7,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members that are in a circle or a box.",
            syntax: "key <from: FROMMEMBER member | FROMLONLAT longitude latitude> <by: <circle: <BYRADIUS radius> \
                     <unit: M | KM | FT | MI>> | <box: <BYBOX width> height <unit: M | KM | FT | MI>>> [order: ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] \
                     [WITHHASH]",
            ..DOC_OF_SEARCH
        },
        handler: |cx, args| search(cx, args, Form::SEARCH),
        ..GEO
    },
    Command {
        name: "geosearchstore",
        arity: -8,
        flags: WRITE,
        keys: &[KeySpec::one(1, STORED), KeySpec::one(2, KeyFlags::READS)],
        doc: Doc {
            summary: "Stores the members that are in a circle or a box under another key.",
            syntax: "destination source <from: FROMMEMBER member | FROMLONLAT longitude latitude> <by: <circle: \
                     <BYRADIUS radius> <unit: M | KM | FT | MI>> | <box: <BYBOX width> height <unit: M | KM | FT | MI>>> [order: ASC | DESC] [COUNT count [ANY]] \
                     [STOREDIST]",
            ..DOC_OF_SEARCH
        },
        handler: |cx, args| search(cx, args, Form::SEARCH_AND_STORE),
        ..GEO
    },
    Command {
        name: "georadius",
        arity: -6,
        flags: WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, KeyFlags::READS), behind("STORE", 6), behind("STOREDIST", 6)],
        doc: Doc {
            summary: "Answers the members that are in a circle around a point, or stores them.",
            syntax: "key longitude latitude radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
                     [COUNT count [ANY]] [order: ASC | DESC] [store: <storekey: STORE key> | <storedistkey: STOREDIST key>]",
            replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
            ..DOC_OF_OLD
        },
        handler: |cx, args| search(cx, args, Form { may_store: true, ..Form::AROUND_POINT }),
        ..GEO
    },
    Command {
        name: "georadius_ro",
        arity: -6,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members that are in a circle around a point.",
            since: "3.2.10",
            syntax: "key longitude latitude radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
                     [COUNT count [ANY]] [order: ASC | DESC]",
            replaced_by: "`GEOSEARCH` with the `BYRADIUS` argument",
            ..DOC_OF_OLD
        },
        handler: |cx, args| search(cx, args, Form::AROUND_POINT),
        ..GEO
    },
    Command {
        name: "georadiusbymember",
        arity: -5,
        flags: WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, KeyFlags::READS), behind("STORE", 5), behind("STOREDIST", 5)],
        doc: Doc {
            summary: "Answers the members that are in a circle around one of them, or stores them.",
            syntax: "key member radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
                     [order: ASC | DESC] [store: <storekey: STORE key> | <storedistkey: STOREDIST key>]",
            replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
            ..DOC_OF_OLD
        },
        handler: |cx, args| search(cx, args, Form { may_store: true, ..Form::AROUND_MEMBER }),
        ..GEO
    },
    Command {
        name: "georadiusbymember_ro",
        arity: -5,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members that are in a circle around one of them.",
            since: "3.2.10",
            syntax: "key member radius <unit: M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
                     [order: ASC | DESC]",
            replaced_by: "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
            ..DOC_OF_OLD
        },
        handler: |cx, args| search(cx, args, Form::AROUND_MEMBER),
        ..GEO
    },
];

/// The point that two arguments, a longitude and a latitude, name.
fn point(args: &Args<'_>, at: usize) -> Result<Point, Error> {
    let coordinate = |at: usize| parse_f64(&args[at]).ok_or(Error::NOT_A_FLOAT);
    let point = Point { longitude: coordinate(at)?, latitude: coordinate(at + 1)? };
    if point.is_valid() {
        return Ok(point);
    }
    Err(Error::new(format!("ERR invalid longitude,latitude pair {:.6},{:.6}", point.longitude, point.latitude)))
}

/// A unit of length in metres.
fn unit(word: &[u8]) -> Result<f64, Error> {
    let units: [(&[u8], f64); 4] = [(b"m", 1.0), (b"km", 1000.0), (b"ft", 0.3048), (b"mi", 1609.34)];
    let unit = units.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    Ok(unit.ok_or(Error::fixed("ERR unsupported unit provided. please use M, KM, FT, MI"))?.1)
}

fn length(word: &[u8], refusal: &'static str) -> Result<f64, Error> {
    parse_f64(word).ok_or(Error::fixed(refusal))
}

/// A circle's radius and unit.
fn circle(args: &Args<'_>, at: usize) -> Result<(Shape, f64), Error> {
    let radius = length(&args[at], "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(Error::fixed("ERR radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, unit(&args[at + 1])?))
}

/// A box's width, height and unit.
fn rectangle(args: &Args<'_>, at: usize) -> Result<(Shape, f64), Error> {
    let width = length(&args[at], "ERR need numeric width")?;
    let height = length(&args[at + 1], "ERR need numeric height")?;
    if height < 0.0 || width < 0.0 {
        return Err(Error::fixed("ERR height or width cannot be negative"));
    }
    Ok((Shape::Box { width, height }, unit(&args[at + 2])?))
}

/// The point that a member of a sorted set is.
fn member_point(zset: ZsetRef<'_>, member: &[u8]) -> Option<Point> {
    zset.score(member).map(Point::decode)
}

/// A length with four decimals.
fn distance_reply(reply: &mut Reply, length: f64) {
    let scaled = (length * 10_000.0).round_ties_even() as i64;
    let mut text = Vec::new();
    write_i64(scaled / 10_000, &mut text);
    text.push(b'.');
    text.extend([1000, 100, 10, 1].map(|place| b'0' + (scaled / place % 10) as u8));
    reply.bulk(&text);
}

/// A pair of coordinates.
fn point_reply(reply: &mut Reply, point: Point) {
    reply.array(2);
    for coordinate in [point.longitude, point.latitude] {
        let mut text = Vec::new();
        if let Some(exact) = LongDouble::from_f64(coordinate) {
            exact.write(&mut text);
        }
        if reply.proto == Proto::Resp3 {
            reply.raw(b",");
            reply.raw(&text);
            reply.raw(b"\r\n");
        } else {
            reply.bulk(&text);
        }
    }
}

fn geoadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut options = AddOptions::default();
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let option = if is("NX") {
            &mut options.nx
        } else if is("XX") {
            &mut options.xx
        } else if is("CH") {
            &mut options.changed
        } else {
            break;
        };
        *option = true;
        at += 1;
    }
    let words = args.len() - at;
    if words == 0 || !words.is_multiple_of(3) || options.nx && options.xx {
        return Err(Error::SYNTAX);
    }
    // All points are read before anything changes.
    let points = (at..args.len()).step_by(3).map(|at| point(args, at)).collect::<Result<Vec<Point>, Error>>()?;
    let scores: Vec<u64> = points.into_iter().map(|point| point.encode()).collect();
    let dirty = cx.server.keys.effects.dirty;
    let members = args.iter_from(at + 2).step_by(3);
    zset::add_scored(cx, args, options, scores.iter().map(|&score| score as f64).zip(members.clone()))?;
    if cx.propagates() && cx.server.keys.effects.dirty != dirty {
        // The scores are told, so that everybody has the same.
        let texts: Vec<String> = scores.iter().map(u64::to_string).collect();
        let mut words: Vec<&[u8]> = vec![b"zadd"];
        words.extend((1..at).map(|at| &args[at]));
        for (score, member) in texts.iter().zip(members) {
            words.extend([score.as_bytes(), member]);
        }
        cx.propagate(&words);
    }
    Ok(())
}

fn geopos(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let zset = zset::read(&mut cx.server.keys, cx.db, key, cx.touch)?;
    cx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        match zset.and_then(|zset| member_point(zset, member)) {
            Some(point) => point_reply(&mut cx.reply, point),
            None => cx.reply.null_array(),
        }
    }
    Ok(())
}

fn geodist(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let unit = match args.len() {
        4 => 1.0,
        5 => unit(&args[4])?,
        _ => return Err(Error::SYNTAX),
    };
    let key = cx.key(args, 1);
    let zset = zset::read(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let point = |at: usize| member_point(zset?, &args[at]);
    match (point(2), point(3)) {
        (Some(from), Some(to)) => distance_reply(&mut cx.reply, from.distance(to) / unit),
        _ => cx.reply.null(),
    }
    Ok(())
}

fn geohash(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let zset = zset::read(&mut cx.server.keys, cx.db, key, cx.touch)?;
    cx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        match zset.and_then(|zset| member_point(zset, member)) {
            Some(point) => cx.reply.bulk(&point.geohash()),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

// --- searches ----------------------------------------------------------------------------------------------------------

/// How a command says where to search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Area {
    /// A longitude, a latitude, a radius and its unit follow the key.
    Point,
    /// A member, a radius and its unit follow the key.
    Member,
    /// By words.
    Words,
}

/// What sets the commands that search apart.
#[derive(Clone, Copy)]
struct Form {
    area: Area,
    /// The argument that is the sorted set.
    source: usize,
    /// STORE and STOREDIST name a key.
    may_store: bool,
    /// The first key is where to store.
    stores: bool,
}

impl Form {
    const SEARCH: Form = Form { area: Area::Words, source: 1, may_store: false, stores: false };
    const SEARCH_AND_STORE: Form = Form { source: 2, stores: true, ..Form::SEARCH };
    const AROUND_POINT: Form = Form { area: Area::Point, ..Form::SEARCH };
    const AROUND_MEMBER: Form = Form { area: Area::Member, ..Form::SEARCH };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// What is asked for besides the area.
#[derive(Default)]
struct Options {
    with_coordinates: bool,
    with_distance: bool,
    with_score: bool,
    /// Any so many will do.
    any: bool,
    /// How many at most; 0 for all.
    count: usize,
    order: Option<Order>,
    /// The argument that names where to store.
    destination: Option<usize>,
    /// Distances are to be the scores.
    store_distances: bool,
}

/// A member that was found.
struct Found<'k> {
    member: Element<'k>,
    score: f64,
    point: Point,
    /// From the centre, in metres.
    distance: f64,
}

/// Reads all arguments.
///
/// # Errors
/// What is wrong with them, given the sorted set. Without one, a member is not looked for, and the search is `None` if it
/// needs one.
fn parse(args: &Args<'_>, form: Form, zset: Option<ZsetRef<'_>>) -> Result<(Option<Search>, Options), Error> {
    const LOST: Error = Error::fixed("ERR could not decode requested zset member");
    let member = |at: usize| zset.map(|zset| member_point(zset, &args[at]).ok_or(LOST)).transpose();
    let mut options = Options { destination: form.stores.then_some(1), ..Options::default() };
    // `Some(None)` is a member of a sorted set that does not exist.
    let (mut centre, mut shape) = (None, None);
    let (mut from_member, mut from_point) = (false, false);
    let mut at = match form.area {
        Area::Point => {
            centre = Some(Some(point(args, 2)?));
            shape = Some(circle(args, 4)?);
            6
        }
        Area::Member => {
            centre = Some(member(2)?);
            // The rest of what is by position is not looked at if there is nothing to look in.
            shape = zset.map(|_| circle(args, 3)).transpose()?;
            5
        }
        Area::Words => form.source + 1,
    };
    let by_words = form.area == Area::Words;
    while let Some(word) = args.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let left = args.len() - at - 1;
        let is_box = matches!(shape, Some((Shape::Box { .. }, _)));
        at += 1;
        if is("WITHDIST") {
            options.with_distance = true;
        } else if is("WITHHASH") {
            options.with_score = true;
        } else if is("WITHCOORD") {
            options.with_coordinates = true;
        } else if is("ANY") {
            options.any = true;
        } else if is("ASC") {
            options.order = Some(Order::Ascending);
        } else if is("DESC") {
            options.order = Some(Order::Descending);
        } else if is("COUNT") && left >= 1 {
            let count = integer(&args[at])?;
            let positive = usize::try_from(count).ok().filter(|&count| count > 0);
            options.count = positive.ok_or(Error::fixed("ERR COUNT must be > 0"))?;
            at += 1;
        } else if form.may_store && left >= 1 && (is("STORE") || is("STOREDIST")) {
            options.destination = Some(at);
            options.store_distances = is("STOREDIST");
            at += 1;
        } else if form.stores && is("STOREDIST") {
            options.store_distances = true;
        } else if by_words && is("FROMMEMBER") && left >= 1 && !from_point {
            centre = Some(member(at)?);
            from_member = true;
            at += 1;
        } else if by_words && is("FROMLONLAT") && left >= 2 && !from_member {
            centre = Some(Some(point(args, at)?));
            from_point = true;
            at += 2;
        } else if by_words && is("BYRADIUS") && left >= 2 && !is_box {
            shape = Some(circle(args, at)?);
            at += 2;
        } else if by_words && is("BYBOX") && left >= 3 && (shape.is_none() || is_box) {
            shape = Some(rectangle(args, at)?);
            at += 3;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if options.destination.is_some() && (options.with_distance || options.with_score || options.with_coordinates) {
        let what = if form.stores { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
        return Err(Error::new(format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")));
    }
    let one_of = |what: &[u8]| Error::new([b"ERR exactly one of ", what, b" can be specified for ", &args[0]].concat());
    if by_words && centre.is_none() {
        return Err(one_of(b"FROMMEMBER or FROMLONLAT"));
    }
    if by_words && shape.is_none() {
        return Err(one_of(b"BYRADIUS and BYBOX"));
    }
    if options.any && options.count == 0 {
        return Err(Error::fixed("ERR the ANY argument requires COUNT argument"));
    }
    let search = centre.flatten().zip(shape).map(|(centre, (shape, unit))| Search { centre, shape, unit });
    Ok((search, options))
}

/// What of a sorted set is within an area, in the order in which it is found there; only the first ones if `limit` is not 0.
fn find<'k>(zset: ZsetRef<'k>, search: &Search, limit: usize) -> Vec<Found<'k>> {
    let mut found = Vec::new();
    let looked = search.score_ranges().into_iter().try_for_each(|(first, behind)| {
        let low = ScoreBound { score: first, exclusive: false };
        let high = ScoreBound { score: behind, exclusive: true };
        zset.iter(zset.ranks(Bounds::Scores(low, high))).try_for_each(|(member, score)| {
            let point = Point::decode(score);
            if let Some(distance) = search.distance(point) {
                found.push(Found { member, score, point, distance });
            }
            if limit > 0 && found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    debug_assert!(looked.is_continue() || found.len() == limit);
    found
}

/// Brings the nearest, or farthest, `count` into their order, and leaves the others out.
fn arrange(found: &mut Vec<Found<'_>>, order: Order, count: usize) {
    // Those at one distance stay in the order in which they were found.
    let mut ranked: Vec<(f64, usize)> = found.iter().enumerate().map(|(nth, found)| (found.distance, nth)).collect();
    let compare = |a: &(f64, usize), b: &(f64, usize)| {
        let nearer = a.0.total_cmp(&b.0);
        let nearer = if order == Order::Ascending { nearer } else { nearer.reverse() };
        nearer.then(a.1.cmp(&b.1))
    };
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, compare);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(compare);
    let mut slots: Vec<Option<Found<'_>>> = found.drain(..).map(Some).collect();
    found.extend(ranked.into_iter().filter_map(|(_, nth)| slots[nth].take()));
}

fn search(cx: &mut Ctx<'_>, args: &Args<'_>, form: Form) -> Outcome {
    let key = cx.key(args, form.source);
    let zset = zset::read(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let (search, options) = parse(args, form, zset)?;
    let mut found = Vec::new();
    if let (Some(zset), Some(search)) = (zset, &search) {
        found = find(zset, search, if options.any { options.count } else { 0 });
        // The nearest are what COUNT means where any will not do.
        let by_default = (options.count > 0 && !options.any).then_some(Order::Ascending);
        if let Some(order) = options.order.or(by_default) {
            let count = if options.count > 0 { options.count } else { found.len() };
            arrange(&mut found, order, count);
        }
    }
    let unit = search.map_or(1.0, |search| search.unit);
    let Some(destination) = options.destination else {
        answer(&mut cx.reply, &found, &options, unit);
        return Ok(());
    };
    let score = |found: &Found<'_>| if options.store_distances { found.distance / unit } else { found.score };
    let entries: Vec<(Vec<u8>, f64)> = found.iter().map(|found| (found.member.to_vec(), score(found))).collect();
    let stored = zset::collected(cx, &entries);
    let key = cx.key(args, destination);
    let event = Event(if form.stores { "geosearchstore" } else { "georadiusstore" });
    zset::store(cx, key, stored, event);
    Ok(())
}

/// Replies with what was found, distances in a unit of so many metres.
fn answer(reply: &mut Reply, found: &[Found<'_>], options: &Options, unit: f64) {
    let extras = [options.with_distance, options.with_score, options.with_coordinates];
    let extras = extras.into_iter().filter(|&wanted| wanted).count();
    reply.array(found.len());
    for found in found {
        if extras > 0 {
            reply.array(1 + extras);
        }
        member_reply(reply, found.member);
        if options.with_distance {
            distance_reply(reply, found.distance / unit);
        }
        if options.with_score {
            // As processors convert what is too large.
            let is_small = found.score < i64::MAX as f64;
            reply.integer(if is_small { found.score as i64 } else { i64::MIN });
        }
        if options.with_coordinates {
            point_reply(reply, found.point);
        }
    }
}
