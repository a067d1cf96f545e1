use bytes::{BufMut, BytesMut};

/// Writes the fields of one method behind what `buf` holds already.
pub struct Writer<'b> {
    buf: &'b mut BytesMut,
    /// Bits that belong to one octet, and the next of them; 0 while there are none.
    bits: u8,
    mask: u8,
}

impl<'b> Writer<'b> {
    pub fn new(buf: &'b mut BytesMut) -> Writer<'b> {
        Writer {
            buf,
            bits: 0,
            mask: 0,
        }
    }

    /// Writes the last bits.
    pub fn finish(mut self) {
        self.end_bits();
    }

    #[inline]
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.end_bits();
        self.buf.put_slice(octets);
    }

    #[inline]
    pub(crate) fn bit(&mut self, bit: bool) {
        if self.mask == 0 {
            self.mask = 1;
        }
        if bit {
            self.bits |= self.mask;
        }
        self.mask <<= 1;
        if self.mask == 0 {
            self.put_bits();
        }
    }

    fn end_bits(&mut self) {
        if self.mask != 0 {
            self.put_bits();
        }
    }

    fn put_bits(&mut self) {
        self.buf.put_u8(self.bits);
        (self.bits, self.mask) = (0, 0);
    }
}
