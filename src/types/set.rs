//! A set, in whatever form it is kept.
//!
//! A set of few integers is an [`intset`], a set of few short members a [`listpack`], any other a table of [`Members`].
//! How few and how short is set by [`Limits`]; when a set changes its form is what Redis does, because OBJECT ENCODING tells
//! and memory use follows from it: a set that once grew out of a form never goes back by itself.
//!
//! But a set that OBJECT ENCODING calls a hash table stays a listpack, or becomes one, as long as it has not more than 16
//! members in 4 KB, because a table would take much more memory.
//!
//! [`SetRef`] is a set to be read, [`Set`] one on its way into the keyspace, and [`SetMut`] is what both a `Set` and a
//! value of the keyspace are to the functions that change one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

use super::hash::KeyHasher;
use super::intset::{self, Seeker};
use super::listpack::{self, Buffer, Element, FEW_BYTES};
use super::member::{self, Members};
use super::telling::Told;

/// No listpack gets longer than this, in bytes, whatever the limits allow.
const LISTPACK_MAX: usize = 1 << 30;
/// A set that has outgrown its limits becomes a table when it gets more members than this, or [`FEW_BYTES`].
const FEW_MEMBERS: usize = 16;
/// No intset gets more integers than this, whatever the limits allow.
const INTSET_MAX: usize = 1 << 30;

/// Up to where a set keeps a compact form.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Integers in an intset.
    pub intset_entries: usize,
    /// Members in a listpack.
    pub listpack_entries: usize,
    /// Bytes of a member in a listpack.
    pub listpack_value: usize,
}

impl Limits {
    /// Whether a listpack may get one more member.
    fn listpack_takes(&self, bytes: usize, members: usize, member: usize) -> bool {
        members < self.listpack_entries && member <= self.listpack_value && bytes + member <= LISTPACK_MAX
    }
}

/// Whether so many members, in a listpack of so many bytes, stay in it although they have outgrown the limits.
fn are_few(members: usize, bytes: usize) -> bool {
    members <= FEW_MEMBERS && bytes <= FEW_BYTES
}

/// What the functions that change sets need to know beside the set.
pub struct Rules {
    pub limits: Limits,
    /// For sets that become tables.
    pub hasher: KeyHasher,
}

/// A set to be read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    Ints(&'a [u8]),
    List(&'a [u8]),
    Table(&'a Members),
}

impl<'a> SetRef<'a> {
    /// How many members there are.
    pub fn len(self) -> usize {
        match self {
            SetRef::Ints(ints) => intset::len(ints),
            SetRef::List(list) => listpack::len(list),
            SetRef::Table(members) => members.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether a text is a member.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetRef::Table(members) => members.contains(member),
            SetRef::List(list) => listpack::find(list, listpack::START, member, 1).is_some(),
            SetRef::Ints(_) => self.has(Element::of(member)),
        }
    }

    /// Whether an element of another set is a member.
    fn has(self, element: Element<'_>) -> bool {
        match (self, element) {
            (SetRef::Ints(ints), Element::Integer(integer)) => intset::contains(ints, integer),
            (SetRef::Ints(_), Element::Text(text)) => self.has_integer_text(text),
            (_, element) => element.with_bytes(|text| self.contains(text)),
        }
    }

    /// Texts that are integers come from tables, which keep no integers as such.
    fn has_integer_text(self, text: &[u8]) -> bool {
        matches!(Element::of(text), integer @ Element::Integer(_) if self.has(integer))
    }

    /// All members: integers in ascending order, those of a listpack in the order in which they came.
    pub fn iter(self) -> Iter<'a> {
        match self {
            SetRef::Ints(ints) => Iter::Ints(ints, 0..intset::len(ints)),
            SetRef::List(list) => Iter::List(listpack::iter(list)),
            SetRef::Table(members) => Iter::Table(members.iter()),
        }
    }

    /// Shows `count` members to `visit`, each chosen fairly from all; none if there are none.
    pub fn draw(self, count: usize, rng: &mut fastrand::Rng, mut visit: impl FnMut(Element<'a>)) {
        match self {
            _ if self.is_empty() => {}
            SetRef::Ints(ints) => {
                let len = intset::len(ints);
                (0..count).for_each(|_| visit(Element::Integer(intset::get(ints, rng.usize(..len)))));
            }
            SetRef::List(list) => {
                let len = listpack::len(list);
                let indexes = (0..count).map(|_| rng.usize(..len));
                listpack::pick(list, 1, indexes, |at| visit(listpack::get(list, at)));
            }
            SetRef::Table(members) => {
                (0..count).filter_map(|_| members.random(rng)).for_each(|member| visit(Element::Text(member)));
            }
        }
    }

    /// Shows `count` different members, or all if there are not so many, to `visit`: each choice of so many is as likely as
    /// any other, but they come in no particular order. It takes a time that grows with `count` alone, but for a
    /// listpack, which is short.
    pub fn sample(self, count: usize, rng: &mut fastrand::Rng, mut visit: impl FnMut(Element<'a>)) {
        let len = self.len();
        match self {
            _ if count >= len => self.iter().for_each(visit),
            SetRef::List(_) if count == 1 => self.draw(1, rng, visit),
            SetRef::Ints(ints) => {
                choose(len, count, rng).into_iter().for_each(|index| visit(Element::Integer(intset::get(ints, index))));
            }
            SetRef::Table(members) if is_few(count, len) => {
                let mut seen = HashSet::with_capacity(count);
                while seen.len() < count {
                    let Some(member) = members.random(rng) else { return };
                    if seen.insert(member.as_ptr()) {
                        visit(Element::Text(member));
                    }
                }
            }
            _ => self.iter().zip(picks(len, count, rng)).filter(|(_, picked)| *picked).for_each(|(e, _)| visit(e)),
        }
    }

    /// Whether both are one and the same.
    fn is(self, other: SetRef<'_>) -> bool {
        match (self, other) {
            (SetRef::Ints(a), SetRef::Ints(b)) | (SetRef::List(a), SetRef::List(b)) => std::ptr::eq(a, b),
            (SetRef::Table(a), SetRef::Table(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

/// Whether it is faster to draw `count` of `len` things one by one, again where one was drawn before, than to go through
/// all.
fn is_few(count: usize, len: usize) -> bool {
    count <= len / 3
}

/// Different numbers below `len`, `count` of them, ascending.
fn choose(len: usize, count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut chosen = Vec::new();
    if is_few(count, len) {
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            seen.insert(rng.usize(..len));
        }
        chosen.extend(seen);
        chosen.sort_unstable();
    } else {
        chosen.extend(picks(len, count, rng).enumerate().filter_map(|(index, picked)| picked.then_some(index)));
    }
    chosen
}

/// Says of each of `len` things in turn whether it is one of the `count` that are picked (Knuth, The Art of Computer
/// Programming, volume 2, 3.4.2, algorithm S).
fn picks(len: usize, count: usize, rng: &mut fastrand::Rng) -> impl Iterator<Item = bool> {
    let mut wanted = count;
    (0..len).map(move |index| {
        let picked = rng.usize(..len - index) < wanted;
        wanted -= picked as usize;
        picked
    })
}

/// The iterator of [`SetRef::iter`].
pub enum Iter<'a> {
    Ints(&'a [u8], Range<usize>),
    List(listpack::Iter<'a>),
    Table(member::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Iter::Ints(ints, indexes) => indexes.next().map(|index| Element::Integer(intset::get(ints, index))),
            Iter::List(elements) => elements.next().map(|(_, element)| element),
            Iter::Table(members) => members.next().map(Element::Text),
        }
    }
}

/// A set of its own.
pub enum Set {
    Ints(Vec<u8>),
    List(Vec<u8>),
    /// A listpack that has outgrown its limits.
    Few(Vec<u8>),
    Table(Members),
}

impl Set {
    /// An empty set of the form that a set begins with which is filled from other sets.
    pub fn empty() -> Set {
        Set::Ints(intset::EMPTY.to_vec())
    }
}

/// A set that can be changed. Its bytes as a [`Buffer`] are those of a compact form, and are not used otherwise.
pub trait SetMut: Buffer {
    /// It, to be read.
    fn set(&self) -> SetRef<'_>;

    /// Whether it has outgrown its limits, be it a table or not.
    fn is_outgrown(&self) -> bool;

    /// Its members, if it is a table.
    fn members_mut(&mut self) -> Option<&mut Members>;

    /// Takes another form with the same members.
    fn transform(&mut self, form: Set);
}

impl Buffer for Set {
    fn bytes(&self) -> &[u8] {
        match self {
            Set::Ints(bytes) | Set::List(bytes) | Set::Few(bytes) => bytes,
            Set::Table(_) => &[],
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Set::Ints(bytes) | Set::List(bytes) | Set::Few(bytes) => bytes,
            Set::Table(_) => &mut [],
        }
    }

    fn reshape(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        match self {
            Set::Ints(bytes) | Set::List(bytes) | Set::Few(bytes) => bytes.reshape(range, len),
            Set::Table(_) => &mut [],
        }
    }
}

impl SetMut for Set {
    fn set(&self) -> SetRef<'_> {
        match self {
            Set::Ints(bytes) => SetRef::Ints(bytes),
            Set::List(bytes) | Set::Few(bytes) => SetRef::List(bytes),
            Set::Table(members) => SetRef::Table(members),
        }
    }

    fn is_outgrown(&self) -> bool {
        matches!(self, Set::Few(_) | Set::Table(_))
    }

    fn members_mut(&mut self) -> Option<&mut Members> {
        match self {
            Set::Table(members) => Some(members),
            _ => None,
        }
    }

    fn transform(&mut self, form: Set) {
        *self = form;
    }
}

/// Prepares a set for `count` texts to be added, whether or not they are members already.
pub fn expect(set: &mut impl SetMut, count: usize, rules: &Rules) {
    let too_many = match set.set() {
        SetRef::Ints(_) => count > rules.limits.intset_entries,
        SetRef::List(_) if set.is_outgrown() => count > FEW_MEMBERS,
        SetRef::List(_) => count > rules.limits.listpack_entries,
        SetRef::Table(_) => false,
    };
    if too_many {
        outgrow(set, count, 0, rules);
    }
}

/// Adds a text. Returns whether it is a new member.
pub fn add(set: &mut impl SetMut, member: &[u8], rules: &Rules) -> bool {
    match set.members_mut() {
        Some(members) => members.insert(member),
        None => add_element(set, Element::of(member), rules),
    }
}

/// Adds an element of another set. Returns whether it is a new member.
pub fn add_element(set: &mut impl SetMut, element: Element<'_>, rules: &Rules) -> bool {
    let limits = rules.limits;
    if let Some(members) = set.members_mut() {
        return element.with_bytes(|member| members.insert(member));
    }
    let element = match element {
        // What comes from a table may be an integer all the same.
        Element::Text(text) => Element::of(text),
        integer => integer,
    };
    match set.set() {
        SetRef::Ints(ints) => {
            let len = intset::len(ints);
            if let Element::Integer(integer) = element {
                let Some(edit) = intset::insertion(ints, integer) else { return false };
                if len < limits.intset_entries.min(INTSET_MAX) {
                    set.splice(edit.range.clone(), edit.with());
                    return true;
                }
            } else {
                let ends = [0, len.wrapping_sub(1)].into_iter().filter(|&at| at < len);
                let longest = ends.map(|at| Element::Integer(intset::get(ints, at)).text_len()).max();
                let longest = longest.unwrap_or(0).max(element.text_len());
                if limits.listpack_takes(len * longest, len, longest) {
                    let mut list = listpack::EMPTY.to_vec();
                    let mut elements = Vec::new();
                    intset::iter(ints).for_each(|integer| listpack::encode_integer(integer, &mut elements));
                    element.encode(&mut elements);
                    listpack::append(&mut list, &elements, len + 1);
                    set.transform(Set::List(list));
                    return true;
                }
            }
        }
        SetRef::List(list) => {
            if element.with_bytes(|member| listpack::find(list, listpack::START, member, 1)).is_some() {
                return false;
            }
            let (bytes, members, member) = (list.len(), listpack::len(list), element.text_len());
            let takes = match set.is_outgrown() {
                true => are_few(members + 1, bytes + member),
                false => limits.listpack_takes(bytes, members, member),
            };
            if takes {
                let end = list.len();
                listpack::insert_element(set, end, element);
                return true;
            }
        }
        SetRef::Table(_) => {}
    }
    outgrow(set, 1, element.text_len(), rules);
    add_element(set, element, rules)
}

/// Moves a set that is outgrowing its limits, or is no longer small, to where there is room for so many more members of so many
/// bytes.
fn outgrow(set: &mut impl SetMut, more: usize, bytes: usize, rules: &Rules) {
    if set.is_outgrown() || !are_few(set.set().len().saturating_add(more), set.bytes().len() + bytes) {
        return into_table(set, rules);
    }
    let mut elements = Vec::new();
    set.set().iter().for_each(|element| element.encode(&mut elements));
    let mut list = listpack::EMPTY.to_vec();
    listpack::append(&mut list, &elements, set.set().len());
    set.transform(Set::Few(list));
}

fn into_table(set: &mut impl SetMut, rules: &Rules) {
    let mut members = Members::new(rules.hasher.clone());
    for element in set.set().iter() {
        element.with_bytes(|member| members.insert(member));
    }
    set.transform(Set::Table(members));
}

/// Turns a set of nothing but integers into an intset if they are few enough for that.
pub fn into_ints(set: &mut impl SetMut, rules: &Rules) {
    let few = set.set().len() <= rules.limits.intset_entries.min(INTSET_MAX);
    if !few || matches!(set.set(), SetRef::Ints(_)) {
        return;
    }
    let integer = |element| match element {
        Element::Integer(integer) => Some(integer),
        Element::Text(text) => super::number::parse_i64(text),
    };
    let Some(mut integers) = set.set().iter().map(integer).collect::<Option<Vec<i64>>>() else { return };
    integers.sort_unstable();
    let mut ints = intset::EMPTY.to_vec();
    for edit in integers {
        if let Some(edit) = intset::insertion(&ints, edit) {
            Buffer::splice(&mut ints, edit.range.clone(), edit.with());
        }
    }
    set.transform(Set::Ints(ints));
}

/// Takes a text out. Returns whether it was a member.
pub fn remove(set: &mut impl SetMut, member: &[u8]) -> bool {
    if let Some(members) = set.members_mut() {
        return members.remove(member);
    }
    match (set.set(), Element::of(member)) {
        (SetRef::Ints(ints), Element::Integer(integer)) => {
            let Some(range) = intset::removal(ints, integer) else { return false };
            set.splice(range, &[]);
        }
        (SetRef::List(list), _) => {
            let Some(at) = listpack::find(list, listpack::START, member, 1) else { return false };
            let range = at..listpack::end(list, at);
            listpack::remove(set, range, 1);
        }
        _ => return false,
    }
    true
}

/// Takes out `count` members chosen fairly, of more than so many, and shows each to `see`.
pub fn pop(
    set: &mut impl SetMut,
    count: usize,
    rng: &mut fastrand::Rng,
    rules: &Rules,
    mut see: impl FnMut(Element<'_>),
) {
    /// So many times as many as are left are taken out of a set that has outgrown its limits if those that are left move.
    const MUCH: usize = 5;
    let len = set.set().len();
    let left = len - count;
    if let Some(members) = set.members_mut() {
        // One that is being told stays a table until that is over.
        if left * MUCH > count || members.is_being_told() {
            for _ in 0..count {
                members.pop(rng, |member| see(Element::Text(member)));
            }
            return;
        }
        // What stays is little: it moves to a new set, which may be compact.
        let mut rest = Set::List(listpack::EMPTY.to_vec());
        for _ in 0..left {
            members.pop(rng, |member| add(&mut rest, member, rules));
        }
        members.iter().for_each(|member| see(Element::Text(member)));
        set.transform(rest);
        return;
    }
    let chosen = choose(len, count, rng);
    let kept = match set.set() {
        SetRef::Ints(ints) => {
            chosen.iter().for_each(|&index| see(Element::Integer(intset::get(ints, index))));
            intset::without(ints, &chosen)
        }
        SetRef::List(list) => {
            let mut elements = Vec::with_capacity(list.len());
            let mut chosen = chosen.into_iter().peekable();
            for (index, (at, element)) in listpack::iter(list).enumerate() {
                if chosen.next_if_eq(&index).is_some() {
                    see(element);
                } else {
                    elements.extend_from_slice(&list[at..listpack::end(list, at)]);
                }
            }
            let mut kept = listpack::EMPTY.to_vec();
            listpack::append(&mut kept, &elements, left);
            kept
        }
        SetRef::Table(_) => return,
    };
    if set.is_outgrown() && left * MUCH <= count {
        let mut rest = Set::List(listpack::EMPTY.to_vec());
        for (_, element) in listpack::iter(&kept) {
            add_element(&mut rest, element, rules);
        }
        set.transform(rest);
        return;
    }
    let end = set.bytes().len();
    set.splice(0..end, &kept);
}

/// A set that is asked for the members of another.
enum Probe<'a> {
    /// An intset that is asked for integers in ascending order.
    Ints(Seeker<'a>),
    Any(SetRef<'a>),
}

impl<'a> Probe<'a> {
    /// Asks `set` for members of `driver`, in their order.
    fn new(driver: SetRef<'a>, set: SetRef<'a>) -> Probe<'a> {
        match (driver, set) {
            (SetRef::Ints(_), SetRef::Ints(ints)) => Probe::Ints(Seeker::new(ints)),
            _ => Probe::Any(set),
        }
    }

    fn has(&mut self, element: Element<'_>) -> bool {
        match (self, element) {
            (Probe::Ints(seeker), Element::Integer(integer)) => seeker.has(integer),
            (Probe::Ints(_), Element::Text(_)) => false,
            (Probe::Any(set), element) => set.has(element),
        }
    }
}

/// The members that all sets have, until `visit` breaks: those of the smallest set that the others have too.
///
/// # Panics
/// If there are no sets.
pub fn intersection<'a>(sets: &[SetRef<'a>], mut visit: impl FnMut(Element<'a>) -> ControlFlow<()>) {
    let mut sets = sets.to_vec();
    sets.sort_by_key(|set| set.len());
    let driver = sets[0];
    let others = sets[1..].iter().filter(|set| !set.is(driver));
    let mut others: Vec<Probe<'_>> = others.map(|&set| Probe::new(driver, set)).collect();
    for element in driver.iter() {
        if others.iter_mut().all(|other| other.has(element)) && visit(element).is_break() {
            return;
        }
    }
}

/// The smallest of some sets, the first one of several.
pub fn smallest<'a>(sets: &[SetRef<'a>]) -> Option<SetRef<'a>> {
    sets.iter().copied().min_by_key(|set| set.len())
}

/// All members of some sets.
pub fn union<'a>(sets: impl Iterator<Item = SetRef<'a>>, rules: &Rules) -> Set {
    let sets: Vec<SetRef<'_>> = sets.collect();
    // What has more members than a compact form may have is copied faster than it is filled.
    let most = rules.limits.intset_entries.max(rules.limits.listpack_entries);
    let (copied, mut all) = match sets.iter().max_by_key(|set| set.len()) {
        Some(largest @ SetRef::Table(members)) if members.len() > most => {
            (Some(*largest), Set::Table(Members::clone(members)))
        }
        _ => (None, Set::empty()),
    };
    let others = sets.into_iter().filter(|set| !copied.is_some_and(|copied| copied.is(*set)));
    for element in others.flat_map(SetRef::iter) {
        add_element(&mut all, element, rules);
    }
    all
}

/// The members of the first set that no other has; a missing set has none. Either they are looked up in the others and
/// shown to `visit`, or the others' members are taken out of a copy of the first, which is returned: whichever promises
/// less work.
pub fn difference<'a>(sets: &[Option<SetRef<'a>>], rules: &Rules, mut visit: impl FnMut(Element<'a>)) -> Option<Set> {
    let (first, others) = sets.split_first()?;
    let first = (*first)?;
    let mut others: Vec<SetRef<'_>> = others.iter().flatten().copied().collect();
    if others.iter().any(|other| other.is(first)) {
        return None;
    }
    let all: usize = first.len() + others.iter().map(|other| other.len()).sum::<usize>();
    // Lookups are spared where the sets have much in common.
    if first.len() * (1 + others.len()) / 2 <= all {
        // A large set is more likely to have a member than a small one.
        others.sort_by_key(|other| Reverse(other.len()));
        let mut others: Vec<Probe<'_>> = others.into_iter().map(|set| Probe::new(first, set)).collect();
        for element in first.iter() {
            if !others.iter_mut().any(|other| other.has(element)) {
                visit(element);
            }
        }
        return None;
    }
    let mut rest = union([first].into_iter(), rules);
    for other in others {
        for element in other.iter() {
            element.with_bytes(|member| remove(&mut rest, member));
        }
        if rest.set().is_empty() {
            break;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    type Model = BTreeSet<Vec<u8>>;

    fn rules() -> Rules {
        let limits = Limits { intset_entries: 20, listpack_entries: 12, listpack_value: 6 };
        Rules { limits, hasher: KeyHasher::new(1) }
    }

    fn members(set: SetRef<'_>) -> Model {
        set.iter().map(Element::to_vec).collect()
    }

    fn form(set: &Set) -> &'static str {
        match set {
            Set::Ints(_) => "intset",
            Set::List(_) => "listpack",
            Set::Few(_) => "few",
            Set::Table(_) => "hashtable",
        }
    }

    /// A member: mostly an integer if `integers`.
    fn member(rng: &mut fastrand::Rng, integers: bool) -> Vec<u8> {
        let number = rng.i32(-30..30);
        if rng.u8(..150) == 0 {
            // Three of these fit into a listpack of few members, four do not.
            return format!("{number}{}", "x".repeat(1300)).into_bytes();
        }
        if integers && rng.u8(..50) > 0 {
            number.to_string()
        } else {
            format!("{number}{}", &"abcde"[..rng.usize(..6)])
        }
        .into_bytes()
    }

    fn sample(rng: &mut fastrand::Rng, rules: &Rules) -> (Set, Model) {
        let (mut set, mut model) = (Set::empty(), Model::new());
        let integers = rng.bool();
        for _ in 0..rng.usize(..40) {
            let member = member(rng, integers);
            assert_eq!(add(&mut set, &member, rules), model.insert(member));
        }
        (set, model)
    }

    #[test]
    fn behaves_like_a_set_in_every_form() {
        let rules = &rules();
        let mut rng = fastrand::Rng::with_seed(2);
        let mut forms = BTreeSet::new();
        for _ in 0..1000 {
            let (mut set, mut model) = sample(&mut rng, rules);
            for _ in 0..rng.usize(..30) {
                let integers = rng.bool();
                let member = member(&mut rng, integers);
                assert_eq!(set.set().contains(&member), model.contains(&member));
                if rng.bool() {
                    assert_eq!(remove(&mut set, &member), model.remove(&member));
                } else {
                    assert_eq!(add(&mut set, &member, rules), model.insert(member));
                }
                assert_eq!(set.set().len(), model.len());
            }
            assert_eq!(members(set.set()), model);
            forms.insert(form(&set));
            let mut drawn = 0;
            set.set().draw(5, &mut rng, |element| {
                assert!(model.contains(&element.to_vec()));
                drawn += 1;
            });
            assert_eq!(drawn, if model.is_empty() { 0 } else { 5 });
            let count = rng.usize(..=model.len() + 2);
            let mut sampled = Vec::new();
            set.set().sample(count, &mut rng, |element| sampled.push(element.to_vec()));
            assert_eq!(sampled.len(), count.min(model.len()));
            let different: Model = sampled.into_iter().collect();
            assert!(different.len() == count.min(model.len()) && different.is_subset(&model));
            if count < model.len() {
                pop(&mut set, count, &mut rng, rules, |element| assert!(model.remove(&element.to_vec())));
                assert_eq!(members(set.set()), model);
            }
        }
        assert_eq!(forms.len(), 4);
    }

    #[test]
    fn algebra_of_sets_of_all_forms() {
        let rules = &rules();
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..3000 {
            let sets: Vec<(Set, Model)> = (0..rng.usize(1..5)).map(|_| sample(&mut rng, rules)).collect();
            let mut refs: Vec<SetRef<'_>> = sets.iter().map(|(set, _)| set.set()).collect();
            let mut models: Vec<&Model> = sets.iter().map(|(_, model)| model).collect();
            if rng.u8(..10) == 0 {
                refs.push(refs[0]);
                models.push(models[0]);
            }
            let mut common = Model::new();
            intersection(&refs, |element| {
                assert!(common.insert(element.to_vec()), "once only");
                ControlFlow::Continue(())
            });
            let rest = |member: &&Vec<u8>| models[1..].iter().all(|model| model.contains(*member));
            assert_eq!(common, models[0].iter().filter(rest).cloned().collect());
            let all: Model = models.iter().flat_map(|model| model.iter().cloned()).collect();
            assert_eq!(members(union(refs.iter().copied(), rules).set()), all);
            let mut only = Model::new();
            let mut missing: Vec<Option<SetRef<'_>>> = refs.iter().copied().map(Some).collect();
            missing.push(None);
            let rest = difference(&missing, rules, |element| assert!(only.insert(element.to_vec()), "once only"));
            if let Some(rest) = rest {
                assert!(only.is_empty());
                only = members(rest.set());
            }
            let rest = |member: &&Vec<u8>| !models[1..].iter().any(|model| model.contains(*member));
            assert_eq!(only, models[0].iter().filter(rest).cloned().collect());
        }
    }

    #[test]
    fn forms_follow_the_limits() {
        let rules = &rules();
        let numbers = |range: Range<i64>| range.map(|number| number.to_string()).collect::<Vec<_>>();
        let words = |range: Range<i64>| range.map(|number| format!("w{number}")).collect::<Vec<_>>();
        let cases = [
            (vec![], "intset"),
            (numbers(0..20), "intset"),
            (numbers(0..21), "hashtable"),
            (words(0..12), "listpack"),
            (words(0..13), "few"),
            (words(0..16), "few"),
            (words(0..17), "hashtable"),
            ([numbers(0..11), words(0..1)].concat(), "listpack"),
            ([numbers(0..12), words(0..1)].concat(), "few"),
            ([numbers(0..16), words(0..1)].concat(), "hashtable"),
            (vec!["sixsix".to_string()], "listpack"),
            (vec!["sevenxx".to_string()], "few"),
            (vec!["x".repeat(FEW_BYTES - 2)], "few"),
            (vec!["x".repeat(FEW_BYTES - 1)], "hashtable"),
            (vec!["x".repeat(FEW_BYTES - 9), "y".to_string()], "few"),
            (vec!["x".repeat(FEW_BYTES - 8), "yyyy".to_string()], "hashtable"),
            (vec!["1234567".to_string()], "intset"),
            (vec!["1234567".to_string(), "word".to_string()], "few"),
            (vec!["-123456".to_string(), "word".to_string()], "few"),
            (vec!["-12345".to_string(), "word".to_string()], "listpack"),
            (vec!["01".to_string()], "listpack"),
        ];
        for (added, expected) in cases {
            let mut set = Set::empty();
            added.iter().for_each(|member| assert!(add(&mut set, member.as_bytes(), rules)));
            assert_eq!(form(&set), expected, "{added:?}");
        }
        for (start, count, expected) in [
            ("1", 20, "intset"),
            ("1", 21, "hashtable"),
            ("w", 12, "listpack"),
            ("w", 13, "few"),
            ("w", 16, "hashtable"),
        ] {
            let mut set = Set::empty();
            add(&mut set, start.as_bytes(), rules);
            expect(&mut set, count, rules);
            assert_eq!(form(&set), expected, "{start} and {count} more");
        }
        for (added, expected) in [(numbers(0..20), "intset"), (numbers(0..21), "hashtable"), (words(0..9), "listpack")]
        {
            let mut set = Set::List(listpack::EMPTY.to_vec());
            added.iter().for_each(|member| assert!(add(&mut set, member.as_bytes(), rules)));
            into_ints(&mut set, rules);
            assert_eq!(form(&set), expected, "{added:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_set_that_outgrew_its_limits_may_be_compact_again() {
        let rules = &rules();
        let mut rng = fastrand::Rng::with_seed(8);
        for (members, popped, expected) in
            [(13, 10, "few"), (14, 11, "few"), (12, 10, "listpack"), (16, 14, "listpack")]
        {
            let mut set = Set::List(listpack::EMPTY.to_vec());
            expect(&mut set, 13, rules);
            (0..members).for_each(|number| assert!(add(&mut set, format!("w{number}").as_bytes(), rules)));
            assert_eq!(form(&set), "few");
            assert!(!add(&mut set, b"w1", rules), "it is there");
            pop(&mut set, popped, &mut rng, rules, |_| {});
            assert_eq!((form(&set), set.set().len()), (expected, members - popped));
        }
    }
}
