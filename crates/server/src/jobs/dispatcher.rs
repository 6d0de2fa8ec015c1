//! The dispatcher of a node: leases due jobs and runs them, so that a provider that does not respond delays no other.
//!
//! The jobs of one endpoint group of one provider form a queue. Every queue may have one job in progress at any time,
//! whatever the other queues do; only further jobs share the slots of `job.workers`. A queue has at most
//! `job.provider_workers` jobs in progress, and one until a call has succeeded. A queue whose circuit breaker is open
//! has none: its jobs are not leased, so they keep their place and no attempt is counted.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::Timestamp;
use store::command::{JobQueue, JobQueueDemand, LeaseJobs, LeasedJob};
use store::query::ListDueQueues;
use tokio::sync::{Notify, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::context::new_job_context;
use super::outbox::run_job;
use super::schedule::wait_for_shutdown;
use crate::app::App;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The minimum time between two searches because of queued jobs. Connections may end thousands of times a second.
const SEARCH_PAUSE: Duration = Duration::from_millis(20);

/// Runs due jobs until shutdown, and then waits for the jobs in progress.
pub(super) async fn dispatch_jobs(app: App, mut shutdown: watch::Receiver<bool>) {
    // One timer for all rounds: if each round started a new one, jobs that end in quick succession could prevent every
    // search for the jobs of other nodes.
    let mut poll = tokio::time::interval(app.config().job.poll.duration());
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dispatcher = Dispatcher::new(app.clone());
    let mut earliest_search = Instant::now();
    while !*shutdown.borrow() {
        let event = tokio::select! {
            Some(ended) = dispatcher.tasks.join_next_with_id() => Event::JobEnded(ended),
            _ = poll.tick() => Event::SearchDue,
            () = wait_for_queued_job(app.job_notify(), earliest_search) => Event::SearchDue,
            () = wait_for_shutdown(&mut shutdown) => break,
        };
        if matches!(event, Event::SearchDue) {
            earliest_search = Instant::now() + SEARCH_PAUSE;
        }
        // The jobs remain in the store, and the next round tries again.
        if let Err(error) = dispatcher.handle(event).await {
            tracing::error!(%error, "due jobs could not be started");
        }
    }
    while let Some(ended) = dispatcher.tasks.join_next_with_id().await {
        dispatcher.remove_ended(ended);
    }
}

/// Waits until this node has queued a job, and until the time at which the next search may begin.
async fn wait_for_queued_job(queued: &Notify, earliest_search: Instant) {
    tokio::time::sleep_until(earliest_search).await;
    queued.notified().await;
}

/// The event for which the dispatcher leases and starts jobs again.
enum Event {
    /// This node has queued a job, or the interval between searches has passed.
    SearchDue,
    /// A job has ended, so a slot is free.
    JobEnded(Result<(task::Id, ()), JoinError>),
}

struct Dispatcher {
    app: App,
    tasks: JoinSet<()>,
    /// The queue of each job in progress.
    running: HashMap<task::Id, JobQueue>,
    /// The queues that contained a due job when they were last read.
    due_queues: HashSet<JobQueue>,
}

impl Dispatcher {
    fn new(app: App) -> Self {
        Self { app, tasks: JoinSet::new(), running: HashMap::new(), due_queues: HashSet::new() }
    }

    async fn handle(&mut self, event: Event) -> Result<(), InternalError> {
        match event {
            Event::SearchDue => {
                let ctx = new_job_context(&self.app, "job")?;
                let due = ctx.ask(&ListDueQueues { now: ctx.now() }).await?;
                self.due_queues = due.into_iter().collect();
            }
            Event::JobEnded(ended) => {
                self.remove_ended(ended);
                while let Some(ended) = self.tasks.try_join_next_with_id() {
                    self.remove_ended(ended);
                }
            }
        }
        self.start_due_jobs().await
    }

    /// Leases and starts jobs until no slot or no due job is left.
    async fn start_due_jobs(&mut self) -> Result<(), InternalError> {
        loop {
            let ctx = new_job_context(&self.app, "job")?;
            let demands = self.plan_demands(ctx.now());
            if demands.is_empty() {
                return Ok(());
            }
            // The contexts are created before the lease starts. A job that computes its remaining time from its context
            // may stop too early, but never too late.
            let slots: u32 = demands.iter().map(|demand| demand.limit).sum();
            let contexts = (0..slots).map(|_| new_job_context(&self.app, "job"));
            let contexts = contexts.collect::<Result<Vec<_>, _>>()?;
            let lease_ttl = self.app.job_lease_duration();
            let lease = LeaseJobs { moment: ctx.new_moment()?, lease_ttl, demands: demands.clone() };
            let leased = ctx.run(lease).await?;
            for JobQueueDemand { queue, limit } in demands {
                // The queue had fewer due jobs than slots, so it is read again only after the next search.
                if leased.iter().filter(|leased| leased.queue == queue).count() < limit as usize {
                    self.due_queues.remove(&queue);
                }
            }
            for (leased, ctx) in leased.into_iter().zip(contexts) {
                self.start_job(ctx, leased);
            }
        }
    }

    fn plan_demands(&self, now: Timestamp) -> Vec<JobQueueDemand> {
        let section = &self.app.config().job;
        let breaker = self.app.breaker();
        let load = |queue: &JobQueue| QueueLoad {
            queue: *queue,
            running: self.running.values().filter(|running| *running == queue).count(),
            limit: breaker.call_limit(queue.provider_id, queue.endpoint_group, now, section.provider_workers),
        };
        let loads = self.due_queues.iter().map(load).collect();
        // The first job of each queue has a slot of its own, so it uses none of the shared ones.
        let queues: HashSet<&JobQueue> = self.running.values().collect();
        let shared = self.running.len() - queues.len();
        distribute_slots(loads, section.workers.saturating_sub(shared))
    }

    fn start_job(&mut self, ctx: RequestContext, leased: LeasedJob) {
        let queue = leased.queue;
        let task = self.tasks.spawn(async move { run_job(&ctx, leased).await });
        self.running.insert(task.id(), queue);
    }

    fn remove_ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                // The lease of the job expires, and another attempt follows.
                tracing::error!(%error, "a job was interrupted");
                error.id()
            }
        };
        self.running.remove(&id);
    }
}

/// A queue that has due jobs, with the number of its jobs in progress and the limit of that number.
#[derive(Clone, Copy, Debug)]
struct QueueLoad {
    queue: JobQueue,
    /// The number of its jobs in progress.
    running: usize,
    /// The maximum number of its jobs in progress.
    limit: usize,
}

/// Distributes slots to queues. A queue without a job in progress always gets a slot of its own. The `free` shared slots
/// go to the queues with the fewest jobs in progress.
fn distribute_slots(mut loads: Vec<QueueLoad>, mut free: usize) -> Vec<JobQueueDemand> {
    let before: HashMap<JobQueue, usize> = loads.iter().map(|load| (load.queue, load.running)).collect();
    loads.retain(|load| load.running < load.limit);
    for load in loads.iter_mut().filter(|load| load.running == 0) {
        load.running = 1;
    }
    while free > 0 {
        let candidates = loads.iter_mut().filter(|load| load.running < load.limit);
        let Some(load) = candidates.min_by_key(|load| load.running) else { break };
        load.running += 1;
        free -= 1;
    }
    let demands = loads.into_iter().filter_map(|QueueLoad { queue, running, .. }| {
        let slots = running - before.get(&queue).copied().unwrap_or_default();
        let limit = u32::try_from(slots).unwrap_or(u32::MAX);
        (limit > 0).then_some(JobQueueDemand { queue, limit })
    });
    demands.collect()
}

#[cfg(test)]
mod tests {
    use domain::id::ProviderId;
    use domain::model::provider::EndpointGroup;

    use super::*;

    /// Returns the number of slots that each queue gets. A queue is given as its number of jobs in progress and its
    /// limit.
    fn distribute(loads: &[(usize, usize)], free: usize) -> Vec<u32> {
        let queue = |nth: usize| JobQueue {
            provider_id: ProviderId::new(i64::try_from(nth).unwrap()),
            endpoint_group: EndpointGroup::Revocation,
        };
        let queues = loads.iter().enumerate();
        let queues = queues.map(|(nth, (running, limit))| QueueLoad {
            queue: queue(nth),
            running: *running,
            limit: *limit,
        });
        let demands = distribute_slots(queues.collect(), free);
        let slots_of = |nth| demands.iter().find(|d| d.queue == queue(nth)).map_or(0, |d| d.limit);
        (0..loads.len()).map(slots_of).collect()
    }

    #[tokio::test]
    async fn queued_jobs_cause_one_search_in_each_pause() {
        let (queued, started) = (Notify::new(), Instant::now());

        for search in 0..3 {
            for _ in 0..100 {
                queued.notify_one();
            }
            wait_for_queued_job(&queued, started + SEARCH_PAUSE * search).await;
        }

        assert!(started.elapsed() >= SEARCH_PAUSE * 2);
    }

    #[test]
    fn idle_queue_gets_a_slot_even_if_none_is_free() {
        assert_eq!(distribute(&[(4, 4), (4, 4), (0, 4)], 0), [0, 0, 1]);
        assert_eq!(distribute(&[(0, 4), (0, 4), (0, 4)], 0), [1, 1, 1]);
    }

    #[test]
    fn free_slots_go_to_queues_with_fewest_running_jobs() {
        assert_eq!(distribute(&[(3, 8), (1, 8)], 4), [1, 3]);
        assert_eq!(distribute(&[(0, 4), (0, 4)], 100), [4, 4], "a queue never exceeds its own limit");
    }

    #[test]
    fn queue_with_open_breaker_gets_no_slot() {
        assert_eq!(distribute(&[(0, 0), (0, 1), (1, 1)], 10), [0, 1, 0]);
    }
}
