use std::collections::HashMap;
use std::sync::Arc;

use super::Configs;
use crate::TopicConfig;

/// One configuration for all topics that are configured alike, since there may be very many topics.
#[derive(Debug, Default, Clone)]
pub(crate) struct SharedConfigs {
    configs: HashMap<Configs, Arc<TopicConfig>>,
    /// When there are so many, those are forgotten that no topic has any more.
    sweep_at: usize,
}

/// What is kept before it is looked at for the first time.
const SWEEP_AT_MIN: usize = 32;

/// Which configurations are shared says nothing about what is defined.
impl PartialEq for SharedConfigs {
    fn eq(&self, _: &SharedConfigs) -> bool {
        true
    }
}

impl Eq for SharedConfigs {}

impl SharedConfigs {
    pub(crate) fn restore(&mut self, configs: &Configs) -> Arc<TopicConfig> {
        if let Some(config) = self.configs.get(configs) {
            return config.clone();
        }
        if self.configs.len() >= self.sweep_at.max(SWEEP_AT_MIN) {
            self.configs.retain(|_, config| Arc::strong_count(config) > 1);
            self.sweep_at = self.configs.len().saturating_mul(2);
        }
        let entries = configs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let config = Arc::new(TopicConfig::restore(entries));
        self.configs.insert(configs.clone(), config.clone());
        config
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.configs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_alike_is_shared_and_forgotten_when_nobody_has_it() {
        let mut shared = SharedConfigs::default();
        let retention = |ms: u32| vec![("retention.ms".to_owned(), ms.to_string())];
        let kept = shared.restore(&retention(0));
        assert!(Arc::ptr_eq(&kept, &shared.restore(&retention(0))));
        for ms in 1..10_000 {
            assert_eq!(shared.restore(&retention(ms)).retention_ms, i64::from(ms));
        }
        assert!(shared.len() < 100, "{} configurations are kept", shared.len());
        assert!(Arc::ptr_eq(&kept, &shared.restore(&retention(0))));
    }
}
