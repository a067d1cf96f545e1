use bytes::Bytes;
use smallvec::SmallVec;

/// Record batches of one partition as they are sent: slices which follow each other on the wire.
///
/// A partition's batches may lie in several buffers; they are sent from where they are. The codec never looks inside.
#[derive(Debug, Clone, Default)]
pub struct Records {
    parts: SmallVec<[Bytes; 1]>,
}

impl Records {
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.parts.push(part);
        }
    }

    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes on the wire, without the length prefix.
    pub fn len(&self) -> usize {
        self.parts
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(part.len()))
    }
}

impl From<Bytes> for Records {
    fn from(part: Bytes) -> Records {
        let mut records = Records::default();
        records.push(part);
        records
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(parts: I) -> Records {
        let mut records = Records::default();
        parts.into_iter().for_each(|part| records.push(part));
        records
    }
}

/// Equal when the bytes on the wire are equal, however they are cut.
impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.parts.iter().flatten().eq(other.parts.iter().flatten())
    }
}

impl Eq for Records {}
