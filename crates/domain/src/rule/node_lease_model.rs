//! A model of leases, commits and a fail-over, which is run in every interleaving: two nodes, a primary, its synchronous standby
//! and one promotion. The nodes use the rules that the program uses.

use std::time::Duration;

use stateright::{Checker, Model, Property};

use super::{NodeLease, SessionUse, StoredLease, Timeline};

const NODES: usize = 2;
/// The server that is primary at first, and the standby that is promoted, as indexes.
const FORMER: usize = 0;
const STANDBY: usize = 1;
const LEASE: Duration = Duration::from_secs(2);
/// The second after which nothing happens any more. An end can be acknowledged three seconds after a promotion.
const END_OF_TIME: u64 = 5;

const NO_CONTRADICTION: &str = "no request is served that began after an acknowledged end";
const END_AFTER_FAIL_OVER: &str = "an end is acknowledged by the new primary";
const READ_AFTER_FAIL_OVER: &str = "a node serves from the new primary";

/// A change of the rules that must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakness {
    None,
    /// A node on a new primary does not wait for the leases of other nodes.
    NoWait,
    /// A node serves although its lease has expired.
    NoExpiry,
    /// The age of a lease counts from when its renewal was acknowledged.
    AgeSinceAcknowledgement,
    /// Commits do not wait for the standby.
    AsynchronousStandby,
}

/// A commit whose acknowledgement a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Commit {
    server: usize,
    /// The time at which a renewal was sent, or `None` for an end.
    renewal: Option<u64>,
    is_on_standby: bool,
}

/// A read of the connection that a node is processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Read {
    node: usize,
    server: usize,
    began_after_end: bool,
    /// True if the row shows an active connection; `None` until it was read.
    is_active: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    lease: NodeLease,
    server: usize,
    commit: Option<Commit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one history")]
struct FailOver {
    now: u64,
    is_promoted: bool,
    /// True for each server that shows the connection as ended.
    has_ended: [bool; 2],
    /// The leases that the standby has.
    stored: [StoredLease; NODES],
    nodes: [Node; NODES],
    /// Reads change nothing, so it suffices to follow one at a time.
    read: Option<Read>,
    is_end_acknowledged: bool,
    has_served_after_end: bool,
    has_served_from_standby: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Tick,
    Promote,
    Reconnect(usize),
    SendRenewal(usize),
    SendEnd(usize),
    Replicate(usize),
    Acknowledge(usize),
    GiveUp(usize),
    BeginRead(usize),
    ReadRow,
    FinishRead,
}

struct FailOverModel(Weakness);

fn timeline(server: usize) -> Timeline {
    Timeline { system: 7, number: if server == FORMER { 1 } else { 2 } }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl FailOverModel {
    /// Checks the lease as the store does after it has read a row, and before it commits.
    fn has_lease(&self, state: &FailOver, node: usize, server: usize) -> bool {
        let lease = &state.nodes[node].lease;
        match self.0 {
            Weakness::NoExpiry => lease.has_accepted(timeline(server)),
            _ => lease.is_valid(timeline(server), secs(state.now)),
        }
    }

    fn may_check_out(state: &FailOver, node: usize) -> bool {
        let node = &state.nodes[node];
        node.lease.session_use(timeline(node.server)) == SessionUse::Serving
    }

    /// Returns whether a node may send a renewal to its server.
    fn may_renew(&self, state: &FailOver, node: usize) -> bool {
        let Node { lease, server, .. } = &state.nodes[node];
        let timeline = timeline(*server);
        match lease.session_use(timeline) {
            SessionUse::Serving => true,
            SessionUse::Renewal => {
                self.0 == Weakness::NoWait
                    || lease.remaining_wait(timeline, &state.stored, secs(state.now)).is_zero()
            }
            SessionUse::Nothing => false,
        }
    }

    fn may_acknowledge(&self, commit: Commit) -> bool {
        commit.server == STANDBY || commit.is_on_standby || self.0 == Weakness::AsynchronousStandby
    }

    fn send(state: &mut FailOver, node: usize, renewal: Option<u64>) {
        let server = state.nodes[node].server;
        state.nodes[node].commit = Some(Commit { server, renewal, is_on_standby: false });
        if server == STANDBY {
            Self::store_on_standby(state, node);
        }
    }

    fn store_on_standby(state: &mut FailOver, node: usize) {
        let Some(commit) = &mut state.nodes[node].commit else { return };
        commit.is_on_standby = true;
        match commit.renewal {
            Some(_) => state.stored[node].timeline = timeline(commit.server),
            None => state.has_ended[STANDBY] = true,
        }
    }

    fn acknowledge(&self, state: &mut FailOver, node: usize) {
        let Some(commit) = state.nodes[node].commit.take() else { return };
        if let Some(sent_at) = commit.renewal {
            let counted = if self.0 == Weakness::AgeSinceAcknowledgement { state.now } else { sent_at };
            state.nodes[node].lease.renew(timeline(commit.server), secs(counted));
        } else {
            // A server shows a commit when the wait for its standby is over.
            state.has_ended[commit.server] = true;
            state.is_end_acknowledged = true;
        }
    }

    fn finish_read(&self, state: &mut FailOver) {
        let Some(read) = state.read.take() else { return };
        if read.is_active == Some(true) && self.has_lease(state, read.node, read.server) {
            state.has_served_after_end |= read.began_after_end;
            state.has_served_from_standby |= read.server == STANDBY;
        }
    }
}

impl Model for FailOverModel {
    type State = FailOver;
    type Action = Step;

    fn init_states(&self) -> Vec<FailOver> {
        let mut lease = NodeLease::new(LEASE);
        lease.meet(timeline(FORMER), secs(0));
        lease.renew(timeline(FORMER), secs(0));
        let node = Node { lease, server: FORMER, commit: None };
        vec![FailOver {
            now: 0,
            is_promoted: false,
            has_ended: [false; 2],
            stored: [StoredLease { timeline: timeline(FORMER), duration: LEASE }; NODES],
            nodes: [node.clone(), node],
            read: None,
            is_end_acknowledged: false,
            has_served_after_end: false,
            has_served_from_standby: false,
        }]
    }

    fn actions(&self, state: &FailOver, steps: &mut Vec<Step>) {
        steps.extend((state.now < END_OF_TIME).then_some(Step::Tick));
        steps.extend((!state.is_promoted).then_some(Step::Promote));
        for (n, node) in state.nodes.iter().enumerate() {
            steps.extend((state.is_promoted && node.server == FORMER).then_some(Step::Reconnect(n)));
            match node.commit {
                None => {
                    steps.extend(self.may_renew(state, n).then_some(Step::SendRenewal(n)));
                    let may_end = Self::may_check_out(state, n) && self.has_lease(state, n, node.server);
                    steps.extend((may_end && !state.is_end_acknowledged).then_some(Step::SendEnd(n)));
                }
                Some(commit) => {
                    let may_replicate = !state.is_promoted && !commit.is_on_standby;
                    steps.extend(may_replicate.then_some(Step::Replicate(n)));
                    steps.extend(self.may_acknowledge(commit).then_some(Step::Acknowledge(n)));
                    steps.push(Step::GiveUp(n));
                }
            }
            // Any other read may be served.
            let matters = state.is_end_acknowledged || node.server == STANDBY;
            let may_begin = state.read.is_none() && matters && Self::may_check_out(state, n);
            steps.extend(may_begin.then_some(Step::BeginRead(n)));
        }
        match state.read {
            None => {}
            Some(Read { is_active: None, .. }) => steps.push(Step::ReadRow),
            Some(_) => steps.push(Step::FinishRead),
        }
    }

    fn next_state(&self, before: &FailOver, step: Step) -> Option<FailOver> {
        let mut state = before.clone();
        match step {
            Step::Tick => state.now += 1,
            Step::Promote => state.is_promoted = true,
            Step::Reconnect(n) => {
                state.nodes[n].server = STANDBY;
                state.nodes[n].lease.meet(timeline(STANDBY), secs(state.now));
            }
            Step::SendRenewal(n) => Self::send(&mut state, n, Some(before.now)),
            Step::SendEnd(n) => Self::send(&mut state, n, None),
            Step::Replicate(n) => Self::store_on_standby(&mut state, n),
            Step::Acknowledge(n) => self.acknowledge(&mut state, n),
            Step::GiveUp(n) => state.nodes[n].commit = None,
            Step::BeginRead(n) => {
                let began_after_end = state.is_end_acknowledged;
                let server = state.nodes[n].server;
                state.read = Some(Read { node: n, server, began_after_end, is_active: None });
            }
            Step::ReadRow => {
                if let Some(read) = &mut state.read {
                    read.is_active = Some(!state.has_ended[read.server]);
                }
            }
            Step::FinishRead => self.finish_read(&mut state),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_CONTRADICTION, |_, state: &FailOver| !state.has_served_after_end),
            Property::sometimes(END_AFTER_FAIL_OVER, |_, state: &FailOver| {
                state.is_end_acknowledged && state.nodes.iter().any(|node| node.server == STANDBY)
            }),
            Property::sometimes(READ_AFTER_FAIL_OVER, |_, state: &FailOver| state.has_served_from_standby),
        ]
    }
}

/// Explores the model until it is exhausted, or has found a contradiction and what must be possible.
fn explore(weakness: Weakness) -> impl Checker<FailOverModel> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    FailOverModel(weakness).checker().threads(threads).spawn_bfs().join()
}

#[test]
fn no_interleaving_of_fail_over_contradicts_an_end() {
    let checker = explore(Weakness::None);

    assert!(checker.unique_state_count() > 10_000, "{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn model_finds_contradiction_in_each_weaker_rule() {
    for weakness in [
        Weakness::NoWait,
        Weakness::NoExpiry,
        Weakness::AgeSinceAcknowledgement,
        Weakness::AsynchronousStandby,
    ] {
        let contradiction = explore(weakness).discovery(NO_CONTRADICTION);

        assert!(contradiction.is_some(), "{weakness:?} is not noticed");
    }
}
