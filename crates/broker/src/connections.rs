//! What the connections of all protocols share: how they are accepted, what they may hold, and how they write.

mod accept;
mod account;
mod output;
mod stall;
mod stream;

pub use self::accept::{ACCEPT_RETRY, accept, concerns_the_client, drain, reap, stopped};
pub use self::account::Account;
pub use self::output::Output;
pub use self::stall::{Awaited, Stall};
pub use self::stream::Stream;
