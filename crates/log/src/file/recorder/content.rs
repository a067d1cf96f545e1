//! The bytes of one file, in shared chunks: a copy costs a reference per chunk, a change copies one chunk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const CHUNK_BYTES: usize = 64 * 1024;

pub(super) static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// The chunks that are missing are zeros, and so is what a chunk holds beyond the length.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    chunks: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (chunk, offset) = locate(len);
            self.chunks
                .split_off(&if offset == 0 { chunk } else { chunk + 1 });
            if let Some(last) = self.chunks.get_mut(&chunk) {
                Arc::make_mut(last)[offset..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (chunk, offset) = locate(position + done as u64);
            let piece = &bytes[done..bytes.len().min(done + CHUNK_BYTES - offset)];
            done += piece.len();
            if !self.chunks.contains_key(&chunk) && piece == &ZEROS[..piece.len()] {
                continue;
            }
            let chunk = self
                .chunks
                .entry(chunk)
                .or_insert_with(|| Arc::new(vec![0; CHUNK_BYTES]));
            Arc::make_mut(chunk)[offset..offset + piece.len()].copy_from_slice(piece);
        }
        if !bytes.is_empty() {
            self.len = self.len.max(position + bytes.len() as u64);
        }
    }

    pub(super) fn read(&self, position: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = position.checked_add(buf.len() as u64);
        if !buf.is_empty() && end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buf.len() {
            let (chunk, offset) = locate(position + done as u64);
            let until = buf.len().min(done + CHUNK_BYTES - offset);
            let piece = &mut buf[done..until];
            match self.chunks.get(&chunk) {
                Some(chunk) => piece.copy_from_slice(&chunk[offset..offset + piece.len()]),
                None => piece.fill(0),
            }
            done = until;
        }
        Ok(())
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes)
            .expect("the buffer is as long as the content");
        bytes
    }

    fn chunk(&self, chunk: u64) -> &[u8] {
        self.chunks
            .get(&chunk)
            .map_or(&ZEROS[..CHUNK_BYTES], |chunk| chunk)
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        let chunks = self.chunks.keys().chain(other.chunks.keys());
        self.len == other.len && chunks.into_iter().all(|at| self.chunk(*at) == other.chunk(*at))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }
}

fn locate(position: u64) -> (u64, usize) {
    let chunk_bytes = CHUNK_BYTES as u64;
    (position / chunk_bytes, (position % chunk_bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_plain_vector_across_chunks() {
        let mut content = Content::default();
        let mut plain = Vec::new();
        let edge = CHUNK_BYTES as u64;
        for (position, len) in [(edge - 3, 7), (0, 5), (3 * edge - 1, 2), (edge, 200_000), (10, 1)] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8 | 1).collect();
            let end = position as usize + len;
            plain.resize(plain.len().max(end), 0);
            plain[position as usize..end].copy_from_slice(&bytes);
            content.write(position, &bytes);
            assert_eq!(content.to_vec(), plain);
        }
        for len in [edge + 9, edge, edge - 1, 2 * edge, 0, 4] {
            plain.resize(len as usize, 0);
            content.set_len(len);
            assert_eq!(content.to_vec(), plain);
            assert!(content == Content::from(&plain[..]));
        }
    }

    #[test]
    fn zeros_take_no_memory_and_equal_a_chunk_of_zeros() {
        let mut content = Content::default();
        content.write(0, &ZEROS);
        assert!(content.chunks.is_empty());
        let mut cleared = content.clone();
        cleared.write(5, &[1]);
        assert!(cleared != content);
        cleared.write(5, &[0]);
        assert!(cleared == content);
    }

    #[test]
    fn a_read_ends_with_the_content() {
        let content = Content::from(&b"abc"[..]);
        assert_eq!(
            content.read(1, &mut [0; 3]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            content.read(u64::MAX, &mut [0; 3]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        content.read(9, &mut []).unwrap();
    }
}
