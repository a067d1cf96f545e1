//! Access rules: who may do what with which resources, or may not. A rule that denies is stronger than everything that allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Permission, Resource};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    VirtualHost,
    Exchange,
    Queue,
    Topic,
}

/// Of which names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    Literal(Arc<str>),
    Prefix(Arc<str>),
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// None is everybody.
    pub principal: Option<Arc<str>>,
    pub virtual_host: Arc<str>,
    pub resource: ResourceKind,
    pub pattern: Pattern,
    /// None is all.
    pub permission: Option<Permission>,
    pub effect: Effect,
}

impl Pattern {
    fn is_match(&self, name: &str) -> bool {
        match self {
            Pattern::Literal(literal) => **literal == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
            Pattern::Any => true,
        }
    }
}

impl ResourceKind {
    /// None for what has no rules: routing keys have permissions of their own.
    fn of<'a>(virtual_host: &'a str, resource: &Resource<'a>) -> Option<(ResourceKind, &'a str)> {
        match *resource {
            Resource::VirtualHost => Some((ResourceKind::VirtualHost, virtual_host)),
            Resource::Exchange(name) => Some((ResourceKind::Exchange, name)),
            Resource::Queue(name) => Some((ResourceKind::Queue, name)),
            Resource::Topic(name) => Some((ResourceKind::Topic, name)),
            Resource::RoutingKey { .. } => None,
        }
    }
}

/// All rules, by whom they are for.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    by_principal: BTreeMap<Option<Arc<str>>, BTreeSet<Rule>>,
    count: usize,
}

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) {
        let of_principal = self.by_principal.entry(rule.principal.clone()).or_default();
        if of_principal.insert(rule) {
            self.count = self.count.saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, rule: &Rule) {
        if let Some(of_principal) = self.by_principal.get_mut(&rule.principal)
            && of_principal.remove(rule)
        {
            self.count = self.count.saturating_sub(1);
            if of_principal.is_empty() {
                self.by_principal.remove(&rule.principal);
            }
        }
    }

    pub(crate) fn contains(&self, rule: &Rule) -> bool {
        self.by_principal
            .get(&rule.principal)
            .is_some_and(|rules| rules.contains(rule))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_principal.values().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// What the rules say. None if no rule says anything.
    pub(crate) fn effect(
        &self,
        principal: &Arc<str>,
        virtual_host: &str,
        permission: Permission,
        resource: &Resource<'_>,
    ) -> Option<Effect> {
        if self.count == 0 {
            return None;
        }
        let (kind, name) = ResourceKind::of(virtual_host, resource)?;
        let own = self.by_principal.get(&Some(principal.clone()));
        let everybodys = self.by_principal.get(&None);
        let matching = own.into_iter().chain(everybodys).flatten().filter(|rule| {
            rule.resource == kind
                && *rule.virtual_host == *virtual_host
                && rule.permission.is_none_or(|permitted| permitted == permission)
                && rule.pattern.is_match(name)
        });
        matching.map(|rule| rule.effect).max()
    }
}
