//! A sorted set, in whatever form it is kept.
//!
//! A few short members are a [`listpack`] of members and scores in turn, in their order; any other sorted set is an
//! [`Ordered`] tree. How few and how short is set by [`Limits`]; when a set changes its form is what Redis does, because
//! OBJECT ENCODING tells and memory use follows from it: a set that once grew out of a listpack never goes back by
//! itself.
//!
//! Scores of a listpack are integers where they are whole numbers of up to 2^62, and the text that replies show
//! otherwise; so the sign of a negative zero gets lost there, as it does in Redis.
//!
//! [`ZsetRef`] is a sorted set to be read, [`Zset`] one on its way into the keyspace, and [`ZsetMut`] is what both a
//! `Zset` and a value of the keyspace are to the functions that change one.

use std::cmp::Ordering;
use std::ops::Range;

use super::hash::KeyHasher;
use super::listpack::{self, Buffer, Element};
use super::number::{F64_LEN, format_f64, parse_f64};
use super::ordered::{self, Entry, Ordered};

/// No listpack gets longer than this, in bytes, whatever the limits allow.
const LISTPACK_MAX: usize = 1 << 30;
/// The largest whole number that a listpack holds as an integer.
const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;

/// Up to where a sorted set is a listpack.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members.
    pub entries: usize,
    /// Bytes of a member.
    pub value: usize,
}

/// What the functions that change sorted sets need to know beside the set.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub limits: Limits,
    /// For sets that become trees.
    pub hasher: &'a KeyHasher,
}

/// An end of a range of scores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ScoreBound {
    pub score: f64,
    /// Whether the score itself is out of the range.
    pub exclusive: bool,
}

/// An end of a range of members.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MemberBound<'a> {
    /// Before all members.
    Lowest,
    /// Behind all members.
    Highest,
    From(&'a [u8]),
    /// Not the member itself.
    Beyond(&'a [u8]),
}

/// A range, from a lower end to an upper one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bounds<'a> {
    Scores(ScoreBound, ScoreBound),
    /// It means something among members of equal scores only.
    Members(MemberBound<'a>, MemberBound<'a>),
}

impl Bounds<'_> {
    /// Whether an entry comes before the range. Score and member are asked for only if they matter.
    #[inline]
    fn starts_behind(self, score: impl FnOnce() -> f64, compare: impl FnOnce(&[u8]) -> Ordering) -> bool {
        match self {
            Bounds::Scores(low, _) => {
                let score = score();
                score < low.score || low.exclusive && score == low.score
            }
            Bounds::Members(low, _) => match low {
                MemberBound::Lowest => false,
                MemberBound::Highest => true,
                MemberBound::From(bound) => compare(bound).is_lt(),
                MemberBound::Beyond(bound) => compare(bound).is_le(),
            },
        }
    }

    /// Whether an entry does not come behind the range.
    #[inline]
    fn reaches(self, score: impl FnOnce() -> f64, compare: impl FnOnce(&[u8]) -> Ordering) -> bool {
        match self {
            Bounds::Scores(_, high) => {
                let score = score();
                score < high.score || !high.exclusive && score == high.score
            }
            Bounds::Members(_, high) => match high {
                MemberBound::Lowest => false,
                MemberBound::Highest => true,
                MemberBound::From(bound) => compare(bound).is_le(),
                MemberBound::Beyond(bound) => compare(bound).is_lt(),
            },
        }
    }
}

/// The order of an element and a text, as texts.
fn compare(element: Element<'_>, text: &[u8]) -> Ordering {
    element.with_bytes(|own| own.cmp(text))
}

/// A score as an element of a listpack.
pub fn encode_score(score: f64, out: &mut Vec<u8>) {
    score_element(score, &mut [0; F64_LEN]).encode(out);
}

/// A score as an element of a listpack, which borrows its text from a buffer.
fn score_element(score: f64, buffer: &mut [u8; F64_LEN]) -> Element<'_> {
    if score.abs() <= WHOLE_MAX && score == score.trunc() {
        Element::Integer(score as i64)
    } else {
        Element::of(format_f64(score, buffer))
    }
}

/// The score that an element of a listpack is. Those of sets that were checked when they came in are scores.
#[inline]
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Integer(whole) => whole as f64,
        Element::Text(text) => parse_f64(text).unwrap_or_default(),
    }
}

/// A sorted set to be read.
#[derive(Clone, Copy)]
pub enum ZsetRef<'a> {
    /// A listpack of members and scores.
    List(&'a [u8]),
    Tree(&'a Ordered),
}

impl<'a> ZsetRef<'a> {
    /// How many members there are.
    pub fn len(self) -> usize {
        match self {
            ZsetRef::List(list) => listpack::len(list) / 2,
            ZsetRef::Tree(tree) => tree.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A member's score.
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            ZsetRef::List(list) => Some(find(list, member)?.1),
            ZsetRef::Tree(tree) => tree.score(member),
        }
    }

    /// How many entries come before a member's, and its score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZsetRef::List(list) => {
                let (at, rank) = listpack::find_nth(list, listpack::START, member, 2)?;
                Some((rank, score_at(list, at)))
            }
            ZsetRef::Tree(tree) => tree.rank(member),
        }
    }

    /// The ranks of the entries in a range. Of members among different scores, which are not in order, there are none
    /// if the first or the last of all lies on the wrong side of the range.
    pub fn ranks(self, bounds: Bounds<'_>) -> Range<usize> {
        self.some_ranks(bounds, false, usize::MAX)
    }

    /// As [`ZsetRef::ranks`], but those of the first `most` entries, or of the last ones if `backwards`, may be all.
    pub fn some_ranks(self, bounds: Bounds<'_>, backwards: bool, most: usize) -> Range<usize> {
        match self {
            ZsetRef::List(list) => list_ranks(list, bounds, backwards, most),
            ZsetRef::Tree(tree) => {
                let before = |entry: &Entry| bounds.starts_behind(|| entry.score(), |text| entry.member().cmp(text));
                let reached = |entry: &Entry| bounds.reaches(|| entry.score(), |text| entry.member().cmp(text));
                let len = tree.len();
                if !tree.at(0).is_some_and(reached) || tree.at(len - 1).is_none_or(before) {
                    return 0..0;
                }
                let start = tree.partition_point(before);
                start..tree.partition_point(reached).max(start)
            }
        }
    }

    /// The entries of a range of ranks, which must be within the set.
    pub fn iter(self, ranks: Range<usize>) -> Iter<'a> {
        match self {
            ZsetRef::List(list) => {
                let Range { start, end } = offsets(list, ranks);
                Iter::List(listpack::iter_from(&list[..end], start))
            }
            ZsetRef::Tree(tree) => Iter::Tree(tree.iter(ranks)),
        }
    }

    /// The entries of a range of ranks, which must be within the set, from the last to the first.
    pub fn iter_back(self, ranks: Range<usize>) -> Iter<'a> {
        match self {
            ZsetRef::List(list) => {
                let Range { start, end } = offsets(list, ranks);
                Iter::ListBack(listpack::iter_from(&list[..end], start))
            }
            ZsetRef::Tree(tree) => Iter::TreeBack(tree.iter_back(ranks)),
        }
    }

    /// The entries of some ranks, in the order of these, each of which must be below the number of members.
    pub fn visit(self, ranks: &[usize], mut visit: impl FnMut(Element<'a>, f64)) {
        match self {
            ZsetRef::List(list) => listpack::pick(list, 2, ranks.iter().copied(), |at| {
                visit(listpack::get(list, at), score_at(list, at));
            }),
            ZsetRef::Tree(tree) => {
                for entry in ranks.iter().filter_map(|&rank| tree.at(rank)) {
                    visit(Element::Text(entry.member()), entry.score());
                }
            }
        }
    }
}

/// The ranks of the entries of a listpack that are in a range, as [`ZsetRef::some_ranks`].
fn list_ranks(list: &[u8], bounds: Bounds<'_>, backwards: bool, most: usize) -> Range<usize> {
    let compare = |at: usize| move |text: &[u8]| compare(listpack::get(list, at), text);
    let is_before = |at: usize| bounds.starts_behind(|| score_at(list, at), compare(at));
    let is_reached = |at: usize| bounds.reaches(|| score_at(list, at), compare(at));
    let len = list.len();
    if listpack::is_empty(list) || !is_reached(listpack::START) || is_before(before(list, len)) {
        return 0..0;
    }
    // Scores are in order, so an end of the set that is in the range answers for all up to there. Members need not be.
    let in_order = matches!(bounds, Bounds::Scores(..));
    let mut found = 0;
    if backwards {
        let (mut at, mut end) = (before(list, len), listpack::len(list) / 2);
        while !is_reached(at) {
            (at, end) = (before(list, at), end - 1);
        }
        if in_order && !is_before(listpack::START) {
            return 0..end;
        }
        while found < most && !is_before(at) {
            found += 1;
            if at == listpack::START {
                break;
            }
            at = before(list, at);
        }
        end - found..end
    } else {
        let (mut at, mut start) = (listpack::START, 0);
        while is_before(at) {
            (at, start) = (end(list, at), start + 1);
        }
        if in_order && is_reached(before(list, len)) {
            return start..listpack::len(list) / 2;
        }
        while found < most && at < len && is_reached(at) {
            (at, found) = (end(list, at), found + 1);
        }
        start..start + found
    }
}

/// Where the entry of a rank begins: its member's offset, or the end.
fn offset(list: &[u8], rank: usize) -> usize {
    listpack::seek(list, 2 * rank as i64).unwrap_or(list.len())
}

/// Where the entries of a range of ranks lie.
fn offsets(list: &[u8], ranks: Range<usize>) -> Range<usize> {
    let start = offset(list, ranks.start);
    let behind = listpack::len(list) / 2 - ranks.end;
    // The nearer way to the end of the range.
    start..if ranks.len() < behind { ranks.fold(start, |at, _| end(list, at)) } else { offset(list, ranks.end) }
}

/// Where a member is in a listpack, and its score.
fn find(list: &[u8], member: &[u8]) -> Option<(usize, f64)> {
    let at = listpack::find(list, listpack::START, member, 2)?;
    Some((at, score_at(list, at)))
}

/// The score of the entry at an offset of a listpack.
#[inline]
fn score_at(list: &[u8], at: usize) -> f64 {
    score_of(listpack::get(list, listpack::end(list, at)))
}

/// Where the entry at an offset of a listpack ends.
#[inline]
fn end(list: &[u8], at: usize) -> usize {
    listpack::end(list, listpack::end(list, at))
}

/// Where the entry begins that ends at an offset of a listpack, which is not the beginning.
#[inline]
fn before(list: &[u8], end: usize) -> usize {
    listpack::previous(list, end).and_then(|score| listpack::previous(list, score)).expect("an entry is there")
}

/// The iterator of [`ZsetRef::iter`] and [`ZsetRef::iter_back`].
#[derive(Clone)]
pub enum Iter<'a> {
    List(listpack::Iter<'a>),
    ListBack(listpack::Iter<'a>),
    Tree(ordered::Iter<'a>),
    TreeBack(ordered::IterBack<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Element<'a>, f64)> {
        match self {
            Iter::List(elements) => {
                let (_, member) = elements.next()?;
                Some((member, score_of(elements.next()?.1)))
            }
            Iter::ListBack(elements) => {
                let (_, score) = elements.next_back()?;
                Some((elements.next_back()?.1, score_of(score)))
            }
            Iter::Tree(entries) => entries.next().map(|entry| (Element::Text(entry.member()), entry.score())),
            Iter::TreeBack(entries) => entries.next().map(|entry| (Element::Text(entry.member()), entry.score())),
        }
    }
}

/// A sorted set of its own.
pub enum Zset {
    List(Vec<u8>),
    Tree(Ordered),
}

impl Zset {
    /// A sorted set of entries whose members are all different, in whatever order; in theirs is fastest. `expected` is how many there are, as
    /// far as it matters: what is a tree from the beginning keeps the signs of all its zeros.
    pub fn of<'e>(expected: usize, entries: impl Iterator<Item = (&'e [u8], f64)>, rules: Rules<'_>) -> Zset {
        let mut zset = Zset::List(listpack::EMPTY.to_vec());
        expect(&mut zset, expected, rules);
        let mut last: Option<(&[u8], f64)> = None;
        for (member, score) in entries {
            let is_next = last.is_none_or(|last| last.1 < score || last.1 == score && last.0 < member);
            match &mut zset {
                Zset::List(list) if is_next && fits(list, member, rules.limits) => {
                    let end = list.len();
                    insert_at(list, end, member, score);
                    last = Some((member, score));
                }
                _ => update(&mut zset, member, rules, |_| Some(score)),
            }
        }
        zset
    }
}

/// A sorted set that can be changed. Its bytes as a [`Buffer`] are those of the listpack, and are not used otherwise.
pub trait ZsetMut: Buffer {
    /// It, to be read.
    fn zset(&self) -> ZsetRef<'_>;

    /// The tree, if it is one.
    fn tree_mut(&mut self) -> Option<&mut Ordered>;

    /// Becomes a tree of the same entries.
    fn become_tree(&mut self, tree: Ordered);
}

impl Buffer for Zset {
    fn bytes(&self) -> &[u8] {
        match self {
            Zset::List(list) => list,
            Zset::Tree(_) => &[],
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Zset::List(list) => list,
            Zset::Tree(_) => &mut [],
        }
    }

    fn reshape(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        match self {
            Zset::List(list) => list.reshape(range, len),
            Zset::Tree(_) => &mut [],
        }
    }
}

impl ZsetMut for Zset {
    fn zset(&self) -> ZsetRef<'_> {
        match self {
            Zset::List(list) => ZsetRef::List(list),
            Zset::Tree(tree) => ZsetRef::Tree(tree),
        }
    }

    fn tree_mut(&mut self) -> Option<&mut Ordered> {
        match self {
            Zset::List(_) => None,
            Zset::Tree(tree) => Some(tree),
        }
    }

    fn become_tree(&mut self, tree: Ordered) {
        *self = Zset::Tree(tree);
    }
}

/// Prepares a sorted set for `count` entries to be added, whether or not they are members already.
pub fn expect(zset: &mut impl ZsetMut, count: usize, rules: Rules<'_>) {
    if matches!(zset.zset(), ZsetRef::List(_)) && count > rules.limits.entries {
        into_tree(zset, rules.hasher);
    }
}

/// Turns a listpack into a tree.
pub fn into_tree(zset: &mut impl ZsetMut, hasher: &KeyHasher) {
    let mut tree = Ordered::new(hasher.clone());
    let entries = zset.zset();
    for (member, score) in entries.iter(0..entries.len()) {
        member.with_bytes(|member| tree.set(member, score));
    }
    zset.become_tree(tree);
}

/// Gives a member the score, which is not NaN, that `decide` makes of the one that it has; `None` changes nothing.
pub fn update(
    zset: &mut impl ZsetMut,
    member: &[u8],
    rules: Rules<'_>,
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) {
    if let Some(tree) = zset.tree_mut() {
        tree.update(member, decide);
        return;
    }
    let list = zset.bytes();
    if let Some((at, old)) = find(list, member) {
        if let Some(score) = decide(Some(old)).filter(|&score| score != old) {
            remove_entry(zset, at);
            insert_entry(zset, member, score);
        }
        return;
    }
    let Some(score) = decide(None) else { return };
    if fits(list, member, rules.limits) {
        insert_entry(zset, member, score);
        return;
    }
    into_tree(zset, rules.hasher);
    if let Some(tree) = zset.tree_mut() {
        tree.set(member, score);
    }
}

/// Whether a listpack may get one more member.
fn fits(list: &[u8], member: &[u8], limits: Limits) -> bool {
    listpack::len(list) / 2 < limits.entries
        && member.len() <= limits.value
        && list.len() + member.len() <= LISTPACK_MAX
}

/// Puts an entry where it belongs in a listpack.
fn insert_entry(zset: &mut impl ZsetMut, member: &[u8], score: f64) {
    let list = zset.bytes();
    let mut elements = listpack::iter(list);
    let mut at = list.len();
    while let (Some((start, other)), Some((_, other_score))) = (elements.next(), elements.next()) {
        let other_score = score_of(other_score);
        if other_score > score || other_score == score && compare(other, member).is_gt() {
            at = start;
            break;
        }
    }
    insert_at(zset, at, member, score);
}

/// Puts an entry before the one at an offset of a listpack, or at the end.
fn insert_at(list: &mut impl Buffer, at: usize, member: &[u8], score: f64) {
    let mut buffer = [0; F64_LEN];
    listpack::insert_pair(list, at, (Element::of(member), score_element(score, &mut buffer)));
}

fn remove_entry(zset: &mut impl ZsetMut, at: usize) {
    let list = zset.bytes();
    let end = listpack::end(list, listpack::end(list, at));
    listpack::remove(zset, at..end, 2);
}

/// Takes a member out. Returns its score.
pub fn remove(zset: &mut impl ZsetMut, member: &[u8]) -> Option<f64> {
    if let Some(tree) = zset.tree_mut() {
        return tree.remove(member);
    }
    let (at, score) = find(zset.bytes(), member)?;
    remove_entry(zset, at);
    Some(score)
}

/// Takes the entries of a range of ranks out, which must be within the set.
pub fn remove_ranks(zset: &mut impl ZsetMut, ranks: Range<usize>) {
    if let Some(tree) = zset.tree_mut() {
        return tree.remove_range(ranks);
    }
    let bytes = offsets(zset.bytes(), ranks.clone());
    listpack::remove(zset, bytes, 2 * ranks.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { entries: 20, value: 6 };

    fn contents(zset: ZsetRef<'_>) -> Vec<(Vec<u8>, f64)> {
        zset.iter(0..zset.len()).map(|(member, score)| (member.to_vec(), score)).collect()
    }

    fn sort(entries: &mut [(Vec<u8>, f64)]) {
        entries.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    }

    #[test]
    fn both_forms_agree_with_a_plain_list() {
        let hasher = KeyHasher::new(3);
        let mut rng = fastrand::Rng::with_seed(4);
        let scores = [0.0, 1.0, -1.0, 0.5, 1e20, -1e20, f64::INFINITY, f64::NEG_INFINITY, 0.1, 4e18, 3.0];
        for round in 0..60 {
            let rules = Rules { limits: Limits { entries: [0, 20, 200][round % 3], value: 300 }, hasher: &hasher };
            let mut zset = Zset::List(listpack::EMPTY.to_vec());
            let mut model: Vec<(Vec<u8>, f64)> = Vec::new();
            for _ in 0..rng.usize(1..300) {
                let member = match rng.u8(..4) {
                    0 => rng.i64(-3..30).to_string().into_bytes(),
                    1 => vec![rng.u8(..); rng.usize(..200)],
                    _ => format!("m{}", rng.u8(..60)).into_bytes(),
                };
                let at = model.iter().position(|entry| entry.0 == member);
                let old = at.map(|at| model[at].1);
                assert_eq!(zset.zset().score(&member), old);
                assert_eq!(zset.zset().rank(&member), at.map(|at| (at, model[at].1)));
                match rng.u8(..6) {
                    0 => {
                        assert_eq!(remove(&mut zset, &member), old);
                        model.retain(|entry| entry.0 != member);
                    }
                    1 if !model.is_empty() => {
                        let start = rng.usize(..model.len());
                        let end = rng.usize(start..=model.len().min(start + 4));
                        remove_ranks(&mut zset, start..end);
                        model.drain(start..end);
                    }
                    _ => {
                        let score = scores[rng.usize(..scores.len())];
                        update(&mut zset, &member, rules, |found| {
                            assert_eq!(found, old);
                            (score != 3.0).then_some(score)
                        });
                        if score != 3.0 {
                            model.retain(|entry| entry.0 != member);
                            model.push((member, score));
                            sort(&mut model);
                        }
                    }
                }
                assert_eq!(contents(zset.zset()), model);
            }
            let zset = zset.zset();
            for _ in 0..20 {
                let start = rng.usize(..=model.len());
                let end = rng.usize(start..=model.len());
                let mut back: Vec<_> = zset.iter_back(start..end).map(|entry| (entry.0.to_vec(), entry.1)).collect();
                back.reverse();
                assert_eq!(back, model[start..end]);
                let bound = |rng: &mut fastrand::Rng| ScoreBound {
                    score: scores[rng.usize(..scores.len())],
                    exclusive: rng.bool(),
                };
                let (low, high) = (bound(&mut rng), bound(&mut rng));
                let within = |score: f64| {
                    (score > low.score || !low.exclusive && score == low.score)
                        && (score < high.score || !high.exclusive && score == high.score)
                };
                let expected = model.iter().filter(|entry| within(entry.1)).count();
                let ranks = zset.ranks(Bounds::Scores(low, high));
                assert_eq!(ranks.len(), expected);
                assert!(model[ranks.clone()].iter().all(|entry| within(entry.1)));
                let (backwards, most) = (rng.bool(), rng.usize(..20));
                let some = zset.some_ranks(Bounds::Scores(low, high), backwards, most);
                let len = most.min(ranks.len());
                let part = if backwards { ranks.end - len..ranks.end } else { ranks.start..ranks.start + len };
                assert!(some == ranks || some == part || some.is_empty() && len == 0, "{some:?} of {ranks:?}");
            }
            let mut shuffled = model.clone();
            if round % 2 == 0 {
                rng.shuffle(&mut shuffled);
            }
            let entries = shuffled.iter().map(|(member, score)| (member.as_slice(), *score));
            assert_eq!(contents(Zset::of(0, entries, rules).zset()), model);
            let ranks: Vec<usize> = (0..model.len()).rev().collect();
            let mut visited = Vec::new();
            zset.visit(&ranks, |member, score| visited.push((member.to_vec(), score)));
            visited.reverse();
            assert_eq!(visited, model);
        }
    }

    #[test]
    fn ranges_of_members() {
        use MemberBound::{Beyond, From, Highest, Lowest};
        let hasher = KeyHasher::new(3);
        let members: [&[u8]; 6] = [b"", b"10", b"9", b"a", b"aa", b"b"];
        let cases = [
            (Lowest, Highest, 0..6),
            (Highest, Lowest, 0..0),
            (Lowest, Lowest, 0..0),
            (From(b"10"), From(b"a"), 1..4),
            (Beyond(b"10"), Beyond(b"a"), 2..3),
            (From(b"a"), Beyond(b"a"), 3..3),
            (From(b"a"), From(b"a"), 3..4),
            (From(b"ab"), Highest, 5..6),
            (Beyond(b""), From(b"1"), 1..1),
        ];
        for entries in [0, 100] {
            let rules = Rules { limits: Limits { entries, value: 10 }, hasher: &hasher };
            let zset = Zset::of(6, members.iter().map(|&member| (member, 0.0)), rules);
            for (low, high, expected) in cases.clone() {
                assert_eq!(zset.zset().ranks(Bounds::Members(low, high)), expected, "{low:?} {high:?}");
            }
        }
    }

    #[test]
    fn forms_follow_the_limits() {
        let hasher = KeyHasher::new(5);
        let rules = Rules { limits: LIMITS, hasher: &hasher };
        for (len, member_len, is_list) in [(20, 6, true), (21, 6, false), (1, 7, false), (0, 0, true)] {
            let members: Vec<String> = (0..len).map(|n| format!("{n:0member_len$}")).collect();
            let zset = Zset::of(len, members.iter().map(|member| (member.as_bytes(), 1.0)), rules);
            assert_eq!(matches!(zset, Zset::List(_)), is_list, "{len} of {member_len}");
            assert_eq!(zset.zset().len(), len);
        }
    }

    #[test]
    fn scores_survive_the_listpack() {
        for score in [0.0, 1.0, -1.0, 0.1, 1e300, -5e-324, 4503599627370497.0, 4.6e18, 9.3e18, f64::INFINITY] {
            let mut list = listpack::EMPTY.to_vec();
            encode_score(score, &mut list);
            assert_eq!(score_of(listpack::get(&list, listpack::START)), score);
        }
        let mut list = Vec::new();
        encode_score(-0.0, &mut list);
        assert_eq!(list, [0, 1]);
    }
}
