//! Locks, condition variables and atomics that a simulation looks at.
//!
//! They wrap those of the standard library. One thread of a simulation runs at a time and keeps others from a lock by
//! holding it, so that `try` tells whether it is free.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{self, LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use super::scheduler::{Current, On, current};
use super::yield_now;

/// What a guard holds is there until it is dropped or given up.
const HELD: &str = "a guard holds its lock";

#[derive(Debug, Default)]
pub(crate) struct Mutex<T: ?Sized> {
    inner: sync::Mutex<T>,
}

pub(crate) struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    inner: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex {
            inner: sync::Mutex::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    #[track_caller]
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let inner = match current() {
            Some(thread) => {
                thread.yield_now();
                self.acquire(&thread)
            }
            None => self.inner.lock(),
        };
        self.guard(inner)
    }

    #[track_caller]
    fn acquire(&self, thread: &Current) -> LockResult<sync::MutexGuard<'_, T>> {
        acquire(thread, self.on(), || self.inner.try_lock())
    }

    fn guard<'a>(&'a self, inner: LockResult<sync::MutexGuard<'a, T>>) -> LockResult<MutexGuard<'a, T>> {
        map(inner, |inner| MutexGuard {
            mutex: self,
            inner: Some(inner),
        })
    }

    fn on(&self) -> On {
        On::Lock(std::ptr::from_ref(&self.inner).addr())
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_deref().expect(HELD)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_deref_mut().expect(HELD)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.inner.take().is_some() {
            released(self.mutex.on());
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T: ?Sized> {
    inner: sync::RwLock<T>,
}

pub(crate) struct RwLockReadGuard<'a, T: ?Sized> {
    on: On,
    inner: Option<sync::RwLockReadGuard<'a, T>>,
}

pub(crate) struct RwLockWriteGuard<'a, T: ?Sized> {
    on: On,
    inner: Option<sync::RwLockWriteGuard<'a, T>>,
}

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> RwLock<T> {
        RwLock {
            inner: sync::RwLock::new(value),
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    #[track_caller]
    pub(crate) fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let on = self.on();
        let inner = match current() {
            Some(thread) => {
                thread.yield_now();
                acquire(&thread, on, || self.inner.try_read())
            }
            None => self.inner.read(),
        };
        map(inner, |inner| RwLockReadGuard {
            on,
            inner: Some(inner),
        })
    }

    #[track_caller]
    pub(crate) fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let on = self.on();
        let inner = match current() {
            Some(thread) => {
                thread.yield_now();
                acquire(&thread, on, || self.inner.try_write())
            }
            None => self.inner.write(),
        };
        map(inner, |inner| RwLockWriteGuard {
            on,
            inner: Some(inner),
        })
    }

    fn on(&self) -> On {
        On::Lock(std::ptr::from_ref(&self.inner).addr())
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_deref().expect(HELD)
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.inner = None;
        released(self.on);
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_deref().expect(HELD)
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_deref_mut().expect(HELD)
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.inner = None;
        released(self.on);
    }
}

/// Waits for a lock. Who tries first when it is free gets it: nobody has a claim, as with those of the system.
#[track_caller]
fn acquire<G>(thread: &Current, on: On, acquire: impl Fn() -> TryLockResult<G>) -> LockResult<G> {
    loop {
        match acquire() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Err(poisoned),
            Err(TryLockError::WouldBlock) => drop(thread.wait(on, None)),
        }
    }
}

fn released(on: On) {
    if let Some(thread) = current() {
        thread.scheduler.wake(on);
    }
}

fn map<A, B>(result: LockResult<A>, wrap: impl FnOnce(A) -> B) -> LockResult<B> {
    match result {
        Ok(inner) => Ok(wrap(inner)),
        Err(poisoned) => Err(PoisonError::new(wrap(poisoned.into_inner()))),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    inner: sync::Condvar,
}

pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar {
            inner: sync::Condvar::new(),
        }
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        map(self.wait_at_most(guard, None), |(guard, _)| guard)
    }

    #[track_caller]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_at_most(guard, Some(timeout))
    }

    #[track_caller]
    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    #[track_caller]
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let Some(thread) = current() else {
            let mutex = guard.mutex;
            let inner = guard.inner.take().expect(HELD);
            let waited = self.inner.wait_timeout_while(inner, timeout, condition);
            return map(waited, |(inner, result)| {
                let inner = Some(inner);
                (MutexGuard { mutex, inner }, WaitTimeoutResult(result.timed_out()))
            });
        };
        let until = thread.scheduler.now() + timeout;
        while condition(&mut guard) {
            let left = until.saturating_sub(thread.scheduler.now());
            if left.is_zero() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_timeout(guard, left)?.0;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        if let Some(thread) = current() {
            thread.yield_now();
            thread.scheduler.wake_one(self.on());
        }
        self.inner.notify_one();
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        if let Some(thread) = current() {
            thread.yield_now();
            thread.scheduler.wake(self.on());
        }
        self.inner.notify_all();
    }

    #[track_caller]
    fn wait_at_most<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let mutex = guard.mutex;
        let Some(thread) = current() else {
            let inner = guard.inner.take().expect(HELD);
            let waited = match timeout {
                Some(timeout) => map(self.inner.wait_timeout(inner, timeout), |(inner, result)| {
                    (inner, result.timed_out())
                }),
                None => map(self.inner.wait(inner), |inner| (inner, false)),
            };
            return map(waited, |(inner, timed_out)| {
                let inner = Some(inner);
                (MutexGuard { mutex, inner }, WaitTimeoutResult(timed_out))
            });
        };
        // Nobody runs between the release and the wait, so no notification is missed.
        drop(guard);
        let timed_out = if thread.scheduler.draw_spurious() {
            thread.yield_now();
            false
        } else {
            thread.wait(self.on(), timeout)
        };
        map(mutex.guard(mutex.acquire(&thread)), |guard| {
            (guard, WaitTimeoutResult(timed_out))
        })
    }

    fn on(&self) -> On {
        On::Condvar(std::ptr::from_ref(&self.inner).addr())
    }
}

/// An atomic before whose every use others may go on.
macro_rules! atomic {
    ($name:ident, $integer:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(sync::atomic::$name);

        #[expect(
            dead_code,
            reason = "each has all of the operations that one of them needs"
        )]
        impl $name {
            pub(crate) const fn new(value: $integer) -> $name {
                $name(sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $integer {
                yield_now();
                self.0.load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $integer, order: Ordering) {
                yield_now();
                self.0.store(value, order);
            }

            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $integer, order: Ordering) -> $integer {
                yield_now();
                self.0.fetch_add(value, order)
            }

            #[track_caller]
            pub(crate) fn fetch_max(&self, value: $integer, order: Ordering) -> $integer {
                yield_now();
                self.0.fetch_max(value, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $integer,
                new: $integer,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$integer, $integer> {
                yield_now();
                self.0.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicU8, u8);
atomic!(AtomicU64, u64);
