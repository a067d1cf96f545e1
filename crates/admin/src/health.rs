use std::sync::{Arc, OnceLock};

/// Whether the engine can still make records durable. It fails at most once, and never recovers by itself.
#[derive(Clone, Debug, Default)]
pub struct Health {
    failure: Arc<OnceLock<String>>,
}

impl Health {
    /// Says that the engine failed. Only the first reason is kept: it is the cause of the others.
    pub fn fail(&self, reason: &str) {
        self.failure.get_or_init(|| reason.to_owned());
    }

    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
