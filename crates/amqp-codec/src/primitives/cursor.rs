use crate::error::Error;

/// The part of some bytes that is not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(Error::incomplete(N.saturating_sub(self.rest.len()))),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Error::incomplete(length.saturating_sub(self.rest.len()))),
        }
    }

    #[inline]
    pub(crate) fn short_str(&mut self) -> Result<&'a [u8], Error> {
        let [length] = self.chunk()?;
        self.take(usize::from(length))
    }

    /// The bytes of a long string, a table or an array.
    #[inline]
    pub(crate) fn long_str(&mut self) -> Result<&'a [u8], Error> {
        let length = u32::from_be_bytes(self.chunk()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }
}
