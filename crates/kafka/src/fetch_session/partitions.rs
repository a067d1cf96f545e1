use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use firth_broker::{Signal, Topic};
use firth_kafka_codec::{ByteStr, FetchPartition, FetchTopic, ForgottenTopic, Uuid};

/// Forgotten partitions that keep their place, besides as many as are asked for.
const FORGOTTEN_MAX: usize = 1000;

/// The partitions of a fetch session, or of one request without a session.
///
/// Those that may have something to say wait in `turns`. A partition leaves it when it was looked at, had nothing
/// to say and is watched: then only its signal brings it back. So a poll costs what has changed, not what is asked.
pub(crate) struct Partitions {
    by_id: bool,
    topics: Vec<AskedTopic>,
    topics_by_name: HashMap<ByteStr, usize>,
    topics_by_id: HashMap<Uuid, usize>,
    slots: Vec<Slot>,
    places: HashMap<(usize, i32), Place>,
    turns: VecDeque<Place>,
    asked: usize,
    /// Raised with the [`Place`] of a partition that changed. Watched for as long as this lives.
    signal: Arc<Signal>,
}

/// Where a partition stands in [`Partitions`]. It keeps its place even when it is forgotten and asked for again.
pub(crate) type Place = usize;

/// A topic as requests name it; the other field is empty.
#[derive(Clone, Default)]
pub(crate) struct AskedTopic {
    pub(crate) name: ByteStr,
    pub(crate) id: Uuid,
}

pub(crate) struct Slot {
    pub(crate) topic: usize,
    pub(crate) asked: FetchPartition,
    /// The topic that this was when it was last looked at.
    pub(crate) found: Option<Arc<Topic>>,
    pub(crate) watched: bool,
    /// What the client was told last: high watermark and log start offset; -1 for nothing.
    pub(crate) told: (i64, i64),
    is_asked: bool,
    has_turn: bool,
}

impl Partitions {
    pub(crate) fn new(by_id: bool) -> Partitions {
        Partitions {
            by_id,
            topics: Vec::new(),
            topics_by_name: HashMap::new(),
            topics_by_id: HashMap::new(),
            slots: Vec::new(),
            places: HashMap::new(),
            turns: VecDeque::new(),
            asked: 0,
            signal: Signal::new(),
        }
    }

    /// Whether the requests name topics by id.
    pub(crate) fn by_id(&self) -> bool {
        self.by_id
    }

    /// Partitions that are asked for.
    pub(crate) fn len(&self) -> usize {
        self.asked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked == 0
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Takes in what a request says. Each partition that it names gets a turn.
    pub(crate) fn update(&mut self, topics: &[FetchTopic], forgotten: &[ForgottenTopic]) {
        for topic in topics {
            let known = self.known_topic(&topic.topic, topic.topic_id);
            let at = known.unwrap_or_else(|| self.add_topic(&topic.topic, topic.topic_id));
            for partition in &topic.partitions {
                self.ask(at, partition);
            }
        }
        for topic in forgotten {
            let Some(at) = self.known_topic(&topic.topic, topic.topic_id) else {
                continue;
            };
            for partition in &topic.partitions {
                self.forget(at, *partition);
            }
        }
        let forgotten = self.slots.len().saturating_sub(self.asked);
        if forgotten > self.asked.saturating_add(FORGOTTEN_MAX) {
            self.compact();
        }
    }

    fn known_topic(&self, name: &ByteStr, id: Uuid) -> Option<usize> {
        let known = if self.by_id {
            self.topics_by_id.get(&id)
        } else {
            self.topics_by_name.get(name)
        };
        known.copied()
    }

    fn add_topic(&mut self, name: &ByteStr, id: Uuid) -> usize {
        let at = self.topics.len();
        if self.by_id {
            self.topics_by_id.insert(id, at);
            self.topics.push(AskedTopic {
                id,
                name: ByteStr::default(),
            });
        } else {
            // A copy: the name in the request would keep all of its frame alive.
            let name = ByteStr::from(name.as_str());
            self.topics_by_name.insert(name.clone(), at);
            self.topics.push(AskedTopic { name, id: Uuid::ZERO });
        }
        at
    }

    /// Begins anew with what is asked for, so that a client that forgets much does not make the session grow.
    fn compact(&mut self) {
        let old = std::mem::replace(self, Partitions::new(self.by_id));
        for slot in old.slots.iter().filter(|slot| slot.is_asked) {
            let topic = old.topic_of(slot);
            let known = self.known_topic(&topic.name, topic.id);
            let at = known.unwrap_or_else(|| self.add_topic(&topic.name, topic.id));
            self.ask(at, &slot.asked);
            if let Some(new) = self.slots.last_mut() {
                new.told = slot.told;
            }
        }
    }

    fn ask(&mut self, topic: usize, asked: &FetchPartition) {
        let place = *self
            .places
            .entry((topic, asked.partition))
            .or_insert(self.slots.len());
        match self.slots.get_mut(place) {
            Some(slot) => {
                if !slot.is_asked {
                    self.asked = self.asked.saturating_add(1);
                    slot.is_asked = true;
                    slot.told = (-1, -1);
                }
                slot.asked = asked.clone();
            }
            None => {
                self.asked = self.asked.saturating_add(1);
                self.slots.push(Slot {
                    topic,
                    asked: asked.clone(),
                    found: None,
                    watched: false,
                    told: (-1, -1),
                    is_asked: true,
                    has_turn: false,
                });
            }
        }
        self.give_turn(place);
    }

    fn forget(&mut self, topic: usize, partition: i32) {
        let Some(place) = self.places.get(&(topic, partition)) else {
            return;
        };
        if let Some(slot) = self.slots.get_mut(*place)
            && slot.is_asked
        {
            slot.is_asked = false;
            self.asked = self.asked.saturating_sub(1);
        }
    }

    /// Gives a turn to what changed since the last call.
    pub(crate) fn take_signals(&mut self) {
        for token in self.signal.take() {
            if let Ok(place) = usize::try_from(token) {
                self.give_turn(place);
            }
        }
    }

    /// Puts the partition behind all that wait, unless it waits already.
    pub(crate) fn give_turn(&mut self, place: Place) {
        if let Some(slot) = self.slots.get_mut(place)
            && slot.is_asked
            && !slot.has_turn
        {
            slot.has_turn = true;
            self.turns.push_back(place);
        }
    }

    /// Puts partitions whose turn was in vain before all that wait, in their order.
    pub(crate) fn give_turns_back(&mut self, places: Vec<Place>) {
        for place in places.into_iter().rev() {
            if let Some(slot) = self.slots.get_mut(place)
                && slot.is_asked
                && !slot.has_turn
            {
                slot.has_turn = true;
                self.turns.push_front(place);
            }
        }
    }

    /// Has what was to be told of these partitions told again: the client does not get that answer.
    pub(crate) fn take_back(&mut self, places: &[Place]) {
        for place in places {
            if let Some(slot) = self.slots.get_mut(*place) {
                slot.told = (-1, -1);
            }
            self.give_turn(*place);
        }
    }

    /// The partition that waits longest.
    pub(crate) fn next_turn(&mut self) -> Option<Place> {
        while let Some(place) = self.turns.pop_front() {
            if let Some(slot) = self.slots.get_mut(place) {
                slot.has_turn = false;
                if slot.is_asked {
                    return Some(place);
                }
            }
        }
        None
    }

    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(crate) fn slot(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place)
    }

    pub(crate) fn slot_mut(&mut self, place: Place) -> Option<&mut Slot> {
        self.slots.get_mut(place)
    }

    #[cfg(test)]
    pub(crate) fn place_count(&self) -> usize {
        self.slots.len()
    }

    /// [`Slot::topic`] is below this.
    pub(crate) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn topic_of(&self, slot: &Slot) -> AskedTopic {
        self.topics.get(slot.topic).cloned().unwrap_or_default()
    }
}
