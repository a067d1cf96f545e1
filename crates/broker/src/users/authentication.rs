//! Checking passwords.

use std::future::Future;
use std::hash::Hasher;
use std::sync::Arc;
use std::thread::available_parallelism;

use siphasher::sip128::{Hasher128, SipHasher24};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::account::{Account, DEFAULT_USER, Principal};
use super::credentials::{Credentials, Password, work_in_vain};
use super::record::Stored;
use super::{Change, Origin, PASSWORD_BYTES_MAX, Users};
use crate::Environment;

/// Passwords that are hashed at a time, 19 MiB each: half of the processors, and never more than this.
const HASHING_MAX: usize = 4;

/// Why somebody may not log in. A client is told the same in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such user, or this is not its password.
    #[error("the user is not known, or the password is wrong")]
    Credentials,
    #[error("the user can only connect via localhost")]
    NotLoopback,
    #[error("too many attempts have failed")]
    TooManyFailures,
    /// Try again later.
    #[error("the storage has failed")]
    Failed,
}

/// Hashes a few passwords at a time, on threads that may block.
pub(super) struct Hashing {
    slots: Arc<Semaphore>,
    random: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    /// For digests of passwords that were found right. It is this process's own.
    key: [u8; 16],
}

impl Hashing {
    pub(super) fn new(environment: &Environment) -> Hashing {
        let processors = available_parallelism().map_or(1, usize::from);
        Hashing {
            slots: Arc::new(Semaphore::new(processors.div_ceil(2).min(HASHING_MAX))),
            random: environment.random.clone(),
            key: (environment.random)(),
        }
    }

    /// Makes what a password is kept as.
    pub(super) async fn make(&self, password: Vec<u8>) -> Credentials {
        let salts = [(self.random)(), (self.random)(), (self.random)()];
        let made = self.run(move || Password::new(&password, salts)).await;
        Credentials::Password(Box::new(made))
    }

    /// Runs it when its turn has come. Who gives up waiting gives up its turn.
    async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = self.slots.clone().acquire_owned().await;
        let running = spawn_blocking(move || {
            let _slot = slot;
            f()
        });
        finished(running).await
    }

    fn digest(&self, password: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(password);
        hasher.finish128().as_u128()
    }
}

#[expect(
    clippy::expect_used,
    reason = "the work does not panic, and it is not cancelled before the runtime ends"
)]
async fn finished<T>(running: impl Future<Output = Result<T, tokio::task::JoinError>>) -> T {
    running.await.expect("hashing does not panic")
}

impl Users {
    /// Who it is that knows this password. Waits while other passwords are hashed, and after failures; the caller bounds how long a
    /// client may take to log in.
    ///
    /// # Errors
    /// The client may not log in, and is not told why.
    pub async fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        from: Origin,
    ) -> Result<Principal, Refused> {
        let store = &self.store;
        let account = store.read().account(name).cloned();
        let digest = store.hashing.digest(password);
        let is_verified = |account: &Arc<Account>| account.verified.get() == Some(&digest);
        let is_local_only = name == DEFAULT_USER && !from.is_loopback();
        if let Some(account) = account
            .as_ref()
            .filter(|account| is_verified(account) && !is_local_only)
        {
            return self.authenticated(account).await;
        }
        store.guard.wait(name, from).await?;
        let is_right = self.check(account.clone(), password, digest).await;
        let account = account.filter(|_| is_right);
        let Some(account) = account.filter(|_| !is_local_only) else {
            store.guard.failed(name, from);
            return Err(match is_right {
                true => Refused::NotLoopback,
                false => Refused::Credentials,
            });
        };
        store.guard.succeeded(name);
        // Only the first password that was found right is remembered. It is the only one.
        let _ = account.verified.set(digest);
        if let Credentials::Imported(_) = account.credentials {
            self.replace_imported(&account, password).await;
        }
        self.authenticated(&account).await
    }

    /// Takes as long for a user who is not there. A blank password is none.
    async fn check(&self, account: Option<Arc<Account>>, password: &[u8], digest: u128) -> bool {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let password = password.to_vec();
        let check = move || match account {
            // Others of the same user may have been checked while this one waited.
            Some(account) if account.verified.get() == Some(&digest) => true,
            Some(account) => account.credentials.is_of(&account.identity.name, &password),
            None => {
                work_in_vain(&password);
                false
            }
        };
        self.store.hashing.run(check).await
    }

    /// What the answer rests on is durable before it is given.
    async fn authenticated(&self, account: &Account) -> Result<Principal, Refused> {
        self.store.newest().await.map_err(|_| Refused::Failed)?;
        Ok(Principal {
            identity: account.identity.clone(),
        })
    }

    /// The password is known now, so it can be kept as others are. If that cannot be stored, it is tried again another time.
    async fn replace_imported(&self, account: &Arc<Account>, password: &[u8]) {
        let credentials = self.store.hashing.make(password.to_vec()).await;
        let name = &account.identity.name;
        let changed = self.store.change(|directory| {
            // Somebody may have changed the user meanwhile.
            let is_same = directory
                .account(name)
                .is_some_and(|now| Arc::ptr_eq(now, account));
            let user = Stored::User {
                name: name.clone(),
                tags: account.tags.clone(),
                credentials,
            };
            Ok(((), is_same.then_some(Change::Put(user)).into_iter().collect()))
        });
        if let Err(error) = changed {
            tracing::warn!(user = %name, %error, "an imported password could not be stored anew");
        }
    }
}
