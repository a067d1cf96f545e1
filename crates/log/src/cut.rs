//! All that was durable at one moment, as segments: what a backup is made of.

use std::sync::Arc;

use crate::segment::Segment;
use crate::segments::Sealed;

/// Segments that together hold all that was durable when the cut was made. Their files stay readable for as long as this
/// is held, also when the engine removes them. An engine that opens a directory of these segments alone shows that moment.
pub struct Cut {
    segments: Vec<Arc<Sealed>>,
}

impl Cut {
    pub(crate) fn new(mut segments: Vec<Arc<Sealed>>) -> Cut {
        segments.sort_unstable_by_key(|sealed| sealed.id());
        Cut { segments }
    }

    /// In ascending order of their ids.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|sealed| &sealed.segment)
    }
}
