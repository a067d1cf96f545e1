//! What clients change in a virtual host: exchanges, queues and bindings. Each change is decided, stored and done under the
//! lock of its virtual host.

use std::sync::Arc;

use firth_log::Commit;

use super::record::Stored;
use super::{
    Binding, BindingDetails, Contents, DEFAULT_EXCHANGE, Declared, DeletedQueue, Destination, Exchange,
    ExchangeKind, NewBinding, NewExchange, TopologyError, VirtualHost, check_name,
};
use crate::router::weight;
use crate::{NewQueue, NotDeleted, Queue, QueueDefinition, StateError, TopicId};

impl VirtualHost {
    /// Declares an exchange, unless there is one of this name.
    pub fn declare_exchange(&self, new: NewExchange) -> Result<Declared<Exchange>, TopologyError> {
        check_name("name of an exchange", &new.name)?;
        let mut contents = self.write()?;
        if let Some(known) = contents.exchange(&new.name) {
            return Ok(Declared {
                item: known.clone(),
                is_new: false,
                commit: contents.commit.clone(),
            });
        }
        let exchange = Arc::new(Exchange::new(new));
        let mut commit = Commit::done();
        if exchange.durable {
            let stored = Stored::Exchange(self.id(), Exchange::clone(&exchange));
            self.store(&mut contents, &[stored.record()])?;
            commit = contents.commit.clone();
        }
        contents.put_exchange(exchange.clone());
        // It may be the alternate exchange of another.
        self.rerouted();
        Ok(Declared {
            item: exchange,
            is_new: true,
            commit,
        })
    }

    /// Deletes an exchange and all bindings from it and to it; with `if_unused` only if there are none from it.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<Commit, TopologyError> {
        let mut contents = self.write()?;
        let exchange = self.exchange_in(&contents, name)?;
        if exchange.predeclared {
            return Err(TopologyError::PredeclaredExchange(name.to_owned()));
        }
        if if_unused && contents.is_used(name) {
            return Err(TopologyError::ExchangeInUse(name.to_owned()));
        }
        let removal = contents.removal(Vec::new(), vec![exchange], Vec::new());
        self.remove(&mut contents, &removal)?;
        Ok(contents.commit.clone())
    }

    /// Declares a queue, unless there is one of this name. `topic` is what a stream is.
    pub(crate) fn declare_queue(
        &self,
        new: NewQueue,
        topic: Option<TopicId>,
    ) -> Result<Declared<Queue>, TopologyError> {
        check_name("name of a queue", &new.name)?;
        if let Some(known) = self.known_queue(&new.name) {
            return Ok(known);
        }
        let is_stored = new.durable && new.exclusive.is_none();
        let definition = QueueDefinition {
            id: self.journal.queue_id(is_stored)?,
            virtual_host: self.name().clone(),
            name: new.name.into(),
            durable: new.durable,
            auto_delete: new.auto_delete,
            exclusive: new.exclusive,
            options: self.journal.shared_options(new.options),
            arguments: self.journal.shared_arguments(new.arguments),
            topic,
        };
        let mut contents = self.write()?;
        // Somebody may have been faster.
        if let Some(known) = declared_before(&contents, &definition.name) {
            return Ok(known);
        }
        let is_gone = |topic| {
            self.journal
                .topics
                .read(|topics| topics.get_by_id(topic).is_none())
        };
        if topic.is_some_and(is_gone) {
            return Err(TopologyError::UnknownTopic(definition.name.to_string()));
        }
        if let Some(max) = contents
            .settings
            .max_queues
            .filter(|max| contents.queue_count() as u64 >= *max)
        {
            return Err(TopologyError::TooManyQueues {
                virtual_host: self.name().to_string(),
                max,
            });
        }
        let mut commit = Commit::done();
        if is_stored {
            self.store(&mut contents, &[self.stored_queue(&definition).record()])?;
            commit = contents.commit.clone();
        }
        let queue = Queue::create(&self.journal.queues, definition);
        contents.put_queue(queue.clone());
        Ok(Declared {
            item: queue,
            is_new: true,
            commit,
        })
    }

    /// The answer to a declaration of a queue that is there.
    pub(super) fn known_queue(&self, name: &str) -> Option<Declared<Queue>> {
        self.read(|contents, _| declared_before(contents, name))
    }

    /// Deletes a queue with its messages and all bindings to it.
    pub(crate) fn delete_queue(
        &self,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<DeletedQueue, TopologyError> {
        let mut contents = self.write()?;
        let queue = contents
            .queue(name)
            .cloned()
            .ok_or_else(|| TopologyError::UnknownQueue {
                queue: name.to_owned(),
                virtual_host: self.name().to_string(),
            })?;
        self.remove_queue(&mut contents, &queue, if_unused, if_empty)
    }

    /// Deletes a queue that asks for it: its last consumer left, or nobody used it for too long. Does nothing if it was
    /// deleted already, also where its name is used again. Returns None if it is used all the same.
    pub fn expire_queue(&self, queue: &Arc<Queue>) -> Result<Option<Commit>, TopologyError> {
        let mut contents = self.write()?;
        let known = contents.queue(queue.name());
        if !known.is_some_and(|known| Arc::ptr_eq(known, queue)) {
            return Ok(Some(contents.commit.clone()));
        }
        match self.remove_queue(&mut contents, queue, true, false) {
            Ok(deleted) => Ok(Some(deleted.commit)),
            Err(TopologyError::QueueNotDeleted {
                reason: NotDeleted::InUse,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove_queue(
        &self,
        contents: &mut Contents,
        queue: &Arc<Queue>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<DeletedQueue, TopologyError> {
        let messages =
            queue
                .delete(if_unused, if_empty)
                .map_err(|reason| TopologyError::QueueNotDeleted {
                    queue: queue.name().to_owned(),
                    reason,
                })?;
        let removal = contents.removal(vec![queue.clone()], Vec::new(), Vec::new());
        self.remove(contents, &removal)?;
        Ok(DeletedQueue {
            messages,
            commit: contents.commit.clone(),
        })
    }

    /// Binds, unless the same binding is there.
    pub fn bind(&self, new: NewBinding) -> Result<Commit, TopologyError> {
        check_name("binding key", &new.key)?;
        let mut contents = self.write()?;
        let source = self.exchange_in(&contents, &new.source)?;
        let binding = Arc::new(self.binding(&contents, &source, new)?);
        if contents.bindings.get(&binding).is_some() {
            return Ok(contents.commit.clone());
        }
        if contents.is_binding_stored(&binding) {
            let stored = Stored::Binding(self.id(), Binding::clone(&binding));
            self.store(&mut contents, &[stored.record()])?;
        }
        contents.put_binding(binding);
        self.rerouted();
        Ok(contents.commit.clone())
    }

    /// Unbinds. That there is no such binding is no error, as nobody could do anything about it.
    pub fn unbind(&self, new: &NewBinding) -> Result<Commit, TopologyError> {
        let mut contents = self.write()?;
        let details = BindingDetails {
            arguments: new.arguments.as_slice().into(),
            ..BindingDetails::default()
        };
        let wanted = Arc::new(Binding {
            source: new.source.clone(),
            destination: new.destination.clone(),
            key: new.key.as_str().into(),
            details: details.boxed(),
        });
        if let Some(binding) = contents.bindings.get(&wanted).cloned() {
            let removal = contents.removal(Vec::new(), Vec::new(), vec![binding]);
            self.remove(&mut contents, &removal)?;
        }
        Ok(contents.commit.clone())
    }

    /// All bindings but those of the default exchange, sorted by source and destination.
    pub fn bindings(&self) -> Vec<Arc<Binding>> {
        self.read(|contents, _| contents.bindings.iter().cloned().collect())
    }

    /// The bindings from an exchange, sorted by destination. The default exchange has none.
    pub fn bindings_from(&self, exchange: &str) -> Vec<Arc<Binding>> {
        self.read(|contents, _| contents.bindings.from(exchange).cloned().collect())
    }

    /// The bindings to a destination, sorted by source. That of a queue to the default exchange is not among them.
    pub fn bindings_to(&self, destination: &Destination) -> Vec<Arc<Binding>> {
        self.read(|contents, _| contents.bindings.to(destination).cloned().collect())
    }

    fn exchange_in(&self, contents: &Contents, name: &str) -> Result<Arc<Exchange>, TopologyError> {
        contents
            .exchange(name)
            .cloned()
            .ok_or_else(|| TopologyError::UnknownExchange {
                exchange: name.to_owned(),
                virtual_host: self.name().to_string(),
            })
    }

    /// What a new binding is, with the names of what there is.
    fn binding(
        &self,
        contents: &Contents,
        source: &Exchange,
        new: NewBinding,
    ) -> Result<Binding, TopologyError> {
        if *source.name == *DEFAULT_EXCHANGE {
            return Err(TopologyError::DefaultExchange);
        }
        check_size(&new)?;
        let mut topic = None;
        let destination = match new.destination {
            Destination::Exchange(name) if *name == *DEFAULT_EXCHANGE => {
                return Err(TopologyError::DefaultExchange);
            }
            Destination::Exchange(name) => {
                Destination::Exchange(self.exchange_in(contents, &name)?.name.clone())
            }
            Destination::Queue(name) => {
                let queue = contents.queue(&name).ok_or_else(|| TopologyError::UnknownQueue {
                    queue: name.to_string(),
                    virtual_host: self.name().to_string(),
                })?;
                Destination::Queue(queue.definition().name.clone())
            }
            Destination::Topic(name) => {
                let found = self.journal.topics.read(|topics| topics.get(&name).cloned());
                let found = found.ok_or_else(|| TopologyError::UnknownTopic(name.to_string()))?;
                topic = Some(found.id);
                Destination::Topic(found.name.clone())
            }
        };
        let kind = source.kind.matching();
        if let ExchangeKind::ConsistentHash(_) = kind {
            check_weight(&new.key)?;
        }
        let details = BindingDetails {
            arguments: new.arguments.into(),
            header_match: (*kind == ExchangeKind::Headers).then_some(new.header_match),
            topic,
        };
        Ok(Binding {
            source: source.name.clone(),
            destination,
            key: new.key.into(),
            details: details.boxed(),
        })
    }
}

fn declared_before(contents: &Contents, name: &str) -> Option<Declared<Queue>> {
    let queue = contents.queue(name)?;
    let commit = match queue.definition().is_stored() {
        true => contents.commit.clone(),
        false => Commit::done(),
    };
    Some(Declared {
        item: queue.clone(),
        is_new: false,
        commit,
    })
}

fn check_weight(key: &str) -> Result<(), TopologyError> {
    match weight(key) {
        Ok(1..) => Ok(()),
        Ok(_) => Err(TopologyError::WeightNotPositive(key.to_owned())),
        Err(_) => Err(TopologyError::WeightNotInteger(key.to_owned())),
    }
}

/// A binding is one record, which is appended whole.
fn check_size(new: &NewBinding) -> Result<(), TopologyError> {
    let max = super::ARGUMENTS_BYTES_MAX;
    match new.arguments.len() {
        bytes if bytes > max => Err(StateError::TooLarge { bytes, max }.into()),
        _ => Ok(()),
    }
}
