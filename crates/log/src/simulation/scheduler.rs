//! Which thread has the baton, and what the others wait for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Failure;
use crate::file::recorder::SplitMix64;

pub(super) type ThreadId = usize;

/// What a thread waits for. Locks, condition variables and channels are known by where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Lock(usize),
    Condvar(usize),
    Channel(usize),
    End(ThreadId),
    Waker,
    Time,
}

/// One in so many steps, the first who waits for a time goes on before its time: as if the machine had stalled.
const STALL_ONE_IN: u64 = 512;
/// One in so many waits for a condition variable ends for no reason, which it may.
const SPURIOUS_ONE_IN: u64 = 64;
/// Steps of which a failure tells.
const LAST_STEPS: usize = 24;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Current>>> = const { RefCell::new(None) };
}

/// A thread of a simulation, to itself.
pub(super) struct Current {
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) id: ThreadId,
    baton: Arc<Baton>,
}

/// This thread, where it is one of a simulation.
pub(super) fn current() -> Option<Rc<Current>> {
    // What is dropped at the end of a thread is no part of a run.
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

pub(super) struct Scheduler {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    random: SplitMix64,
    policy: Policy,
    latency_max_us: u64,
    now: Duration,
    steps: u64,
    steps_max: u64,
    threads: Vec<Thread>,
    ready: Vec<ThreadId>,
    running: ThreadId,
    last_steps: VecDeque<(ThreadId, &'static Location<'static>)>,
    end: Option<Result<(), Failure>>,
}

/// How the next thread is chosen.
enum Policy {
    /// Each alike, but that the one that runs may go on with a chance of its own.
    Uniform { stays_of_256: u64 },
    /// The one of the highest priority, until at one in so many steps the one that runs gets the lowest: finds what
    /// takes a few unlikely turns in an order (after probabilistic concurrency testing).
    Priorities { change_one_in: u64, lowest: i64 },
}

struct Thread {
    name: String,
    status: Status,
    timed_out: bool,
    priority: i64,
    baton: Arc<Baton>,
}

enum Status {
    Ready,
    Waiting {
        on: On,
        until: Option<Duration>,
        at: &'static Location<'static>,
    },
    Ended,
}

#[derive(Default)]
struct Baton {
    is_here: Mutex<bool>,
    came: Condvar,
}

impl Baton {
    fn give(&self) {
        *self.is_here.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.came.notify_one();
    }

    fn take(&self) {
        let is_here = self.is_here.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_while(is_here, |is_here| !*is_here);
        *waited.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl Scheduler {
    pub(super) fn new(seed: u64, steps_max: u64) -> Scheduler {
        let mut random = SplitMix64::new(seed);
        let policy = match random.below(2) {
            0 => Policy::Uniform {
                stays_of_256: [0, 128, 230][random.below(3) as usize],
            },
            _ => Policy::Priorities {
                change_one_in: [50, 500, 5_000][random.below(3) as usize],
                lowest: 0,
            },
        };
        let latency_max_us = [0, 50, 2_000][random.below(3) as usize];
        let state = State {
            random,
            policy,
            latency_max_us,
            now: Duration::ZERO,
            steps: 0,
            steps_max,
            threads: Vec::new(),
            ready: Vec::new(),
            running: 0,
            last_steps: VecDeque::new(),
            end: None,
        };
        Scheduler {
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a thread, which runs when it gets the baton.
    pub(super) fn add(self: &Arc<Self>, name: String) -> ThreadId {
        let mut state = self.lock();
        let id = state.threads.len();
        let priority = state.random.below(1 << 32) as i64 + 1;
        state.threads.push(Thread {
            name,
            status: Status::Ready,
            timed_out: false,
            priority,
            baton: Arc::default(),
        });
        state.ready.push(id);
        id
    }

    /// Makes the calling thread of the system the thread `id`, and waits for its turn.
    pub(super) fn enter(self: &Arc<Self>, id: ThreadId) {
        let baton = self.lock().threads[id].baton.clone();
        let current = Rc::new(Current {
            scheduler: self.clone(),
            id,
            baton: baton.clone(),
        });
        CURRENT.set(Some(current));
        baton.take();
    }

    /// Gives the baton to the first thread.
    pub(super) fn begin(&self) {
        self.lock().threads[0].baton.give();
    }

    /// The thread has nothing more to do. The run ends with its first thread.
    pub(super) fn leave(&self, id: ThreadId) {
        CURRENT.set(None);
        let mut state = self.lock();
        state.threads[id].status = Status::Ended;
        state.ready.retain(|ready| *ready != id);
        state.wake(On::End(id));
        if id == 0 {
            let left = state.waiting();
            let end = if left.is_empty() {
                Ok(())
            } else {
                Err(Failure::Left(left))
            };
            return self.end(&mut state, end);
        }
        match state.next() {
            Some(next) => state.threads[next].baton.give(),
            None => {
                let waiting = state.waiting();
                self.end(&mut state, Err(Failure::Deadlock(waiting)));
            }
        }
    }

    fn end(&self, state: &mut State, end: Result<(), Failure>) {
        state.end.get_or_insert(end);
        self.ended.notify_all();
    }

    pub(super) fn wait_for_end(&self) -> Result<(), Failure> {
        let waited = self.ended.wait_while(self.lock(), |state| state.end.is_none());
        let end = waited.unwrap_or_else(PoisonError::into_inner).end.clone();
        end.expect("it was waited for")
    }

    pub(super) fn now(&self) -> Duration {
        self.lock().now
    }

    pub(super) fn has_ended(&self, id: ThreadId) -> bool {
        matches!(self.lock().threads[id].status, Status::Ended)
    }

    pub(super) fn draw(&self) -> u64 {
        self.lock().random.draw()
    }

    /// How long a call to the disk takes; half of them no time.
    pub(super) fn draw_latency(&self) -> Option<Duration> {
        let mut state = self.lock();
        let latency_max_us = state.latency_max_us;
        if latency_max_us == 0 || state.random.below(2) == 0 {
            return None;
        }
        Some(Duration::from_micros(1 + state.random.below(latency_max_us)))
    }

    /// Whether a wait for a condition variable ends at once.
    pub(super) fn draw_spurious(&self) -> bool {
        self.lock().random.below(SPURIOUS_ONE_IN) == 0
    }

    /// All who wait for it may go on.
    pub(super) fn wake(&self, on: On) {
        self.lock().wake(on);
    }

    /// One of those who wait for it may go on.
    pub(super) fn wake_one(&self, on: On) {
        let mut state = self.lock();
        let waiting = state.waiting_for(on);
        if !waiting.is_empty() {
            let at = state.random.below(waiting.len() as u64) as usize;
            state.make_ready(waiting[at], false);
        }
    }

    /// A waker of the thread was called.
    pub(super) fn wake_waker(&self, id: ThreadId) {
        let mut state = self.lock();
        if matches!(state.threads[id].status, Status::Waiting { on: On::Waker, .. }) {
            state.make_ready(id, false);
        }
    }
}

impl Current {
    /// Lets others go on.
    #[track_caller]
    pub(super) fn yield_now(&self) {
        let mut state = self.scheduler.lock();
        state.step(Location::caller());
        self.pass(state);
    }

    /// Waits, and says whether that was in vain: the time has come.
    #[track_caller]
    pub(super) fn wait(&self, on: On, timeout: Option<Duration>) -> bool {
        let at = Location::caller();
        let mut state = self.scheduler.lock();
        state.step(at);
        let until = timeout.map(|timeout| state.now + timeout);
        state.threads[self.id].status = Status::Waiting { on, until, at };
        state.ready.retain(|ready| *ready != self.id);
        self.pass(state);
        self.scheduler.lock().threads[self.id].timed_out
    }

    /// Gives the baton to the next one, and waits for it.
    fn pass(&self, mut state: MutexGuard<'_, State>) {
        if state.steps > state.steps_max {
            let told = state.told();
            self.scheduler.end(&mut state, Err(Failure::Endless(told)));
            drop(state);
            forever();
        }
        match state.next() {
            Some(next) if next == self.id => {}
            Some(next) => {
                let baton = state.threads[next].baton.clone();
                drop(state);
                baton.give();
                self.baton.take();
            }
            None => {
                let told = state.told();
                self.scheduler.end(&mut state, Err(Failure::Deadlock(told)));
                drop(state);
                forever()
            }
        }
    }

    /// Fails the run, and keeps the baton for ever.
    pub(super) fn fail(&self, message: String) -> ! {
        let mut state = self.scheduler.lock();
        let thread = state.threads[self.id].name.clone();
        let failure = Failure::Panic { thread, message };
        self.scheduler.end(&mut state, Err(failure));
        drop(state);
        forever()
    }
}

/// The run is over, and what this thread holds is not to be dropped in an order that no run has.
fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

impl State {
    fn step(&mut self, at: &'static Location<'static>) {
        self.steps += 1;
        if self.last_steps.len() == LAST_STEPS {
            self.last_steps.pop_front();
        }
        self.last_steps.push_back((self.running, at));
        if let Policy::Priorities {
            change_one_in,
            lowest,
        } = &mut self.policy
            && self.random.below(*change_one_in) == 0
        {
            *lowest -= 1;
            self.threads[self.running].priority = *lowest;
        }
        if self.random.below(STALL_ONE_IN) == 0 {
            self.fire();
        }
    }

    /// The thread that runs now; `None` where none ever can.
    fn next(&mut self) -> Option<ThreadId> {
        while self.ready.is_empty() {
            if !self.fire() {
                return None;
            }
        }
        let next = match self.policy {
            Policy::Uniform { stays_of_256 }
                if self.ready.contains(&self.running) && self.random.below(256) < stays_of_256 =>
            {
                self.running
            }
            Policy::Uniform { .. } => {
                let at = self.random.below(self.ready.len() as u64) as usize;
                self.ready[at]
            }
            Policy::Priorities { .. } => *self
                .ready
                .iter()
                .max_by_key(|id| (self.threads[**id].priority, **id))?,
        };
        self.running = next;
        Some(next)
    }

    /// Moves the time on to the first who waits for one.
    fn fire(&mut self) -> bool {
        let timers = self.threads.iter().enumerate().filter_map(|(id, thread)| {
            let Status::Waiting { until, .. } = thread.status else {
                return None;
            };
            until.map(|until| (until, id))
        });
        let Some((until, id)) = timers.min() else {
            return false;
        };
        self.now = self.now.max(until);
        self.make_ready(id, true);
        true
    }

    fn make_ready(&mut self, id: ThreadId, timed_out: bool) {
        let thread = &mut self.threads[id];
        thread.status = Status::Ready;
        thread.timed_out = timed_out;
        self.ready.push(id);
    }

    fn wake(&mut self, on: On) {
        for id in self.waiting_for(on) {
            self.make_ready(id, false);
        }
    }

    fn waiting_for(&self, on: On) -> Vec<ThreadId> {
        let waits =
            |thread: &Thread| matches!(thread.status, Status::Waiting { on: other, .. } if other == on);
        let threads = self.threads.iter().enumerate();
        threads
            .filter(|(_, thread)| waits(thread))
            .map(|(id, _)| id)
            .collect()
    }

    /// Who has not ended, and what for.
    fn waiting(&self) -> String {
        let mut told = String::new();
        for thread in &self.threads {
            let _ = match thread.status {
                Status::Ready => writeln!(told, "  {} is ready", thread.name),
                Status::Waiting { on, until, at } => {
                    let until = until.map(|until| format!(" until {until:?}")).unwrap_or_default();
                    let on = self.name(on);
                    writeln!(told, "  {} waits for {on}{until} at {at}", thread.name)
                }
                Status::Ended => Ok(()),
            };
        }
        told
    }

    fn name(&self, on: On) -> String {
        match on {
            On::Lock(_) => "a lock".to_owned(),
            On::Condvar(_) => "a condition".to_owned(),
            On::Channel(_) => "a message".to_owned(),
            On::End(id) => format!("the end of {}", self.threads[id].name),
            On::Waker => "a waker".to_owned(),
            On::Time => "a time".to_owned(),
        }
    }

    /// Who waits for what, and how it came to that.
    fn told(&self) -> String {
        let mut told = self.waiting();
        let _ = writeln!(told, "the last of {} steps, at {:?}:", self.steps, self.now);
        for (id, at) in &self.last_steps {
            let _ = writeln!(told, "  {} at {at}", self.threads[*id].name);
        }
        told
    }
}
