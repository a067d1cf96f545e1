//! Decompressing any bytes, the first of which names the codec: the limit holds, and what came out survives a round trip.

use firth_batch::{Compression, compress, decompress};

const LIMIT: usize = 256 * 1024;

pub fn run(bytes: &[u8]) {
    let Some((&code, compressed)) = bytes.split_first() else {
        return;
    };
    let Some(codec) = Compression::from_code(i16::from(code % 5)) else {
        return;
    };
    if let Ok(plain) = decompress(codec, compressed, LIMIT) {
        assert!(plain.len() <= LIMIT);
        assert_eq!(
            decompress(codec, &compress(codec, &plain), plain.len()),
            Ok(plain)
        );
    }
}
