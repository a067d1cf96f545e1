//! Locking where a poisoned lock means that shared state is half changed.

use crate::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[track_caller]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|_| abort())
}

#[track_caller]
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|_| abort())
}

#[track_caller]
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|_| abort())
}

/// A panic while the engine's state changed leaves it unknown. Going on could answer for what was not stored, so the
/// process ends and recovery takes over.
pub(crate) fn abort() -> ! {
    #[cfg(feature = "simulation")]
    crate::simulation::fail_if_running();
    tracing::error!(
        "a thread panicked while it changed the engine's state; aborting so that recovery takes over"
    );
    std::process::abort()
}
