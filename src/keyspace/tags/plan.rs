//! The plan of an invalidation of very many tags: all that one command names, or all below one.
//!
//! The tags are found in slices, while whoever gave the command waits. What has been found is *condemned*: it goes on as before,
//! gets members and loses them, but stays, even without any, and the plan keeps count of it. When all have been found they die
//! at once, by one stroke at the plan. From then on the plan buries them in slices: each leaves the table of names and joins the
//! dead that are swept. Whoever comes across the name of one before that buries it first.
//!
//! So the invalidation happens at the moment of that stroke, and is journalled there. What was written to a tag before goes with
//! it. While the plan looks for what is below its tags, links do not change: who wants to change them waits. There is one plan
//! at a time in a namespace.

use std::rc::Rc;

use super::paged::Paged;
use super::record::{NO_NODE, State};
use super::{Open, Tags};

/// Tags that are found, or buried, in one step.
const STEP: usize = 64;

/// Names of tags, as whoever gave them keeps them: there may be too many to copy them more often than need be.
pub trait Names {
    /// The name at a position; `None` behind the last.
    fn get(&self, at: usize) -> Option<&[u8]>;
}

impl Names for Vec<Box<[u8]>> {
    fn get(&self, at: usize) -> Option<&[u8]> {
        self.as_slice().get(at).map(|name| &**name)
    }
}

/// What a command wants to be invalidated.
pub struct Plan {
    /// By which who waits for the count knows it.
    pub claim: u64,
    /// The tags that were named; they are let go when they are dead.
    names: Option<Rc<dyn Names>>,
    /// Whether those below them are meant, too.
    pub descendants: bool,
    /// Whether the journal is to be told.
    pub journalled: bool,
    /// Names for those who are told which tags were invalidated, if anybody is.
    pub told: Option<Vec<Box<[u8]>>>,
    /// How many of the names have been looked up.
    named: usize,
    /// What has been found and is not buried yet.
    found: Paged<u32>,
    /// Of how many the children have been found, and which child of the next was the last.
    explored: u32,
    last_child: Option<u32>,
    /// Members of condemned tags, and how many of the tags share some.
    members: usize,
    shared: usize,
    /// How many condemned tags have no links; and how many there are only for the plan's sake.
    bare: usize,
    hidden: usize,
    /// Once they are dead: the number of the last snapshot that had begun by then, and whether the invalidation is open.
    death: Option<(u32, bool)>,
    /// Nothing will come of it, for the tags go in another way.
    given_up: bool,
}

impl Plan {
    /// A plan of which nothing has been done. `tells` says whether somebody will want to know the names of all tags.
    pub fn new(claim: u64, names: Rc<dyn Names>, descendants: bool, tells: bool, journalled: bool) -> Plan {
        Plan {
            claim,
            names: Some(names),
            descendants,
            journalled,
            told: tells.then(Vec::new),
            named: 0,
            found: Paged::default(),
            explored: 0,
            last_child: None,
            members: 0,
            shared: 0,
            bare: 0,
            hidden: 0,
            death: None,
            given_up: false,
        }
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        self.names.as_ref()?.get(at)
    }

    /// The names that were given, until they are dead.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..).map_while(|at| self.name(at))
    }
}

/// How far a plan is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Tags are still being found.
    Finding,
    /// They have been found, and can die.
    Found,
    /// They are dead.
    Burying,
}

impl Tags {
    /// How far the plan is, if there is one.
    pub fn plan_stage(&self) -> Option<Stage> {
        let plan = self.plan.as_ref().filter(|plan| !plan.given_up)?;
        let explored = !plan.descendants || plan.explored as usize == plan.found.len();
        Some(match plan.death {
            Some(_) => Stage::Burying,
            None if plan.name(plan.named).is_none() && explored => Stage::Found,
            None => Stage::Finding,
        })
    }

    /// Whether there is a plan of which nothing has died yet.
    pub fn is_planning(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.death.is_none() && !plan.given_up)
    }

    /// Sets out to invalidate what a plan says. There must be none yet.
    pub fn begin_plan(&mut self, plan: Plan) {
        debug_assert!(self.plan.is_none(), "one plan at a time");
        self.plan = Some(Box::new(plan));
    }

    /// Finds some more tags.
    pub fn find_some(&mut self) {
        let Some(mut plan) = self.plan.take() else { return };
        let mut steps = STEP;
        while steps > 0
            && let Some(name) = plan.name(plan.named)
        {
            let tag = self.intern(name);
            self.condemn(&mut plan, tag);
            plan.named += 1;
            steps -= 1;
        }
        while steps > 0 && plan.descendants && (plan.explored as usize) < plan.found.len() {
            let node = self.record(*plan.found.get(plan.explored)).node;
            let mut children = Vec::new();
            if node != NO_NODE {
                children.extend(self.links.children_behind(node, plan.last_child).take(steps));
            }
            if children.len() < steps {
                plan.explored += 1;
                plan.last_child = None;
            } else {
                plan.last_child = children.last().map(|&(child, _)| child);
            }
            steps -= (children.len() + 1).min(steps);
            children.into_iter().for_each(|(_, tag)| self.condemn(&mut plan, tag));
        }
        self.plan = Some(plan);
    }

    fn condemn(&mut self, plan: &mut Plan, tag: u32) {
        let record = self.records.get_mut(tag);
        if record.state == State::Condemned {
            return;
        }
        debug_assert!(record.state == State::Alive, "names lead to the living");
        record.state = State::Condemned;
        plan.members += record.members.len();
        plan.shared += usize::from(record.shared > 0);
        plan.bare += usize::from(record.node == NO_NODE);
        plan.hidden += usize::from(record.is_hollow());
        if let Some(told) = &mut plan.told {
            told.push(record.name.text().into());
        }
        plan.found.insert(|_| tag);
    }

    /// The plan that is under way.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// Members of what has been found, and how many of the tags share some.
    pub fn planned(&self) -> (usize, usize) {
        self.plan.as_ref().map_or((0, 0), |plan| (plan.members, plan.shared))
    }

    /// Lets all die that has been found. `walk` is the number of the last snapshot that has begun. If the keys are to be counted as
    /// they are removed, that is `open`.
    pub fn kill_planned(&mut self, walk: u32, open: Option<Open>) {
        let is_open = open.is_some();
        if let Some(open) = open {
            self.begin_open(open);
        }
        let Some(plan) = &mut self.plan else { return };
        plan.death = Some((walk, is_open));
        plan.names = None;
        plan.hidden = plan.bare;
        self.mixed += plan.shared;
        match &mut self.open {
            // Each of them will be swept.
            Some(open) if is_open => open.records += plan.found.len(),
            _ => self.dead += plan.members,
        }
    }

    /// All tags are about to go at once: nothing is to come of a plan of which nothing has died yet. Returns its claim.
    pub fn give_plan_up(&mut self) -> Option<u64> {
        let plan = self.plan.as_mut().filter(|plan| plan.death.is_none() && !plan.given_up)?;
        plan.given_up = true;
        plan.names = None;
        Some(plan.claim)
    }

    /// Takes the names for those who are told of the plan.
    pub fn take_told(&mut self) -> Vec<Box<[u8]>> {
        self.plan.as_mut().and_then(|plan| plan.told.take()).unwrap_or_default()
    }

    /// Buries some of the plan's dead. Returns false if there was nothing left to be done.
    pub(super) fn bury_some(&mut self) -> bool {
        if self.plan_stage() != Some(Stage::Burying) {
            return false;
        }
        for _ in 0..STEP {
            let Some(plan) = &mut self.plan else { break };
            let Some(last) = plan.found.last() else {
                self.plan = None;
                break;
            };
            let tag = plan.found.remove(last);
            // One whose name was used in the meantime is buried already, and its number may be another's.
            if self.find_record(tag).is_some_and(|record| record.state == State::Condemned) {
                self.bury(tag);
            }
        }
        true
    }

    /// Buries a dead tag that is still in the table of names.
    pub(super) fn bury(&mut self, tag: u32) {
        let record = self.records.get(tag);
        let (members, shared, bare) = (record.members.len(), record.shared > 0, record.node == NO_NODE);
        let Some(plan) = &mut self.plan else { return };
        let Some((walk, open)) = plan.death else { return };
        plan.members -= members;
        plan.shared -= usize::from(shared);
        plan.hidden -= usize::from(bare);
        self.inter(tag, walk, open);
    }

    /// The tag that has the name of another now: itself, unless it is dead and not buried yet.
    pub fn live(&mut self, tag: u32) -> u32 {
        if !self.is_unburied(tag) {
            return tag;
        }
        let name = self.name(tag).to_vec();
        self.find_live(&name).unwrap_or(tag)
    }

    /// Whether a tag is dead, buried or not.
    pub fn is_dead(&self, tag: u32) -> bool {
        self.death(tag).is_some()
    }

    /// Whether a tag is dead, but not buried yet.
    #[inline]
    pub(super) fn is_unburied(&self, tag: u32) -> bool {
        self.record(tag).state == State::Condemned && self.plan.as_ref().is_some_and(|plan| plan.death.is_some())
    }

    /// The death of a tag: the number of the last snapshot that had begun by then, and whether its invalidation is open.
    #[inline]
    pub(super) fn death(&self, tag: u32) -> Option<(u32, bool)> {
        match self.record(tag).state {
            State::Alive => None,
            State::Condemned => self.plan.as_ref()?.death,
            State::Dead { walk, open } => Some((walk, open)),
        }
    }

    /// A tag got a member, or lost one, or begins or ceases to share some.
    pub(super) fn recount(&mut self, tag: u32, members: usize, shared: u32) {
        let record = self.records.get(tag);
        let (now, is_shared, was_shared) = (record.members.len(), record.shared > 0, shared > 0);
        let planned = record.state == State::Condemned;
        let bare = record.node == NO_NODE;
        let dead = self.death(tag).is_some();
        if dead && was_shared && !is_shared {
            self.mixed -= 1;
        }
        if !planned {
            return;
        }
        let Some(plan) = &mut self.plan else { return };
        plan.members = plan.members + now - members;
        plan.shared = plan.shared + usize::from(is_shared) - usize::from(was_shared);
        if bare && !dead {
            match (members, now) {
                (0, 1..) => plan.hidden -= 1,
                (1.., 0) => plan.hidden += 1,
                _ => {}
            }
        }
    }

    /// How many names stand for no tag.
    pub(super) fn hidden(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.hidden)
    }

    /// How many members dead tags have that are not buried yet.
    pub(super) fn unburied(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| if plan.death.is_some() { plan.members } else { 0 })
    }

    /// Frees a part of a plan that nobody carries out any more; false when there is nothing left.
    pub(super) fn free_plan_slice(&mut self) -> bool {
        let Some(plan) = &mut self.plan else { return false };
        for _ in 0..STEP {
            match plan.found.last() {
                Some(last) => drop(plan.found.remove(last)),
                None => {
                    self.plan = None;
                    break;
                }
            }
        }
        true
    }

    /// Bytes of memory the plan takes, without the names that were given.
    pub(super) fn plan_bytes(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| size_of::<Plan>() + plan.found.memory_bytes())
    }
}
